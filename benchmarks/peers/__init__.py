"""Other libraries beside ours, on the same tests: one file a library, one a test."""

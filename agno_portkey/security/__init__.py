"""Who may do what, and keys that are changed in time."""

"""Questions in other words: how alike they are, what speaks against it, how far that goes."""

"""The lake itself: where data lies, how it is written once, pinned, published and read."""

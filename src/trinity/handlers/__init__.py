"""One file per function, in the tree of the API."""

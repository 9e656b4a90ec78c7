"""Video in: open, decode, transform, encode, publish."""

"""Training: a labelled set of pictures in, a detector of our own out. Needs the extra `train`."""

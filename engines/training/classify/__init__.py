"""Training of classifiers, for second stages: which of a few classes a whole picture belongs to."""

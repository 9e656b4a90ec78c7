"""Evaluation: how much of a labelled data set a detector finds, and what a picture costs it. Extra `evaluate`."""

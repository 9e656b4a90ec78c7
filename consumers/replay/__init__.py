"""Frames of the past once more: aside, or through a candidate model that is held against the one in service."""

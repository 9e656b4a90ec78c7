"""Frames in, detections out: poll, choose, decode, detect, commit, mirror."""

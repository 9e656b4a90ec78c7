"""Streaming video processing: video in, detections out, over Kafka and Redis."""

__version__ = "0.1.0"

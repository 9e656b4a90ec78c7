"""Which box is whose: detections of successive frames become tracks. See `tracker`."""

"""Pictures in, boxes out: letterbox, network, head, NMS. `engines.detector.open_detector` is the way in."""

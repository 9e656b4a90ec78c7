"""What a lane does with frames: decode, detect, say what came out; and how many lanes a worker has."""

"""Frames that fail or end the process: who did it is found out, and it is set aside as dead."""

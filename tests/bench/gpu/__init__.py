"""What TensorRT and the way from JPEG to boxes do on a real GPU."""

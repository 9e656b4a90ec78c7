"""Export: a trained network as an ONNX file, in full, half or 8-bit precision. Needs the extra `export`."""

"""Engines that TensorRT builds and runs on an NVIDIA GPU, and the kernels around them."""

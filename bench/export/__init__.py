"""The network of a finished record again, and its conversion to ONNX and 8 bits."""

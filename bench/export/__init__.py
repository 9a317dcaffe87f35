"""The trained network of a finished record, and its conversion to ONNX and 8 bits."""

"""The instruments: size, ONNX files, backends, interleaved samples, memory, energy."""

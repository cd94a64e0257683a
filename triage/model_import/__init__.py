"""Foreign models: from an ONNX file and a description of it to a model folder, without torch."""

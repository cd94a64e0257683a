"""Model folders: card, ONNX Runtime session, and which model is for which patient."""

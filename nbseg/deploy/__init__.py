"""Export to ONNX, and inference from there without PyTorch."""

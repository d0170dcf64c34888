"""Export detectors to ONNX, and run the exported models without PyTorch."""

"""Draw on images without PyTorch."""

"""Draw masks, names and scores on images; this package does not use PyTorch."""

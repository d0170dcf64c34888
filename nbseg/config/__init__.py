"""How one config becomes the plain MMDetection config of each stage."""

"""Define mask heads, losses and test-time augmentation, registered with MMDetection."""

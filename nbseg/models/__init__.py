"""Define heads, losses, an assigner and test-time augmentation, registered with MMDetection."""

"""Model components of the noisy-boundaries method, registered with MMDetection."""

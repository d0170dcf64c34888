"""Define the metrics that are registered with MMDetection."""

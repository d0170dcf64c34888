"""Report on pseudo-labels, measure mask errors, compare models, and find images to label."""

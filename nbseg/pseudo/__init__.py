"""Pseudo-labels: raw predictions on disk, thresholds matched to the labeled set, COCO json."""

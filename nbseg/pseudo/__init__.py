"""Pseudo-labels: raw predictions on disk, thresholds matched to the labelled set, COCO json."""

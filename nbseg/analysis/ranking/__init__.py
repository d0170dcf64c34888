"""Rank unlabeled images by what a label of each would bring."""

"""Rank unlabeled images by how useful it is to label them."""

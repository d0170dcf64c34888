"""Find unlabeled images of a kind that no labeled image shows."""

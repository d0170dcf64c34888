"""Find unlabeled images of a kind, such as stained tissue, that no labeled image shows."""

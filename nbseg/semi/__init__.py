"""Train a student online: together with a teacher that labels each batch."""

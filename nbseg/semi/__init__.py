"""Train a student and its teacher together, online."""

"""Check all data of a run before the first training: jsons, images, model and evaluation."""

"""Make pseudo-labels: store raw predictions, match thresholds to the labeled set, write a json."""

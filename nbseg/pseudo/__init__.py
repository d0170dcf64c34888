"""Make pseudo-labels: store predictions, match thresholds to the labeled set, write a json."""

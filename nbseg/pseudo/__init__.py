"""Make pseudo-labels: store predictions, choose thresholds by the labeled set, write a json."""

"""Analyze labels and predictions: reports, comparisons and noise figures."""

"""Analyze labels and predictions: reports, comparisons of models, and measurements of noise."""

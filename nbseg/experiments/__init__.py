"""Reproduces the paper's tables: trains each row of a table and writes the results to a page."""

"""Reproduces the paper's tables: rows become runs in one work directory, results a page."""

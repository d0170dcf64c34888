"""Reproduces the tables of the Noisy Boundaries paper (arXiv 2203.13427).

The modules train a model for each row of a table, and write the results to a page.
"""

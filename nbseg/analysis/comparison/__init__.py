"""The same images through two models, side by side (the paper's Fig. 7 and 8)."""

from nbseg.analysis.comparison.page import write_comparison

__all__ = ["write_comparison"]

"""Compare two models on the same images, side by side (Noisy Boundaries, Fig. 7 and 8)."""

from nbseg.analysis.comparison.comparison_page import write_comparison

__all__ = ["write_comparison"]

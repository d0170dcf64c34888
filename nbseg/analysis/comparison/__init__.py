"""Show the predictions of two models side by side (as in Noisy Boundaries, Fig. 7 and Fig. 8)."""

from nbseg.analysis.comparison.comparison_page import write_comparison

__all__ = ["write_comparison"]

"""The report on pseudo-labels that a person looks at."""

from nbseg.analysis.pseudo_report.inputs import read_inputs
from nbseg.analysis.pseudo_report.page import write_report

__all__ = ["read_inputs", "write_report"]

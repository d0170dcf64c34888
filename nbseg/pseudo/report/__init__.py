"""The report on pseudo-labels that a person looks at."""

from nbseg.pseudo.report.inputs import read_inputs
from nbseg.pseudo.report.page import write_report

__all__ = ["read_inputs", "write_report"]

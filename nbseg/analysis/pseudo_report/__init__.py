"""Write a report on pseudo-labels: an HTML page, and a json with the same numbers."""

from nbseg.analysis.pseudo_report.inputs import read_inputs
from nbseg.analysis.pseudo_report.report_page import write_report

__all__ = ["read_inputs", "write_report"]

"""Runs side by side: what differs between their configurations, their scores over seeds, their curves and samples."""

from ganforge.report.comparison.making import compare
from ganforge.report.comparison.result import Comparison

__all__ = ["Comparison", "compare"]

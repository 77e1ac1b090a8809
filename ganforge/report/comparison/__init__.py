"""Comparison of runs: differing settings, scores over seeds, curves, samples."""

from ganforge.report.comparison.build import compare
from ganforge.report.comparison.result import Comparison

__all__ = ["Comparison", "compare"]

"""A run, or all runs of a folder, as one page; imports neither torch nor numpy."""

from ganforge.report.make import Report, report_folder, report_run

__all__ = ["Report", "report_folder", "report_run"]

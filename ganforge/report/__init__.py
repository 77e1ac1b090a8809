"""HTML reports of runs. Imports neither torch nor numpy."""

from ganforge.report.make import HtmlReport, report_folder, report_run

__all__ = ["HtmlReport", "report_folder", "report_run"]

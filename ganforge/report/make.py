"""HTML report of a run, or of all runs below a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ganforge.errors import RunDirectoryError
from ganforge.report.overview import overview
from ganforge.report.pages.page import render
from ganforge.report.record import read_record
from ganforge.report.run import run_page
from ganforge.utils.files import write_atomically

FILE_NAME = "report.html"


@dataclass(frozen=True, slots=True)
class HtmlReport:
    """Written report: file, size in bytes, number of runs, lines about missing or damaged parts."""

    path: Path
    size: int
    runs: int
    missing: list[str]


def report_run(path: Path, out: Path | None = None) -> HtmlReport:
    """Write the report of a run, even of a damaged one, to a file; by default `report.html` in the run directory.

    Raises:
        RunDirectoryError: The file cannot be written.
    """
    record = read_record(path)
    page = render("report/run.html.j2", run=run_page(record))
    return _write(page, out or path / FILE_NAME, runs=1, missing=record.missing)


def report_folder(path: Path, out: Path | None = None) -> HtmlReport:
    """Write the report of all runs below a folder to a file; by default `report.html` in the folder.

    Raises:
        RunDirectoryError: The folder has no runs, or the file cannot be written.
    """
    place = out or path / FILE_NAME
    content = overview(path, place)
    page = render("report/overview.html.j2", overview=content)
    return _write(page, place, runs=content["count"], missing=content["missing"])


def _write(page: str, place: Path, *, runs: int, missing: list[str]) -> HtmlReport:
    try:
        write_atomically(place, page)
    except OSError as error:
        raise RunDirectoryError(f"{place} cannot be written: {error.strerror or error}") from None
    return HtmlReport(place, len(page.encode()), runs, missing)

"""Make a report and write it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ganforge.errors import RunDirectoryError
from ganforge.report.overview import overview
from ganforge.report.pages import render, write_page
from ganforge.report.record import read_record
from ganforge.report.run import run_page

NAME = "report.html"


@dataclass(frozen=True, slots=True)
class Report:
    """Hold a report that was written: its file, its size in bytes, how many runs it is about, and what it misses."""

    path: Path
    size: int
    runs: int
    missing: list[str]


def report_run(path: Path, out: Path | None = None) -> Report:
    """Write the report of one run, by default into its directory, whatever state that is in.

    Raises RunDirectoryError where the report cannot be written.
    """
    record = read_record(path)
    page = render("report/run.html.j2", run=run_page(record))
    return _write(page, out or path / NAME, runs=1, missing=record.missing)


def report_folder(path: Path, out: Path | None = None) -> Report:
    """Write the report of all runs below a folder, by default into it. Raises RunDirectoryError as `report_run`."""
    place = out or path / NAME
    found = overview(path, place)
    page = render("report/overview.html.j2", overview=found)
    return _write(page, place, runs=found.count, missing=found.missing)


def _write(page: str, place: Path, *, runs: int, missing: list[str]) -> Report:
    try:
        write_page(place, page)
    except OSError as error:
        raise RunDirectoryError(f"{place} cannot be written: {error.strerror or error}") from None
    return Report(place, len(page.encode()), runs, missing)

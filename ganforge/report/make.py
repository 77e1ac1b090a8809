"""HTML report of a run, or of all runs below a folder."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ganforge.errors import RunDirectoryError
from ganforge.report.pages.page import render
from ganforge.report.pages.pictures import Picture, PictureError, embed
from ganforge.report.record import Record, read_record
from ganforge.report.run import run_page
from ganforge.runs.index import RunSummary, find_runs
from ganforge.runs.score_table import columns, explain_weights
from ganforge.schemas.rows import EvaluationRow
from ganforge.utils.files import error_reason, write_atomically

FILE_NAME = "report.html"
#: Limits of a page of 5 MB: newest runs, characters of data URIs, columns.
MAX_RUNS, MAX_PICTURE_CHARACTERS, MAX_COLUMNS = 1000, 3_000_000, 12
THUMBNAIL, THUMBNAIL_BYTES = 168, 20_000


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
    content = _overview(path, place)
    page = render("report/overview.html.j2", overview=content)
    return _write(page, place, runs=content["count"], missing=content["missing"])


def _write(page: str, place: Path, *, runs: int, missing: list[str]) -> HtmlReport:
    try:
        write_atomically(place, page)
    except OSError as error:
        raise RunDirectoryError(f"{place} cannot be written: {error_reason(error)}") from None
    return HtmlReport(place, len(page.encode()), runs, missing)


def _overview(folder: Path, place: Path) -> dict[str, Any]:
    """Return the content of overview.html.j2, newest runs first, for a page at `place`, which its links depend on.

    Raises:
        RunDirectoryError: The folder has no runs.
    """
    summaries = find_runs(folder)[::-1]
    if not summaries:
        raise RunDirectoryError(f"no runs in {folder}", fix="ganforge runs DIR lists the runs of a folder")
    missing = []
    if len(summaries) > MAX_RUNS:
        missing.append(f"{len(summaries) - MAX_RUNS:,} older runs are omitted; ganforge runs lists all of them")
    rows, space = [], MAX_PICTURE_CHARACTERS
    evaluations: dict[str, list[EvaluationRow]] = {}
    for summary in summaries[:MAX_RUNS]:
        record = read_record(Path(summary.path), curves=False)
        picture = _thumbnail(record, space)
        space -= 0 if picture is None else len(picture.uri)
        rows.append(_row(summary, record, picture, folder, place))
        evaluations[rows[-1]["name"]] = record.evaluations
    table = sorted(columns(evaluations.items()), key=lambda column: (-len(column.by_run), column.score))
    if len(table) > MAX_COLUMNS:
        missing.append(f"{len(table) - MAX_COLUMNS} columns of scores are omitted")
    missing += explain_weights(table[:MAX_COLUMNS])
    for row in rows:
        row["scores"] = [column.latest(row["name"]) for column in table[:MAX_COLUMNS]]
    return {
        "name": folder.resolve().name or str(folder),
        "count": len(summaries),
        "statuses": Counter(summary.status for summary in summaries).most_common(),
        "columns": table[:MAX_COLUMNS],
        "rows": rows,
        "missing": missing,
    }


def _thumbnail(record: Record, space: int) -> Picture | None:
    """Return the newest samples if they can be read and need less than the remaining characters."""
    try:
        picture = embed(record.samples[-1], max_side=THUMBNAIL, max_bytes=THUMBNAIL_BYTES)
    except (IndexError, PictureError):
        return None  # the page of the run names the problem
    return picture if len(picture.uri) <= space else None


def _row(summary: RunSummary, record: Record, picture: Picture | None, folder: Path, place: Path) -> dict[str, Any]:
    path = record.run.path
    report = record.run.report
    link = Path(os.path.relpath(report, place.parent)).as_posix() if report.is_file() else None
    return {
        "summary": summary,
        "name": os.path.relpath(path, folder) if path != folder else path.resolve().name,
        "parts": " · ".join(str(part) for part in (summary.gen, summary.disc, summary.loss, summary.data) if part),
        "link": None if link is None else quote(os.fsencode(link)),
        "picture": picture,
        "alerts": [] if record.manifest is None else record.manifest.health,
    }

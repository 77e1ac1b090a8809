"""Content of the page of a folder: a row per run, a column per comparable score."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from ganforge.errors import RunDirectoryError
from ganforge.evaluation.comparability import diff
from ganforge.report.health import AlertRow, alert_rows
from ganforge.report.pages import Picture, PictureError, embed
from ganforge.report.record import read_record
from ganforge.report.scores import Score, scores_of
from ganforge.runs.index import RunSummary, find_runs
from ganforge.schemas.rows import Protocol
from ganforge.utils.format import format_duration

#: Limits of a page of 5 MB: newest runs, characters of data URIs, columns.
MAX_RUNS, MAX_PICTURE_CHARACTERS, MAX_COLUMNS = 1000, 3_000_000, 12
THUMBNAIL, THUMBNAIL_BYTES = 168, 20_000


@dataclass(slots=True)
class OverviewColumn:
    """Column of comparable scores.

    Attributes:
        name: Name of the score.
        protocol: Protocol of the scores.
        mark: Number of the column among those of its name, or None.
        differs: Differences from the first column of its name.
    """

    name: str
    protocol: Protocol
    mark: int | None = None
    differs: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """Name of the score, numbered if several columns have it."""
        return self.name if self.mark is None else f"{self.name} ({self.mark})"


@dataclass(slots=True)
class OverviewRow:
    """Row of a run.

    Attributes:
        summary: Its run.json.
        name: Path below the folder.
        parts: Names of its components.
        link: Its own page, relative to this one, or None.
        picture: Thumbnail of the newest samples, or None.
        scores: All scores.
        alerts: Health alerts.
        values: A score per column.
    """

    summary: RunSummary
    name: str
    parts: str
    link: str | None
    picture: Picture | None
    scores: list[Score]
    alerts: list[AlertRow]
    values: list[Score | None] = field(default_factory=list)

    @property
    def seed(self) -> str:
        """Seed."""
        return "" if self.summary.seed is None else str(self.summary.seed)

    @property
    def steps(self) -> str:
        """Number of steps."""
        return _number(self.summary.steps)

    @property
    def rate(self) -> str:
        """Images per second."""
        return _number(self.summary.images_per_second)

    @property
    def time(self) -> str:
        """Training time."""
        seconds = self.summary.elapsed_seconds
        return "" if seconds is None else format_duration(seconds)

    @property
    def updated(self) -> str:
        """Time of the last change."""
        return self.summary.updated or ""


@dataclass(frozen=True, slots=True)
class Overview:
    """Content of overview.html.j2."""

    name: str
    count: int
    statuses: list[tuple[str, int]]
    columns: list[OverviewColumn]
    rows: list[OverviewRow]
    missing: list[str]


def overview(folder: Path, place: Path) -> Overview:
    """Return the content of the page, newest runs first.

    Args:
        folder: The folder.
        place: Path of the page, for links.

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
    for summary in summaries[:MAX_RUNS]:
        row = _row(summary, folder, place, space)
        space -= 0 if row.picture is None else len(row.picture.uri)
        rows.append(row)
    columns = _columns(rows)
    counts: dict[str, int] = {}
    for summary in summaries:
        counts[summary.status] = counts.get(summary.status, 0) + 1
    if len(columns) > MAX_COLUMNS:
        missing.append(f"{len(columns) - MAX_COLUMNS} columns of scores are omitted")
    return Overview(
        name=folder.resolve().name or str(folder),
        count=len(summaries),
        statuses=sorted(counts.items(), key=lambda item: -item[1]),
        columns=columns[:MAX_COLUMNS],
        rows=rows,
        missing=missing,
    )


def _number(number: float | None) -> str:
    return "" if number is None else f"{number:,.0f}"


def _row(summary: RunSummary, folder: Path, place: Path, space: int) -> OverviewRow:
    path = Path(summary.path)
    record = read_record(path, curves=False)
    picture = None
    if record.samples and space > 0:
        try:
            picture = embed(record.samples[-1], max_side=THUMBNAIL, max_bytes=THUMBNAIL_BYTES)
        except PictureError:
            picture = None  # its own page names the problem
    if picture is not None and len(picture.uri) > space:
        picture = None
    report = path / "report.html"
    link = Path(os.path.relpath(report, place.parent)).as_posix() if report.is_file() else None
    return OverviewRow(
        summary=summary,
        name=os.path.relpath(path, folder) if path != folder else path.resolve().name,
        parts=" · ".join(str(part) for part in (summary.gen, summary.disc, summary.loss, summary.data) if part),
        link=None if link is None else quote(os.fsencode(link)),
        picture=picture,
        scores=scores_of(record.evaluations),
        alerts=alert_rows(record.manifest),
    )


def _columns(rows: Sequence[OverviewRow]) -> list[OverviewColumn]:
    """Return the columns of all scores, the fullest first, and assign the values of the rows."""
    columns: list[OverviewColumn] = []
    places: list[dict[int, Score]] = [{} for _ in rows]
    for row, place in zip(rows, places, strict=True):
        for score in row.scores:
            comparable = (
                index
                for index, column in enumerate(columns)
                if column.name == score.name and not diff(column.protocol, score.protocol, score.name)
            )
            index = next(comparable, len(columns))
            if index == len(columns):
                columns.append(OverviewColumn(score.name, score.protocol))
            place[index] = score
    filled = {index: sum(index in place for place in places) for index in range(len(columns))}
    order = sorted(filled, key=lambda index: (-filled[index], columns[index].name))
    for name in {column.name for column in columns}:
        named = [columns[index] for index in order if columns[index].name == name]
        for number, column in enumerate(named if len(named) > 1 else [], start=1):
            column.mark = number
            column.differs = [] if number == 1 else diff(named[0].protocol, column.protocol, name)
    for row, place in zip(rows, places, strict=True):
        row.values = [place.get(index) for index in order[:MAX_COLUMNS]]
    return [columns[index] for index in order]

"""What the page of a folder of runs shows: each run in a line, and only comparable scores in one column."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ganforge.errors import RunDirectoryError
from ganforge.report.health import Finding, findings
from ganforge.report.pages import Picture, PictureError, embed
from ganforge.report.record import number_of, read_record, text
from ganforge.report.scores import Score, apart, scores_of
from ganforge.runs.index import RunSummary, catalogue
from ganforge.utils.format import duration

#: Of a page of 5 MB: the newest runs, and characters of data URIs.
MOST_RUNS, MOST_FOR_PICTURES, MOST_COLUMNS = 1000, 3_000_000, 12
THUMBNAIL, THUMBNAIL_BYTES = 168, 20_000


@dataclass(slots=True)
class Column:
    """Hold scores of one name that may stand in one column. differs: why it stands apart from the first of its name."""

    name: str
    row: dict[str, Any]
    mark: int | None = None
    differs: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """The score's name, with a mark where several columns have it."""
        return self.name if self.mark is None else f"{self.name} ({self.mark})"


@dataclass(slots=True)
class Row:
    """Hold a run's line. link: its own page, as seen from this one, where it has one. values: a score a column.

    findings: what was wrong with its health.
    """

    summary: RunSummary
    name: str
    parts: str
    link: str | None
    picture: Picture | None
    scores: list[Score]
    findings: list[Finding]
    values: list[Score | None] = field(default_factory=list)

    @property
    def seed(self) -> str:
        """The seed."""
        return text(self.summary.seed) or ""

    @property
    def steps(self) -> str:
        """How far it came."""
        return _number(self.summary.steps)

    @property
    def rate(self) -> str:
        """Images in a second."""
        return _number(self.summary.images_per_second)

    @property
    def time(self) -> str:
        """How long it trained."""
        seconds = number_of(self.summary.elapsed_seconds)
        return "" if seconds is None else duration(seconds)

    @property
    def updated(self) -> str:
        """When it was last changed."""
        return text(self.summary.updated) or ""


@dataclass(frozen=True, slots=True)
class Overview:
    """Hold everything that overview.html.j2 shows."""

    name: str
    count: int
    statuses: list[tuple[str, int]]
    columns: list[Column]
    rows: list[Row]
    missing: list[str]


def overview(folder: Path, place: Path) -> Overview:
    """Return the page of all runs below a folder, newest first. place: where the page will lie, for links.

    Raises RunDirectoryError where there is no run.
    """
    found = catalogue(folder)[::-1]
    if not found:
        raise RunDirectoryError(f"{folder} holds no run", fix="ganforge runs DIR lists the runs of a folder")
    missing = []
    if len(found) > MOST_RUNS:
        missing.append(f"{len(found) - MOST_RUNS:,} older runs are left out; ganforge runs lists all of them")
    rows, space = [], MOST_FOR_PICTURES
    for summary in found[:MOST_RUNS]:
        row = _row(summary, folder, place, space)
        space -= 0 if row.picture is None else len(row.picture.uri)
        rows.append(row)
    columns = _columns(rows)
    counts: dict[str, int] = {}
    for summary in found:
        counts[summary.status] = counts.get(summary.status, 0) + 1
    if len(columns) > MOST_COLUMNS:
        missing.append(f"{len(columns) - MOST_COLUMNS} columns of scores are left out")
    return Overview(
        name=folder.resolve().name or str(folder),
        count=len(found),
        statuses=sorted(counts.items(), key=lambda item: -item[1]),
        columns=columns[:MOST_COLUMNS],
        rows=rows,
        missing=missing,
    )


def _number(content: object) -> str:
    found = number_of(content)
    return "" if found is None else f"{found:,.0f}"


def _row(summary: RunSummary, folder: Path, place: Path, space: int) -> Row:
    path = Path(summary.path)
    record = read_record(path, curves=False)
    picture = None
    if record.samples and space > 0:
        try:
            picture = embed(record.samples[-1], most_side=THUMBNAIL, most_bytes=THUMBNAIL_BYTES)
        except PictureError:
            picture = None  # its own page says what is wrong
    if picture is not None and len(picture.uri) > space:
        picture = None
    report = path / "report.html"
    near = Path(os.path.relpath(report, place.parent)).as_posix() if report.is_file() else None
    return Row(
        summary=summary,
        name=os.path.relpath(path, folder) if path != folder else path.resolve().name,
        parts=" · ".join(str(part) for part in (summary.gen, summary.disc, summary.loss, summary.data) if part),
        link=None if near is None else quote(os.fsencode(near)),
        picture=picture,
        scores=scores_of(record.evaluations),
        findings=findings(record.manifest.get("health")),
    )


def _columns(rows: Sequence[Row]) -> list[Column]:
    """Return the columns that the runs' scores need, the fullest first, and put each score into its own."""
    columns: list[Column] = []
    places: list[dict[int, Score]] = [{} for _ in rows]
    for row, place in zip(rows, places, strict=True):
        for score in row.scores:
            asked = {"protocol": dict(score.protocol)}
            alike = (
                index
                for index, column in enumerate(columns)
                if column.name == score.name and not apart(column.row, asked, score.name)
            )
            index = next(alike, len(columns))
            if index == len(columns):
                columns.append(Column(score.name, asked))
            place[index] = score
    filled = {index: sum(index in place for place in places) for index in range(len(columns))}
    order = sorted(filled, key=lambda index: (-filled[index], columns[index].name))
    for name in {column.name for column in columns}:
        named = [columns[index] for index in order if columns[index].name == name]
        for number, column in enumerate(named if len(named) > 1 else [], start=1):
            column.mark = number
            column.differs = [] if number == 1 else apart(named[0].row, column.row, name)
    for row, place in zip(rows, places, strict=True):
        row.values = [place.get(index) for index in order[:MOST_COLUMNS]]
    return [columns[index] for index in order]

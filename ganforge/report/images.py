"""A run's pictures: its samples through time, and what evaluations drew; as many as a page can hold."""

from __future__ import annotations

import math
import re
from pathlib import Path

from ganforge.report.pages import Picture, PictureError, embed, embed_series
from ganforge.report.record import Record

#: Of a page of 5 MB, in characters of data URIs.
MOST_FOR_SAMPLES, MOST_FOR_PICTURES = 2_200_000, 800_000
MOST_SAMPLES, MOST_PICTURES = 60, 12
PICTURE = re.compile(r"(.+)-(\d{8,18})\.png")


def samples_of(record: Record) -> tuple[list[tuple[str, Picture]], str]:
    """Return the grids with their labels, in order, and a sentence about them."""
    shown, problems = embed_series(record.samples, most=MOST_SAMPLES, most_characters=MOST_FOR_SAMPLES)
    record.missing += problems
    epochs = _epochs(record)
    notes = ["One fixed set of latents through time."]
    if len(shown) < len(record.samples) - len(problems):
        notes.append(f"{len(shown):,} of the {len(record.samples):,} grids in samples/ are here, evenly chosen.")
    if any(picture.reduced for _, picture in shown):
        notes.append("Large grids are shown smaller than they are.")
    labelled = []
    for path, picture in shown:
        digits = path.stem.removeprefix("step-")
        step = int(digits) if digits.isdecimal() else None
        epoch = "" if step is None or epochs is None else f", epoch {step * epochs:.1f}"
        labelled.append((path.stem if step is None else f"step {step:,}{epoch}", picture))
    return labelled, " ".join(notes)


def _epochs(record: Record) -> float | None:
    """Return the epochs in a step, as the last row says."""
    steps, epochs = record.curves.get("step"), record.curves.get("epoch")
    if not steps or not epochs or not steps[-1] > 0 or math.isnan(epochs[-1]):
        return None
    return epochs[-1] / steps[-1]


def pictures_of(record: Record) -> list[tuple[str, str, Picture]]:
    """Return the newest picture of each name that evaluations left: its name, when, the picture."""
    newest: dict[str, tuple[int, Path]] = {}
    for path in record.pictures:
        found = PICTURE.fullmatch(path.name)
        if found is not None:
            newest[found[1]] = max((int(found[2]), path), newest.get(found[1], (-1, path)))
    shown: list[tuple[str, str, Picture]] = []
    space = MOST_FOR_PICTURES
    for name, (step, path) in sorted(newest.items())[:MOST_PICTURES]:
        try:
            picture = embed(path)
        except PictureError as error:
            record.missing.append(f"evaluation/{error}")
            continue
        if len(picture.uri) > space:
            record.missing.append(f"evaluation/{path.name} is left out: the page would be too large")
            continue
        space -= len(picture.uri)
        shown.append((name, f"step {step:,}", picture))
    return shown

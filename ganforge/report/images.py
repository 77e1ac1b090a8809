"""Pictures of a run's page: samples over the steps, and pictures of evaluations."""

from __future__ import annotations

import math
import re
from pathlib import Path

from ganforge.report.pages import Picture, PictureError, embed, embed_series
from ganforge.report.record import Record

#: Characters of data URIs in a page of 5 MB.
MAX_SAMPLE_CHARACTERS, MAX_PICTURE_CHARACTERS = 2_200_000, 800_000
MAX_SAMPLES, MAX_PICTURES = 60, 12
PICTURE = re.compile(r"(.+)-(\d{8,18})\.png")


def samples_of(record: Record) -> tuple[list[tuple[str, Picture]], str]:
    """Return labeled grids in order, and a note about them."""
    shown, problems = embed_series(record.samples, limit=MAX_SAMPLES, max_characters=MAX_SAMPLE_CHARACTERS)
    record.missing += problems
    epochs = _epochs_per_step(record)
    notes = ["One fixed set of latents over the steps."]
    if len(shown) < len(record.samples) - len(problems):
        notes.append(f"{len(shown):,} of the {len(record.samples):,} grids in samples/ are shown, evenly chosen.")
    if any(picture.reduced for _, picture in shown):
        notes.append("Large grids are shown at a reduced size.")
    labeled = []
    for path, picture in shown:
        digits = path.stem.removeprefix("step-")
        step = int(digits) if digits.isdecimal() else None
        epoch = "" if step is None or epochs is None else f", epoch {step * epochs:.1f}"
        labeled.append((path.stem if step is None else f"step {step:,}{epoch}", picture))
    return labeled, " ".join(notes)


def _epochs_per_step(record: Record) -> float | None:
    """Return the epochs of a step, from the last row."""
    steps, epochs = record.curves.get("step"), record.curves.get("epoch")
    if not steps or not epochs or not steps[-1] > 0 or math.isnan(epochs[-1]):
        return None
    return epochs[-1] / steps[-1]


def pictures_of(record: Record) -> list[tuple[str, str, Picture]]:
    """Return name, step and content of the newest picture of each name, from evaluations."""
    newest: dict[str, tuple[int, Path]] = {}
    for path in record.pictures:
        match = PICTURE.fullmatch(path.name)
        if match is not None:
            newest[match[1]] = max((int(match[2]), path), newest.get(match[1], (-1, path)))
    shown: list[tuple[str, str, Picture]] = []
    space = MAX_PICTURE_CHARACTERS
    for name, (step, path) in sorted(newest.items())[:MAX_PICTURES]:
        try:
            picture = embed(path)
        except PictureError as error:
            record.missing.append(f"evaluation/{error}")
            continue
        if len(picture.uri) > space:
            record.missing.append(f"evaluation/{path.name} is omitted: the page would be too large")
            continue
        space -= len(picture.uri)
        shown.append((name, f"step {step:,}", picture))
    return shown

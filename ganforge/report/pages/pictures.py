"""Pictures within a page: as data URIs, made smaller where they would fill it."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from PIL import Image

T = TypeVar("T")

#: A file that is larger is shown smaller, and compressed with a loss.
MOST_BYTES = 300_000
MOST_SIDE = 1024
MOST_PIXELS = 50_000_000
QUALITY = 80


class PictureError(Exception):
    """Say why a picture cannot be shown."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Hold a picture as a data URI, with its size in pixels; reduced: it is smaller, or less exact, than its file."""

    uri: str
    width: int
    height: int
    reduced: bool


def embed(path: Path, *, most_side: int = MOST_SIDE, most_bytes: int = MOST_BYTES) -> Picture:
    """Return a picture for a page. Raises PictureError for one that is missing, damaged or unreasonably large."""
    try:
        content = path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            image: Image.Image = Image.open(io.BytesIO(content), formats=["PNG", "JPEG"])
            kind = image.format or "PNG"
            fits = image.width * image.height <= MOST_PIXELS
            if fits:
                image.load()
    except Exception as error:  # noqa: BLE001 - a damaged picture raises nearly everything
        raise PictureError(f"{path.name} cannot be read: {error}") from None
    if not fits:
        raise PictureError(f"{path.name} has {image.width}×{image.height} pixels, too many to be shown")
    reduced = len(content) > most_bytes or max(image.size) > most_side
    if reduced:
        image = image.convert("L" if image.mode in {"1", "L", "I", "F"} else "RGB")
        image.thumbnail((most_side, most_side))
        buffer = io.BytesIO()
        image.save(buffer, format="JPEG", quality=QUALITY)
        content, kind = buffer.getvalue(), "JPEG"
    text = base64.b64encode(content).decode("ascii")
    return Picture(f"data:image/{kind.lower()};base64,{text}", image.width, image.height, reduced)


def embed_series(
    paths: Sequence[Path], *, most: int, most_characters: int
) -> tuple[list[tuple[Path, Picture]], list[str]]:
    """Return as many pictures, evenly chosen, as a share of a page allows; and what is wrong with the others.

    paths: in their order; the first and the last are among the chosen ones where they can be read. most_characters: of
    all data URIs together.
    """
    problems: dict[Path, str] = {}
    embedded: dict[Path, Picture] = {}
    while most > 0:
        readable = [path for path in paths if path not in problems]
        chosen = choose_evenly(readable, most)
        for path in chosen:
            if path not in embedded:
                try:
                    embedded[path] = embed(path)
                except PictureError as error:
                    problems[path] = str(error)
        if any(path in problems for path in chosen):
            continue
        total = sum(len(embedded[path].uri) for path in chosen)
        if total <= most_characters:
            return [(path, embedded[path]) for path in chosen], list(problems.values())
        most = min(len(chosen) - 1, len(chosen) * most_characters // total)
    return [], list(problems.values())


def choose_evenly(items: Sequence[T], most: int) -> list[T]:
    """Return at most `most` items at equal distances, the last one and, of two or more, the first one among them."""
    if len(items) <= most:
        return list(items)
    if most == 1:
        return [items[-1]]
    return [items[round(index * (len(items) - 1) / (most - 1))] for index in range(most)]

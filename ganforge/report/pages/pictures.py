"""Pictures in a page: data URIs, reduced if they are large."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from PIL import Image

from ganforge.utils.files import error_reason, read_file

T = TypeVar("T")

#: Larger files are reduced and compressed as JPEG.
MAX_BYTES = 300_000
MAX_SIDE = 1024
MAX_PIXELS = 50_000_000
MAX_FILE_BYTES = 1 << 28
QUALITY = 80


class PictureError(Exception):
    """Picture that cannot be shown."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Picture as a data URI.

    Attributes:
        uri: The data URI.
        width: Width in pixels.
        height: Height in pixels.
        reduced: Whether it is smaller, or less exact, than its file.
    """

    uri: str
    width: int
    height: int
    reduced: bool


def embed(path: Path, *, max_side: int = MAX_SIDE, max_bytes: int = MAX_BYTES) -> Picture:
    """Return a PNG or JPEG file for a page; larger ones are reduced to `max_side` pixels and compressed.

    Raises:
        PictureError: The file is missing, damaged or too large.
    """
    try:
        content = read_file(path, max_bytes=MAX_FILE_BYTES)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            image: Image.Image = Image.open(io.BytesIO(content), formats=["PNG", "JPEG"])
            kind = image.format or "PNG"
            fits = image.width * image.height <= MAX_PIXELS
            if fits:
                image.load()
    except Exception as error:  # noqa: BLE001 - a damaged picture raises nearly everything
        raise PictureError(f"{path.name} cannot be read: {error_reason(error)}") from None
    if not fits:
        raise PictureError(f"{path.name} has {image.width}×{image.height} pixels, too many to show")
    reduced = len(content) > max_bytes or max(image.size) > max_side
    if reduced:
        image = image.convert("L" if image.mode in {"1", "L", "I", "F"} else "RGB")
        image.thumbnail((max_side, max_side))
        buffer = io.BytesIO()
        image.save(buffer, format="JPEG", quality=QUALITY)
        content, kind = buffer.getvalue(), "JPEG"
    text = base64.b64encode(content).decode("ascii")
    return Picture(f"data:image/{kind.lower()};base64,{text}", image.width, image.height, reduced)


def embed_series(
    paths: Sequence[Path], *, limit: int, max_characters: int
) -> tuple[list[tuple[Path, Picture]], list[str]]:
    """Return evenly chosen pictures, and the problems of unreadable ones.

    The first and the last readable file are chosen, and at most `limit`, of `max_characters` in all data URIs.
    """
    problems: dict[Path, str] = {}
    embedded: dict[Path, Picture] = {}
    while limit > 0:
        readable = [path for path in paths if path not in problems]
        chosen = choose_evenly(readable, limit)
        for path in chosen:
            if path not in embedded:
                try:
                    embedded[path] = embed(path)
                except PictureError as error:
                    problems[path] = str(error)
        if any(path in problems for path in chosen):
            continue
        total = sum(len(embedded[path].uri) for path in chosen)
        if total <= max_characters:
            return [(path, embedded[path]) for path in chosen], list(problems.values())
        limit = min(len(chosen) - 1, len(chosen) * max_characters // total)
    return [], list(problems.values())


def choose_evenly(items: Sequence[T], limit: int) -> list[T]:
    """Return at most `limit` items at equal distances, including the last one and, if possible, the first one."""
    if len(items) <= limit:
        return list(items)
    if limit == 1:
        return [items[-1]]
    return [items[round(index * (len(items) - 1) / (limit - 1))] for index in range(limit)]

"""Decoding of one picture of any format to gray or RGB pixels of 8 or 16 bits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor

#: Formats that Pillow recognizes but does not decode itself; for EPS it would start another program on the file.
NOT_DECODED = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"})

#: JPEGs are decoded at 1/2, 1/4 or 1/8 of their size if that leaves this many times the required pixels: several
#: times faster for photographs, with no visible difference after resizing.
DRAFT_FACTOR = 4

GRAY_MODES = frozenset({"1", "L", "LA", "La", "I"})

WHITE_8_BIT, WHITE_16_BIT = 0xFF, 0xFFFF

#: EXIF orientations that exchange width and height.
SIDEWAYS = frozenset({5, 6, 7, 8})

#: Bits per channel: 8 for uint8, 16 for float32 in [-1, 1].
Depth = Literal[8, 16]


@dataclass(frozen=True, slots=True)
class Header:
    """Facts about a picture that are known before it is decoded."""

    gray: bool
    width: int
    height: int


@cache
def extensions() -> frozenset[str]:
    """Return the extensions that this Pillow decodes, in lower case, with their dots."""
    return frozenset(ext for ext, name in Image.registered_extensions().items() if name in _formats())


@cache
def _formats() -> tuple[str, ...]:
    """Return the names of the formats that are decoded."""
    Image.init()
    return tuple(sorted(Image.OPEN.keys() - NOT_DECODED))


def read_header(path: Path, *, upright: bool) -> Header:
    """Read the header of a picture. Raises any of Pillow's errors for a file that it cannot read.

    Args:
        path: The file.
        upright: Whether width and height are those of the picture when turned upright.
    """
    with _open(path) as image:
        gray = image.mode in GRAY_MODES or _is_16_bit(image)
        # A PNG may store its orientation after its pixels, so that reading the orientation decodes them.
        if upright and image.width != image.height and image.getexif().get(ExifTags.Base.Orientation, 1) in SIDEWAYS:
            # Before decoding, some versions of Pillow give a TIFF's size as turned and some as stored.
            ImageOps.exif_transpose(image, in_place=True)
        return Header(gray, image.width, image.height)


def read_pixels(path: Path, *, gray: bool, size: int | None, depth: Depth = 8) -> Tensor:
    """Return the first frame of a picture, upright, on white where it is transparent.

    Args:
        path: The file. Any of Pillow's errors is raised if it cannot be read.
        gray: Whether the picture becomes gray, else RGB.
        size: Side in pixels of the centered square that the picture is resized to, or None.
        depth: Bits per channel.

    Returns:
        `(C, H, W)` uint8 for 8 bits, float32 in [-1, 1] for 16.
    """
    with _open(path) as image:
        if size is not None:
            image.draft(None, (size * DRAFT_FACTOR, size * DRAFT_FACTOR))
        ImageOps.exif_transpose(image, in_place=True)
        if depth == 16:  # noqa: PLR2004 - bits
            return _deep_pixels(image, gray=gray, size=size)
        flat = _resized(_flatten(image).convert("L" if gray else "RGB"), size)
    pixels = torch.frombuffer(bytearray(flat.tobytes()), dtype=torch.uint8)
    return pixels.view(flat.height, flat.width, len(flat.getbands())).permute(2, 0, 1)


def describe_error(error: Exception) -> str:
    """Return the reason why a picture could not be read, in a few words."""
    if isinstance(error, UnidentifiedImageError):
        return "not a picture in a format that Pillow decodes"
    message = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return printable(message.splitlines()[0]) if message.strip() else type(error).__name__


def printable(name: str) -> str:
    """Return a name fit for one line of a terminal, with escapes for line ends, controls and undecodable bytes."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in name)


@contextmanager
def _open(path: Path) -> Iterator[Image.Image]:
    """Open a picture without decoding it."""
    # Opening a pipe that is named like a picture would wait forever.
    if path.exists() and not path.is_file():
        raise ValueError("not a regular file")
    # By its path, Pillow (13.0) maps an uncompressed TIFF into memory with width and height exchanged if it is turned.
    with path.open("rb") as file, Image.open(file, formats=_formats()) as image:
        yield image


def _is_16_bit(image: Image.Image) -> bool:
    """Return whether a picture is gray with more than 8 bits; Pillow keeps some of them in 32."""
    return image.mode == "I" or image.mode.startswith("I;16")


def _resized(image: Image.Image, size: int | None) -> Image.Image:
    """Return the centered square of a picture, resized with antialiasing, or the picture for None."""
    return image if size is None else ImageOps.fit(image, (size, size), method=Image.Resampling.LANCZOS)


def _flatten(image: Image.Image) -> Image.Image:
    """Return a picture of 8 bits per channel without transparency, in any mode."""
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers without a defined white")
    if _is_16_bit(image):
        # Pillow's own conversion to 8 bits clips at 255.
        values = _values_16_bit(image)
        return Image.fromarray(((values * WHITE_8_BIT + WHITE_16_BIT // 2) // WHITE_16_BIT).astype(np.uint8))
    if image.has_transparency_data:
        front = image.convert("RGBA")
        page = Image.new("RGBA", front.size, "white")
        page.alpha_composite(front)
        return page
    return image


def _values_16_bit(image: Image.Image) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the values of a 16-bit gray picture, `(H, W)`."""
    values = np.asarray(image).astype(np.int64)
    if values.size and (values.min() < 0 or values.max() > WHITE_16_BIT):
        raise ValueError("its pixels have 32 bits without a defined white")
    return values


def _deep_pixels(image: Image.Image, *, gray: bool, size: int | None) -> Tensor:
    """Return a picture as float32 in [-1, 1], `(C, H, W)`: 16-bit gray in full depth, others from their 8 bits."""
    if _is_16_bit(image):
        bands = [_values_16_bit(image).astype(np.float32)]
    else:
        flat = _flatten(image).convert("L" if gray else "RGB")
        bands = [np.asarray(band, np.float32) * (WHITE_16_BIT // WHITE_8_BIT) for band in flat.split()]
    resized = np.stack([np.asarray(_resized(Image.fromarray(band), size)) for band in bands])
    values = torch.from_numpy(resized).div_(WHITE_16_BIT / 2).sub_(1).clamp_(-1, 1)  # Lanczos overshoots at edges
    return values if gray else values.expand(3, -1, -1)

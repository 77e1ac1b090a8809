"""Read one picture, whatever its format, into 8-bit grey or RGB pixels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor

#: Formats that Pillow recognises but does not decode itself; for EPS it would start another program on the file.
NOT_DECODED = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"})

#: JPEGs are decoded at 1/2, 1/4 or 1/8 of their size where that leaves so many times the pixels that are needed:
#: several times faster for photographs, and after the resizing no different to the eye.
DRAFT_FACTOR = 4

GREY_MODES = frozenset({"1", "L", "LA", "La", "I"})

WHITE_16_BIT = 0xFFFF

#: EXIF orientations that exchange width and height.
SIDEWAYS = frozenset({5, 6, 7, 8})


@dataclass(frozen=True, slots=True)
class Header:
    """Say what a picture is before it is decoded: whether it is greyscale, and its width and height."""

    grey: bool
    width: int
    height: int


@cache
def extensions() -> frozenset[str]:
    """Return the extensions of pictures, lower case, with their dots: whatever this Pillow decodes."""
    return frozenset(ext for ext, name in Image.registered_extensions().items() if name in _formats())


@cache
def _formats() -> tuple[str, ...]:
    """Return the names of the formats that are decoded."""
    Image.init()
    return tuple(sorted(Image.OPEN.keys() - NOT_DECODED))


def read_header(path: Path, *, upright: bool) -> Header:
    """Read what a picture is, with its size when turned upright, or as stored where that does not matter.

    Raises whatever Pillow raises for a file that it cannot read.
    """
    with _open(path) as image:
        grey = image.mode in GREY_MODES or image.mode.startswith("I;16")
        # A PNG's orientation may stand behind its pixels, so that asking for it decodes them.
        if upright and image.width != image.height and image.getexif().get(ExifTags.Base.Orientation, 1) in SIDEWAYS:
            # Before it is decoded, some versions of Pillow give a TIFF's size as turned and some as stored.
            ImageOps.exif_transpose(image, in_place=True)
        return Header(grey, image.width, image.height)


def read_pixels(path: Path, *, grey: bool, size: int | None) -> Tensor:
    """Return a picture upright, uint8 `(C, H, W)`: the first frame, on white where it is transparent.

    size: the side in pixels of the centred square that it is resized to (its shorter side, antialiased), or None to
    keep it as it is. Raises whatever Pillow raises for a file that it cannot read.
    """
    with _open(path) as image:
        if size is not None:
            image.draft(None, (size * DRAFT_FACTOR, size * DRAFT_FACTOR))
        ImageOps.exif_transpose(image, in_place=True)
        flat = _flatten(image).convert("L" if grey else "RGB")
    if size is not None:
        flat = ImageOps.fit(flat, (size, size), method=Image.Resampling.LANCZOS)
    pixels = torch.frombuffer(bytearray(flat.tobytes()), dtype=torch.uint8)
    return pixels.view(flat.height, flat.width, len(flat.getbands())).permute(2, 0, 1)


def reason(error: Exception) -> str:
    """Return in a few words why a picture could not be read."""
    if isinstance(error, UnidentifiedImageError):
        return "no picture in a format that Pillow decodes"
    words = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return shown(words.splitlines()[0]) if words.strip() else type(error).__name__


def shown(name: str) -> str:
    """Return a name fit for one line on a terminal: line ends, escapes and undecodable bytes are spelled out."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in name)


@contextmanager
def _open(path: Path) -> Iterator[Image.Image]:
    """Open a picture without decoding it."""
    # A pipe that is named like a picture would be waited for without end.
    if path.exists() and not path.is_file():
        raise ValueError("no regular file")
    # By its path, Pillow (13.0) maps an uncompressed TIFF into memory with width and height exchanged if it is turned.
    with path.open("rb") as file, Image.open(file, formats=_formats()) as image:
        yield image


def _flatten(image: Image.Image) -> Image.Image:
    """Return a picture of 8 bits per channel and without transparency, in whichever mode."""
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers, of which none is defined as white")
    if image.mode == "I" or image.mode.startswith("I;16"):
        # Pillow's own conversion to 8 bits clips at 255.
        values = np.asarray(image).astype(np.int64)
        if values.size and (values.min() < 0 or values.max() > WHITE_16_BIT):
            raise ValueError("its pixels have 32 bits, of which none is defined as white")
        return Image.fromarray(((values * 255 + WHITE_16_BIT // 2) // WHITE_16_BIT).astype(np.uint8))
    if image.has_transparency_data:
        front = image.convert("RGBA")
        page = Image.new("RGBA", front.size, "white")
        page.alpha_composite(front)
        return page
    return image

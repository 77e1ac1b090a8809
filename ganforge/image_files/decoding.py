"""Decoding of one picture of any format to gray or RGB pixels of 8 or 16 bits."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import IO, Any, Literal, TypeVar

import numpy as np
import torch
from PIL import ExifTags, Image, ImageColor, ImageOps, UnidentifiedImageError
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import (
    BITSPERSAMPLE,
    OPEN_INFO,
    PHOTOMETRIC_INTERPRETATION,
    PLANAR_CONFIGURATION,
    SAMPLEFORMAT,
    TiffImageFile,
)
from torch import Tensor

from ganforge.utils.files import error_reason

#: Formats that Pillow recognizes but does not decode itself; for EPS it would start another program on the file.
NOT_DECODED = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"})

#: JPEGs are decoded at 1/2, 1/4 or 1/8 of their size if that leaves this many times the required pixels: several
#: times faster for photographs, with no visible difference after resizing.
DRAFT_FACTOR = 4

GRAY_MODES = frozenset({"1", "L", "LA", "La", "I"})

WHITE_8_BIT, WHITE_16_BIT = 0xFF, 0xFFFF
WHITE_RATIO = WHITE_16_BIT // WHITE_8_BIT

#: EXIF orientations that exchange width and height, and those whose first pixel is on the right or at the bottom.
SIDEWAYS, FROM_RIGHT, FROM_BOTTOM = frozenset({5, 6, 7, 8}), frozenset({2, 3, 6, 7}), frozenset({3, 4, 7, 8})

#: Largest value of a PNG's color key by Pillow's raw mode, and factor by which Pillow scales the pixels.
KEY_SCALES = {"L;2": (0x3, 0x55), "L;4": (0xF, 0x11), "L": (0xFF, 1)}

# Pillow (13.0) has no entry for 16-bit TIFFs whose white is zero and whose first byte is the high one. It decodes the
# others without inverting them, which `_values_16_bit` does.
OPEN_INFO.setdefault((b"MM", 0, (1,), 1, (16,), ()), ("I;16B", "I;16B"))

#: Sample format of a TIFF with signed integers, and arrangement with a plane for each color.
SIGNED, PLANES = 2, 2

#: Start of the code stream of a JPEG 2000, and distance from it to the depth of the first channel, less one.
CODE_STREAM, DEPTH_OFFSET = b"\xff\x4f\xff\x51", 42
#: Start of a box of a JPEG 2000 whose length follows its type, in eight bytes.
LONG_BOX = b"\0\0\0\x01"
MAX_DEPTH_BITS = 0x7F

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Chunks of a PNG that change no pixel. Pillow refuses a picture if they are large.
PNG_METADATA = frozenset({b"tEXt", b"zTXt", b"iTXt", b"iCCP"})

#: Bits per channel: 8 for uint8, 16 for float32 in [-1, 1].
Depth = Literal[8, 16]
#: Way to make a picture square.
Fit = Literal["crop", "letterbox", "stretch"]
Box = tuple[float, float, float, float]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Header:
    """Facts about a picture that are known before it is decoded."""

    gray: bool
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Decoding:
    """Wanted form of the pixels.

    Attributes:
        gray: Whether the picture becomes gray, else RGB.
        size: Side in pixels of the square that the picture is resized to, or None.
        depth: Bits per channel.
        fit: Way to make the picture square: its center is cut out, bars are added, or its sides are scaled differently.
        background: Color behind transparent pixels and of the bars: white, black or #rrggbb.
    """

    gray: bool
    size: int | None = None
    depth: Depth = 8
    fit: Fit = "crop"
    background: str = "white"

    @property
    def color(self) -> tuple[int, int, int]:
        """The background in RGB."""
        red, green, blue = ImageColor.getrgb(self.background)[:3]
        return red, green, blue

    @property
    def luma(self) -> int:
        """The background in gray."""
        return int(np.asarray(Image.new("RGB", (1, 1), self.color).convert("L"))[0, 0])


@cache
def extensions() -> frozenset[str]:
    """Return the extensions that this Pillow decodes, in lower case, with their dots."""
    return frozenset(ext for ext, name in Image.registered_extensions().items() if name in formats())


def extension_of(content: bytes) -> str:
    """Return the extension of an encoded image, in lower case, with its dot. Raises any of Pillow's errors."""
    with Image.open(io.BytesIO(content), formats=formats()) as image:
        name = image.format
    return ".jpg" if name == "JPEG" else min(ext for ext, each in Image.registered_extensions().items() if each == name)


@cache
def formats() -> tuple[str, ...]:
    """Return the names of the formats that are decoded."""
    Image.init()
    return tuple(sorted(Image.OPEN.keys() - NOT_DECODED))


def read_header(file: IO[bytes], *, upright: bool) -> Header:
    """Read the header of a picture. Raises any of Pillow's errors for a file that it cannot read.

    Args:
        file: The encoded picture; it stays open.
        upright: Whether width and height are those of the picture when turned upright.
    """
    return _read(file, partial(_header, upright=upright))


def read_pixels(file: IO[bytes], decoding: Decoding) -> Tensor:
    """Return the first frame of a picture, upright, on the background where it is transparent.

    Args:
        file: The encoded picture; it stays open. Any of Pillow's errors is raised if it cannot be read.
        decoding: Form of the pixels.

    Returns:
        `(C, H, W)` uint8 for 8 bits, float32 in [-1, 1] for 16.
    """
    return _read(file, partial(_pixels, decoding=decoding))


def describe_error(error: Exception) -> str:
    """Return the reason why a picture could not be read, in a few words."""
    if isinstance(error, UnidentifiedImageError):
        return "not a picture in a format that Pillow decodes"
    return next(iter(error_reason(error).strip().splitlines()), type(error).__name__)


def _read(file: IO[bytes], decode: Callable[[IO[bytes]], Result]) -> Result:
    """Return what `decode` reads from a file; from a PNG that it refuses once more, without metadata."""
    try:
        return decode(file)
    except ValueError:
        file.seek(0)
        if file.read(len(PNG_SIGNATURE)) != PNG_SIGNATURE:
            raise
    return decode(io.BytesIO(_without_metadata(file.read())))


def _without_metadata(content: bytes) -> bytes:
    """Return a PNG, given what follows its signature, without chunks of text and color profiles."""
    kept, start = [PNG_SIGNATURE], 0
    while start < len(content):
        end = start + 12 + int.from_bytes(content[start : start + 4])
        if content[start + 4 : start + 8] not in PNG_METADATA:
            kept.append(content[start:end])
        start = end
    return b"".join(kept)


def _header(file: IO[bytes], *, upright: bool) -> Header:
    with Image.open(file, formats=formats()) as image:
        _check_decodable(image, file)
        gray = image.mode in GRAY_MODES or _is_16_bit(image) or _has_gray_palette(image)
        if isinstance(image, PngImageFile) and image.mode == "RGBA":
            gray = image.tile[0][3] == "LA;16B"  # gray with transparency at 16 bits, which Pillow decodes as RGBA
        # A PNG may store its orientation after its pixels, so that reading the orientation decodes them.
        if upright and image.width != image.height and _orientation(image) in SIDEWAYS:
            # Before decoding, some versions of Pillow give a TIFF's size as turned and some as stored.
            ImageOps.exif_transpose(image, in_place=True)
        return Header(gray, image.width, image.height)


def _pixels(file: IO[bytes], *, decoding: Decoding) -> Tensor:
    size = decoding.size
    with Image.open(file, formats=formats()) as image:
        _check_decodable(image, file)
        drafted = None if size is None else image.draft(None, (size * DRAFT_FACTOR, size * DRAFT_FACTOR))
        orientation = 1 if drafted is None else _orientation(image)
        _prepare_color_key(image, file)
        ImageOps.exif_transpose(image, in_place=True)
        box = (0, 0, *image.size) if drafted is None else _upright_box(drafted[1], image.size, orientation)
        if decoding.depth == 16:  # noqa: PLR2004 - bits
            return _deep_pixels(image, decoding, box)
        flat = _resized(_flatten(image, decoding), decoding, box, decoding.luma if decoding.gray else decoding.color)
    pixels = torch.frombuffer(bytearray(flat.tobytes()), dtype=torch.uint8)
    return pixels.view(flat.height, flat.width, len(flat.getbands())).permute(2, 0, 1)


def _check_decodable(image: Image.Image, file: IO[bytes]) -> None:
    """Raise ValueError for a picture that Pillow (13.0) decodes to other pixels, or whose white is not defined."""
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers without a defined white")
    if isinstance(image, TiffImageFile):
        tags, bits = image.tag_v2, image.tag_v2.get(BITSPERSAMPLE, (1,))[0]
        if bits > 16:  # noqa: PLR2004 - bits
            raise ValueError("its pixels have 32 bits without a defined white")
        if SIGNED in tags.get(SAMPLEFORMAT, ()):
            raise ValueError("its pixels are signed numbers without a defined white")
        planes = tags.get(PLANAR_CONFIGURATION) == PLANES and image.info.get("compression") == "raw"
        if planes and bits == 16:  # noqa: PLR2004 - bits
            raise ValueError("its 16-bit colors are stored in planes, which Pillow mixes up")
    elif isinstance(image, Jpeg2KImageFile) and not _is_16_bit(image):
        file.seek(_code_stream(file) + DEPTH_OFFSET)
        bits = (file.read(1)[0] & MAX_DEPTH_BITS) + 1
        if bits > 8:  # noqa: PLR2004 - bits
            raise ValueError(f"its colors have {bits} bits, of which Pillow makes white black")


def _code_stream(file: IO[bytes]) -> int:
    """Return the position of the code stream of a JPEG 2000. Raises ValueError if no box holds one."""
    file.seek(0)
    start, head = 0, file.read(16)
    if head.startswith(CODE_STREAM):
        return 0
    while head[4:8] != b"jp2c":
        length = int.from_bytes(head[8:] if head.startswith(LONG_BOX) else head[:4])
        if length == 0:  # the last box, or the end of the file
            raise ValueError("it has no code stream")
        start += length
        file.seek(start)
        head = file.read(16)
    return start + (16 if head.startswith(LONG_BOX) else 8)


def _orientation(image: Image.Image) -> int:
    orientation: int = image.getexif().get(ExifTags.Base.Orientation, 1)
    return orientation


def _upright_box(stored: Box, size: tuple[int, int], orientation: int) -> Box:
    """Return the part of an upright picture that is filled by a JPEG decoded at a part of its size.

    The last column and row are filled by a fraction if the sides are not multiples of the scale. `stored` is the part
    in the file's orientation, from its first pixel; `size` is that of the upright picture.
    """
    width, height = stored[3:1:-1] if orientation in SIDEWAYS else stored[2:]
    left = size[0] - width if orientation in FROM_RIGHT else 0
    top = size[1] - height if orientation in FROM_BOTTOM else 0
    return left, top, left + width, top + height


def _prepare_color_key(image: Image.Image, file: IO[bytes]) -> None:
    """Scale the color key of a PNG as Pillow scales its pixels; turn that of 16-bit colors into transparency."""
    key = image.info.get("transparency")
    if not isinstance(image, PngImageFile) or not isinstance(key, int | tuple):
        return
    raw_mode = image.tile[0][3]
    if isinstance(key, int) and raw_mode in KEY_SCALES:
        largest, scale = KEY_SCALES[raw_mode]
        image.info["transparency"] = (key & largest) * scale
    elif isinstance(key, tuple) and raw_mode == "RGB":
        image.info["transparency"] = tuple(value & WHITE_8_BIT for value in key)
    elif isinstance(key, tuple):
        # Pillow keeps the high byte of each channel, but other colors have the key's: this reads the low bytes.
        high = np.asarray(image)
        file.seek(0)
        with Image.open(file, formats=("PNG",)) as again:
            again.tile = [(*again.tile[0][:3], "RGB;16L")]  # type: ignore[list-item]  # its named tuple is private
            low = np.asarray(again)
        opaque = (high.astype(np.uint16) * 256 + low != np.array(key)).any(axis=2)
        image.putalpha(Image.fromarray(opaque.astype(np.uint8) * WHITE_8_BIT))


def _has_gray_palette(image: Image.Image) -> bool:
    """Return whether all colors of a palette are gray."""
    if image.mode not in {"P", "PA"} or image.palette is None:
        return False
    probe = Image.new("P", (1, 1))
    probe.putpalette(image.palette)
    colors = np.reshape(probe.getpalette() or [], (-1, 3))
    return bool((colors == colors[:, :1]).all())


def _is_16_bit(image: Image.Image) -> bool:
    """Return whether a picture is gray with more than 8 bits; Pillow keeps some of them in 32."""
    return image.mode == "I" or image.mode.startswith("I;16")


def _resized(image: Image.Image, decoding: Decoding, box: Box, background: float | tuple[int, int, int]) -> Image.Image:
    """Return a part of a picture as a square, resized with antialiasing, or the picture for no size."""
    size = decoding.size
    if size is None:
        return image
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    if decoding.fit == "letterbox":
        scale = size / max(width, height)
        shape = max(1, round(width * scale)), max(1, round(height * scale))
        page = Image.new(image.mode, (size, size), background)
        inner = image.resize(shape, Image.Resampling.LANCZOS, box=box)
        page.paste(inner, ((size - shape[0]) // 2, (size - shape[1]) // 2))
        return page
    if decoding.fit == "crop":
        side = min(width, height)
        left, top = left + (width - side) * 0.5, top + (height - side) * 0.5
        box = left, top, left + side, top + side
    return image.resize((size, size), Image.Resampling.LANCZOS, box=box)


def _flatten(image: Image.Image, decoding: Decoding) -> Image.Image:
    """Return a picture of 8 bits per channel without transparency, gray or RGB."""
    mode = "L" if decoding.gray else "RGB"
    if _is_16_bit(image):
        # Pillow's own conversion to 8 bits clips at 255.
        values = _values_16_bit(image, decoding)
        scaled = ((values * WHITE_8_BIT + WHITE_16_BIT // 2) // WHITE_16_BIT).astype(np.uint8)
        return Image.fromarray(scaled).convert(mode)
    if image.has_transparency_data:
        picture = image if image.mode == "RGBA" else image.convert("RGBA")
        image = Image.new("RGB", image.size, decoding.color)
        image.paste(picture, mask=picture)
    # Pillow converts LAB to RGB only.
    return (image.convert("RGB") if image.mode == "LAB" else image).convert(mode)


def _values_16_bit(image: Image.Image, decoding: Decoding) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the values of a gray picture of 16 bits, `(H, W)`: 0 is black, transparent pixels have the background."""
    values = np.asarray(image).astype(np.int64)
    bits = image.tag_v2[BITSPERSAMPLE][0] if isinstance(image, TiffImageFile) else 16
    if values.size and (values.min() < 0 or values.max() > WHITE_16_BIT):
        raise ValueError("its pixels have 32 bits without a defined white")
    if isinstance(image, TiffImageFile):
        white_is_zero, largest = image.tag_v2[PHOTOMETRIC_INTERPRETATION] == 0, (1 << bits) - 1
        values = (largest - values if white_is_zero else values) * WHITE_16_BIT // largest
    key = image.info.get("transparency")
    return values if key is None else np.where(values == key, decoding.luma * WHITE_RATIO, values)


def _deep_pixels(image: Image.Image, decoding: Decoding, box: Box) -> Tensor:
    """Return a picture as float32 in [-1, 1], `(C, H, W)`: 16-bit gray in full depth, others from their 8 bits."""
    background = (decoding.luma,) if decoding.gray else decoding.color
    if _is_16_bit(image):
        bands = [_values_16_bit(image, decoding).astype(np.float32)] * len(background)
    else:
        bands = [np.asarray(band, np.float32) * WHITE_RATIO for band in _flatten(image, decoding).split()]
    resized = np.stack(
        [
            np.asarray(_resized(Image.fromarray(band), decoding, box, level * float(WHITE_RATIO)))
            for band, level in zip(bands, background, strict=True)
        ]
    )
    return torch.from_numpy(resized).div_(WHITE_16_BIT / 2).sub_(1).clamp_(-1, 1)  # Lanczos overshoots at edges

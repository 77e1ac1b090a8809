"""Conversion of pictures of any kind to 8-bit pixels."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import OPEN_INFO, PHOTOMETRIC_INTERPRETATION, TiffImageFile
from torch import Tensor

WHITE_16_BIT = 0xFFFF

# Pillow (13.0) has no entry for 16-bit TIFFs whose white is zero and whose first byte is the high one. It decodes the
# others without inverting them, which `_flat` does.
OPEN_INFO.setdefault((b"MM", 0, (1,), 1, (16,), ()), ("I;16B", "I;16B"))


def is_gray(picture: Image.Image) -> bool:
    """Return whether the kind of a picture has no colors; its pixels are not read."""
    return picture.mode in {"1", "L", "LA", "La"} or _is_16_bit(picture)


def to_pixels(picture: Image.Image, channels: int, size: int | None) -> Tensor:
    """Return a picture as `(C, H, W)` uint8, on white where it is transparent.

    Args:
        picture: The picture.
        channels: 1 for gray, 3 for RGB.
        size: Side to which the shorter side is resized (Lanczos, antialiased) before the longer side is cropped around
            its center, or None.

    Raises:
        ValueError: The pixels have no defined white.
    """
    flat = _flat(picture).convert("L" if channels == 1 else "RGB")
    if size is not None:
        flat = ImageOps.fit(flat, (size, size), method=Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(flat)).view(flat.height, flat.width, channels).permute(2, 0, 1)


def _flat(picture: Image.Image) -> Image.Image:
    """Return a picture of at most 8 bits per channel, and without transparency."""
    if picture.mode == "F":
        raise ValueError("its pixels are floating-point numbers without a defined white")
    if _is_16_bit(picture):
        values = np.asarray(picture).astype(np.int64)
        if values.min() < 0 or values.max() > WHITE_16_BIT:
            raise ValueError("its pixels have 32 bits without a defined white")
        if isinstance(picture, TiffImageFile) and picture.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == 0:
            values = WHITE_16_BIT - values
        return Image.fromarray(np.rint(values * (255 / WHITE_16_BIT)).astype(np.uint8))
    if not picture.has_transparency_data:
        return picture
    front = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", front.size, "white"), front)


def _is_16_bit(picture: Image.Image) -> bool:
    """Return whether a picture is gray with 16 bits; Pillow keeps some of them in 32."""
    return picture.mode == "I" or picture.mode.startswith("I;16")

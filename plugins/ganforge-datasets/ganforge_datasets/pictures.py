"""From a picture, of whatever kind, to 8-bit pixels of one shape."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

WHITE_16_BIT = 0xFFFF


def is_grey(picture: Image.Image) -> bool:
    """Tell whether a picture has no colours by its kind, not by its pixels."""
    return picture.mode in {"1", "L", "LA", "La"} or _is_sixteen_bit(picture)


def to_pixels(picture: Image.Image, channels: int, size: int | None) -> Tensor:
    """Return a picture's pixels, uint8 `(C, H, W)`, on white where it is transparent.

    size: the side that the shorter side is resized to (Lanczos, antialiased) before the longer one is cropped at its
    centre; None keeps it as it is. Raises ValueError for pixels of which it is not known what is white.
    """
    flat = _flat(picture).convert("L" if channels == 1 else "RGB")
    if size is not None:
        flat = ImageOps.fit(flat, (size, size), method=Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(flat)).view(flat.height, flat.width, channels).permute(2, 0, 1)


def _flat(picture: Image.Image) -> Image.Image:
    """Return a picture of at most 8 bits per channel, and without transparency."""
    if picture.mode == "F":
        raise ValueError("its pixels are floating-point numbers, of which it is not known what is white")
    if _is_sixteen_bit(picture):
        values = np.asarray(picture).astype(np.int64)
        if values.min() < 0 or values.max() > WHITE_16_BIT:
            raise ValueError("its pixels have 32 bits, of which it is not known what is white")
        return Image.fromarray(np.rint(values * (255 / WHITE_16_BIT)).astype(np.uint8))
    if not picture.has_transparency_data:
        return picture
    front = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", front.size, "white"), front)


def _is_sixteen_bit(picture: Image.Image) -> bool:
    """Tell whether a picture's grey has 16 bits; Pillow keeps some of them in 32."""
    return picture.mode == "I" or picture.mode.startswith("I;16")

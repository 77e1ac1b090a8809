"""Pictures for people: images as bytes, many in one grid, PNG files."""

from __future__ import annotations

import io
import math
import os
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

GREY, RGB = 1, 3


def to_uint8(images: Tensor) -> Tensor:
    """Turn images in [-1, 1] into bytes: (x + 1)·127.5, rounded to the nearest, clamped to 0…255.

    images: any float, `(N, C, H, W)`; returns uint8, `(N, C, H, W)`, on the same device. NaN becomes 0. For float32
    this is the exact inverse of the scaling of pixels, (x/255 - 0.5)/0.5, for all 256 values.
    """
    # Half precisions cannot hold all of 0…255 after the scaling, so it is done in float32.
    scaled = images.detach().float().add(1).mul(127.5).nan_to_num(nan=0.0)
    return scaled.round().clamp(0, 255).byte()


def visible_channels(images: Tensor) -> Tensor:
    """Return what a screen can show: grey as it is, otherwise the first three channels; of two, the first as grey.

    images: `(…, C, H, W)`; returns `(…, 1 or 3, H, W)`.
    """
    return images[..., :RGB, :, :] if images.shape[-3] >= RGB else images[..., :GREY, :, :]


def grid(images: Tensor, columns: int | None = None, padding: int = 2) -> Tensor:
    """Lay images out in rows, as near to a square as can be unless `columns` says how many stand in a row.

    images: uint8, `(N, C, H, W)`; returns uint8, `(1 or 3, H', W')`, see visible_channels. padding: pixels around and
    between the images; black, as places left over in the last row are, so that digits stand on one quiet ground.
    Raises ValueError where there is no image, or no column.
    """
    count = len(images)
    columns = math.ceil(math.sqrt(count)) if columns is None else min(columns, count)
    if columns < 1:
        raise ValueError(f"a grid needs at least one image and one column, not {count} and {columns}")
    images = visible_channels(images)
    _, channels, height, width = images.shape
    rows = math.ceil(count / columns)
    picture = images.new_zeros(channels, rows * (height + padding) + padding, columns * (width + padding) + padding)
    for index, image in enumerate(images):
        top = padding + index // columns * (height + padding)
        left = padding + index % columns * (width + padding)
        picture[:, top : top + height, left : left + width] = image
    return picture


def png_bytes(picture: Tensor) -> bytes:
    """Return a picture as the bytes of a PNG file; the same picture gives the same bytes.

    picture: uint8, `(C, H, W)`, on any device; shown as visible_channels says.
    """
    pixels = visible_channels(picture).cpu()
    array = pixels.squeeze(0).numpy() if len(pixels) == GREY else pixels.permute(1, 2, 0).contiguous().numpy()
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="PNG")
    return buffer.getvalue()


def save_png(picture: Tensor, path: Path) -> None:
    """Write a picture to a PNG file that is there whole or not at all.

    picture: uint8, `(C, H, W)`. The folder must exist. Raises OSError as the file system does, and leaves nothing then.
    """
    content = png_bytes(picture)
    # Beside the target, to stay within one file system; not by tempfile, whose files only their owner can read.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise

"""What the tests of image folders share: real pictures, and a short way to read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ganforge.builtin.datasets.folder import Folder


def folder(path: Path, **options: Any) -> Folder:
    """Make the data set as the engine does, from options."""
    return Folder(Folder.Options.model_validate({"path": path, **options}))


def save(path: Path, image: Image.Image | int = 0, **options: Any) -> Path:
    """Write a picture, or 4×4 pixels of one grey, and the folders that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new("L", (4, 4), image) if isinstance(image, int) else image
    picture.save(path, **options)
    return path


def greys(data: Folder, split: Any = "train") -> list[int]:
    """Return the first pixel of each picture: which ones there are, in order."""
    return [int(value) for value in data.load(split).pixels[:, 0, 0, 0]]


def noise(mode: str, size: tuple[int, int] = (40, 40)) -> Image.Image:
    """Return a picture of random pixels."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], bands), dtype=np.uint8)
    return Image.fromarray(values if bands > 1 else values[:, :, 0]).convert(mode)

"""Helpers of the tests of image folders: real pictures, and short ways to read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ganforge.builtin.datasets.folder import Folder
from ganforge.builtin.datasets.folder_stream import Pictures
from ganforge.components import ImageTensors, Split


def folder(path: Path, **options: Any) -> Folder:
    """Return the dataset, built from options as by the engine."""
    return Folder(Folder.Options.model_validate({"path": path, **options}))


def save(path: Path, image: Image.Image | int = 0, **options: Any) -> Path:
    """Write a picture, or 4×4 pixels of one gray, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new("L", (4, 4), image) if isinstance(image, int) else image
    picture.save(path, **options)
    return path


def in_memory(data: Folder, split: Split = "train") -> ImageTensors:
    """Return a split that is in memory."""
    opened = data.open(split)
    assert isinstance(opened, ImageTensors)
    return opened


def streamed(data: Folder, split: Split = "train") -> Pictures:
    """Return a split whose pictures are decoded when they are read."""
    opened = data.open(split)
    assert isinstance(opened, Pictures)
    return opened


def grays(data: Folder, split: Split = "train") -> list[int]:
    """Return the first pixel of each picture, which identifies it."""
    return [int(value) for value in in_memory(data, split).images[:, 0, 0, 0]]


def noise(mode: str, size: tuple[int, int] = (40, 40)) -> Image.Image:
    """Return a picture of random pixels."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], bands), dtype=np.uint8)
    return Image.fromarray(values if bands > 1 else values[:, :, 0]).convert(mode)

"""Helpers of the tests of image folders: real pictures, and short ways to read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ganforge.builtin.datasets.folder import Folder
from ganforge.builtin.datasets.folder_stream import Pictures
from ganforge.components import ImageTensors, Split
from ganforge.config import command_line_layer
from ganforge.config.resolve import resolve
from ganforge.plugins.registry import Registry
from ganforge.runs import launch
from ganforge.runs.setup import prepare
from ganforge.training.callbacks import Callback
from ganforge.training.run_directory import RunDirectory


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


def pictures(root: Path) -> Path:
    """Write two classes of six color pictures each, of two shapes, and return their folder."""
    for index in range(12):
        picture = noise("RGB", (20 + index, 18)).rotate(30 * index)
        save(root / f"{'cat' if index % 2 else 'dog'}" / f"{index}.png", picture)
    return root


def run_on(root: Path, out: Path, registry: Registry, *settings: str) -> RunDirectory:
    """Train a few steps on the pictures, and return the run directory."""
    networks = ("gen=mlp", "disc=mlp", "gen.hidden=[8]", "disc.hidden=[8]", "batch_size=5", "steps=6")
    data = ("data=folder", f"data.path={root}", "data.size=16", "precision=fp32", "device=cpu")
    evaluated = ("evaluate_every=3", "num_samples=10", "max_eval_time_fraction=1")
    layer = command_line_layer([*networks, *data, *evaluated, *settings])
    prepared = prepare(resolve([layer], registry), registry)
    assert launch.start_run(prepared, out=out, callback=Callback()).status == "finished"
    return RunDirectory(out)

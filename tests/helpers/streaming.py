"""Helpers of the tests of streaming: a local plugin with datasets that are streamed or in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

import pytest
import torch

from ganforge.config import command_line_layer
from ganforge.config.resolve import resolve
from ganforge.data.loader import Batch, BatchLoader
from ganforge.data.scoring import Scoring, build_scoring
from ganforge.plugins.registry import Registry

CPU = torch.device("cpu")
#: Number of images of every split.
IMAGES = 40
SETTINGS = ("gen=mlp", "disc=mlp", "gen.hidden=[8]", "disc.hidden=[8]", "batch_size=12", "precision=fp32", "device=cpu")
KINDS = ("classes", "points", "latents", "pairs", "maps", "extras")

#: `streamed` and `whole` hold the same images. `--data.how` changes the first: `noise` draws from all three global
#: generators, `pids` records which processes read, `handle` opens a file when it is first read, and the other words
#: damage image 7. `--data.kind` chooses images and conditions: `classes` (uint8 images), `points` (2×1×1 float32
#: without a condition), `latents` (4×8×8 float32 with vectors, decoded to 3×16×16), `pairs` (uint8 pictures as
#: conditions), `maps` (float32 tensors as conditions), and `extras` (classes, with three further tensors).
SOURCE = """
import os
import random
import time
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch.utils.data import Dataset as TorchDataset

from ganforge import Component, ConditionSpec, Dataset, DatasetInfo, ImageSpec, ImageTensors, hookimpl

IMAGES, CLASSES = 40, 3
SPECS = {
    "classes": ImageSpec(1, 8, 8, ConditionSpec.classes(CLASSES)),
    "points": ImageSpec(2, 1, 1, None, "float32"),
    "latents": ImageSpec(4, 8, 8, ConditionSpec.vector(("smile", "age")), "float32"),
    "pairs": ImageSpec(1, 8, 8, ConditionSpec.tensor((3, 8, 8))),
    "maps": ImageSpec(1, 8, 8, ConditionSpec.tensor((2, 4), "float32")),
    "extras": ImageSpec(1, 8, 8, ConditionSpec.classes(CLASSES)),
}


def image(index):
    return torch.randint(0, 256, (1, 8, 8), generator=torch.Generator().manual_seed(index), dtype=torch.uint8)


def item(kind, index):
    rng = torch.Generator().manual_seed(index)
    if kind == "points":
        angle = torch.tensor(index * 2 * torch.pi / IMAGES)
        return torch.stack([3 * angle.cos(), 3 * angle.sin()]).view(2, 1, 1), None, {}
    if kind == "latents":
        return 5 * torch.randn(4, 8, 8, generator=rng), torch.rand(2, generator=rng), {}
    if kind == "pairs":
        picture = torch.randint(0, 256, (3, 8, 8), generator=rng, dtype=torch.uint8)
        return image(index), picture, {}
    if kind == "maps":
        return image(index), torch.randn(2, 4, generator=rng), {}
    if kind == "extras":
        mask = torch.randint(0, 256, (8, 8), generator=rng, dtype=torch.uint8)
        extras = {"mask": mask, "weight": torch.tensor(index / 8), "id": torch.tensor(index)}
        return image(index), index % CLASSES, extras
    return image(index), index % CLASSES, {}


class Items(TorchDataset):
    def __init__(self, how, place, kind):
        self.how, self.place, self.kind = how, place, kind
        self.file = None

    def __len__(self):
        return IMAGES - (self.how == "short")

    def __getitem__(self, index):
        pixels, condition, extras = item(self.kind, index)
        if self.how == "noise":
            noise = int(torch.randint(0, 50, ())) + random.randrange(50) + np.random.randint(50)
            pixels = pixels // 2 + noise // 2
        if self.how == "pids":
            (self.place / str(os.getpid())).touch()
            time.sleep(0.002)
        if self.how == "handle":
            self.file = self.file or os.open(self.place / "pixels", os.O_RDONLY)
            os.lseek(self.file, 64 * index, os.SEEK_SET)
            time.sleep(0.001)
            pixels = torch.frombuffer(bytearray(os.read(self.file, 64)), dtype=torch.uint8).view(1, 8, 8)
        if index == 7:
            if self.how == "sleeps":
                time.sleep(100)
            if self.how == "raises":
                raise ValueError("no such\\npixel")
            if self.how == "exits":
                raise SystemExit(3)
            if self.how == "float":
                pixels = pixels.float()
            if self.how == "undefined":
                pixels = pixels / 0 * 0
            if self.how == "shape":
                pixels = pixels[:, :4]
            if self.how == "label":
                condition = CLASSES
            if self.how == "word":
                condition = "cat"
            if self.how == "long":
                condition = torch.zeros(3)
            if self.how == "infinite":
                condition = condition / 0
            if self.how == "bytes":
                condition = condition.to(torch.uint8)
            if self.how == "bare":
                return pixels
            if self.how == "quartet":
                return pixels, condition, {}, {}
            if self.how == "list":
                return pixels, condition, [torch.zeros(1)]
            if self.how == "numbers":
                extras = {**extras, "weight": 3.0}
            if self.how == "fewer":
                extras = {"mask": extras["mask"]}
            if self.how == "cropped":
                extras = {**extras, "mask": extras["mask"][:4]}
            if self.how == "double":
                extras = {**extras, "weight": extras["weight"].double()}
        return (pixels, condition, extras) if extras else (pixels, condition)


class Kinds(Dataset):
    class Options(Dataset.Options):
        how: str = "well"
        place: str = "."
        kind: Literal["classes", "points", "latents", "pairs", "maps", "extras"] = "classes"

    @property
    def class_names(self):
        return ("a", "b", "c") if SPECS[self.options.kind].num_classes else None

    def to_pixels(self, images):
        if self.options.kind != "latents":
            return super().to_pixels(images)
        return super().to_pixels(images[:, :3].repeat_interleave(2, 2).repeat_interleave(2, 3) / 10)

    def render(self, images):
        if self.options.kind != "points":
            return None
        picture = torch.zeros(1, 32, 32, dtype=torch.uint8)
        column, row = images.flatten(1).add(4).mul(4).long().clamp(0, 31).unbind(1)
        picture[0, row, column] = 255
        return picture


class Streamed(Kinds):
    @cached_property
    def info(self):
        sizes = {"train": IMAGES, "test": IMAGES}
        return DatasetInfo(SPECS[self.options.kind], self.class_names, sizes, "made up: 40")

    def open(self, split):
        return Items(self.options.how, Path(self.options.place), self.options.kind)


class Whole(Kinds):
    @property
    def condition_names(self):
        return ("smile", "age") if self.options.kind == "latents" else None

    def open(self, split):
        images, condition, extras = zip(*(item(self.options.kind, index) for index in range(IMAGES)))
        spec = SPECS[self.options.kind].condition
        if spec is None:
            condition = None
        elif spec.kind == "classes":
            condition = torch.tensor(condition)
        else:
            condition = torch.stack(condition)
        return ImageTensors(
            torch.stack(images), condition, {name: torch.stack([one[name] for one in extras]) for name in extras[0]}
        )


class Claims(Whole):
    @cached_property
    def info(self):
        claims = {
            "short": (IMAGES + 1, SPECS["classes"]),
            "channels": (IMAGES, ImageSpec(3, 8, 8, ConditionSpec.classes(CLASSES))),
            "float": (IMAGES, ImageSpec(1, 8, 8, ConditionSpec.classes(CLASSES), "float32")),
            "labels": (IMAGES, ImageSpec(1, 8, 8, ConditionSpec.classes(2))),
            "vector": (IMAGES, ImageSpec(1, 8, 8, ConditionSpec.vector(3))),
            "none": (IMAGES, ImageSpec(1, 8, 8)),
            "condition": (IMAGES, ImageSpec(1, 8, 8, ConditionSpec.vector(3))),
        }
        count, image = claims.get(self.options.how, claims["none"])
        return DatasetInfo(image, None, {"train": count, "test": IMAGES}, "made up: 40")

    def open(self, split):
        if self.options.how == "raises":
            return {}["no such split"]
        if self.options.how == "nothing":
            return None
        tensors = super().open(split)
        return ImageTensors(tensors.images) if self.options.how == "condition" else tensors


@hookimpl
def ganforge_components():
    return [
        Component(kind="dataset", name="streamed", target=Streamed),
        Component(kind="dataset", name="claims", target=Claims),
        Component(kind="dataset", name="whole", target=Whole),
    ]
"""


Score = Callable[..., Scoring]


@pytest.fixture
def opened(tmp_path: Path) -> Registry:
    """Return the registry with the datasets of the local plugin."""
    return Registry.discover([write_plugin(tmp_path)], no_plugins=True)


@pytest.fixture
def scoring(opened: Registry) -> Score:
    """Return a function that builds one of those datasets from settings."""
    return lambda *settings: build_scoring(resolve([command_line_layer([*SETTINGS, *settings])], opened))


def batches(loader: BatchLoader, indices: Iterable[int]) -> list[Batch]:
    """Return batches, and close the loader."""
    with closing(loader):
        return [loader.batch(index) for index in indices]


def same(one: Batch, two: Batch) -> bool:
    """Return whether two batches have the same bits."""
    if (one.condition is None) != (two.condition is None) or one.extras.keys() != two.extras.keys():
        return False
    pairs = [(one.images, two.images), *((one.extras[name], two.extras[name]) for name in one.extras)]
    if one.condition is not None and two.condition is not None:
        pairs.append((one.condition, two.condition))
    return all(first.dtype == second.dtype and torch.equal(first, second) for first, second in pairs)


def write_plugin(folder: Path) -> Path:
    """Write the local plugin, and return its path."""
    path = folder / "opened.py"
    path.write_text(SOURCE, encoding="utf-8")
    return path

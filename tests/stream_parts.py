"""What the tests of streaming share: a local plugin with a data set that is opened, and one that is loaded whole."""

from __future__ import annotations

from pathlib import Path

#: `streamed` and `whole` hold the same images. `--data.how` spoils the first: `noise` draws from all three global
#: generators, `pids` says which processes read, and the other words are something wrong with image 7.
SOURCE = """
import os
import random
import time
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch.utils.data import Dataset as TorchDataset

from ganforge import Component, DatasetInfo, Dataset, ImageSpec, Images, hookimpl

IMAGES, CLASSES = 40, 3


def image(index):
    return torch.randint(0, 256, (1, 8, 8), generator=torch.Generator().manual_seed(index), dtype=torch.uint8)


class Items(TorchDataset):
    def __init__(self, how, place):
        self.how, self.place = how, place

    def __len__(self):
        return IMAGES - (self.how == "short")

    def __getitem__(self, index):
        pixels, label = image(index), index % CLASSES
        if self.how == "noise":
            noise = int(torch.randint(0, 50, ())) + random.randrange(50) + np.random.randint(50)
            pixels = pixels // 2 + noise // 2
        if self.how == "pids":
            (self.place / str(os.getpid())).touch()
            time.sleep(0.002)
        if index == 7:
            if self.how == "sleeps":
                time.sleep(100)
            if self.how == "raises":
                raise ValueError("no such\\npixel")
            if self.how == "exits":
                raise SystemExit(3)
            if self.how == "float":
                pixels = pixels.float()
            if self.how == "shape":
                pixels = pixels[:, :4]
            if self.how == "label":
                label = CLASSES
            if self.how == "word":
                label = "cat"
            if self.how == "bare":
                return pixels
        return pixels, label


class Streamed(Dataset):
    class Options(Dataset.Options):
        how: str = "well"
        place: str = "."

    @cached_property
    def info(self):
        sizes = {"train": IMAGES, "test": IMAGES}
        return DatasetInfo("streamed", ImageSpec(1, 8, 8, CLASSES), ("a", "b", "c"), sizes, "made up: 40")

    def open(self, split):
        from pathlib import Path

        return Items(self.options.how, Path(self.options.place))


class Whole(Dataset):
    @property
    def class_names(self):
        return ("a", "b", "c")

    def load(self, split):
        pixels = torch.stack([image(index) for index in range(IMAGES)])
        return Images(pixels, torch.arange(IMAGES) % CLASSES)


class Claims(Whole):
    class Options(Dataset.Options):
        how: str = "short"

    @cached_property
    def info(self):
        sizes = {"train": IMAGES + 1, "test": IMAGES}
        return DatasetInfo("claims", ImageSpec(1, 8, 8, CLASSES), ("a", "b", "c"), sizes, "made up: 40")

    def load(self, split):
        return {}["no such split"] if self.options.how == "raises" else super().load(split)


@hookimpl
def ganforge_components():
    return [
        Component(kind="dataset", name="streamed", target=Streamed),
        Component(kind="dataset", name="claims", target=Claims),
        Component(kind="dataset", name="whole", target=Whole),
    ]
"""


def write_plugin(folder: Path) -> Path:
    """Write the local plugin, and return its path."""
    path = folder / "opened.py"
    path.write_text(SOURCE, encoding="utf-8")
    return path

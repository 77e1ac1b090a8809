"""CIFAR-10."""

from __future__ import annotations

from pathlib import Path

import torch
from torchvision.datasets import CIFAR10

from ganforge import Images
from ganforge_datasets.downloaded import LoadedWhole

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class Cifar10(LoadedWhole):
    """Small photographs: pixels `(N, 3, 32, 32)`, ten classes of 5,000 + 1,000 images each.

    Its files are pickles, which run code when they are read; torchvision reads none whose MD5 is not the original's.
    """

    title = "CIFAR-10"
    megabytes = 171
    folder = CIFAR10.base_folder

    @property
    def checksums(self) -> dict[str, str]:
        """The six batches and their table of names."""
        return dict([*CIFAR10.train_list, *CIFAR10.test_list, (CIFAR10.meta["filename"], CIFAR10.meta["md5"])])

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where torchvision gets its one archive."""
        return (CIFAR10.url,)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The labels' names."""
        return CLASSES

    def read(self, split: str) -> Images:
        """Read a split's batches: pixels `(N, 3, 32, 32)` uint8, labels `(N,)` int64."""
        found = CIFAR10(self.root, train=split == "train")
        pixels = torch.from_numpy(found.data).permute(0, 3, 1, 2).contiguous()
        return Images(pixels, torch.tensor(found.targets))

    @classmethod
    def fetch(cls, root: Path, *arguments: str) -> None:
        """Download into `root`, with torchvision."""
        CIFAR10(root, download=True)

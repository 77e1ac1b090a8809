"""CIFAR-10."""

from __future__ import annotations

from pathlib import Path

import torch
from torchvision.datasets import CIFAR10

from ganforge import ImageTensors
from ganforge_datasets.downloaded import DownloadedInMemory

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class Cifar10(DownloadedInMemory):
    """Small photographs: images `(N, 3, 32, 32)`, ten classes of 5,000 + 1,000 images each.

    The files are pickles, which run code when they are read; torchvision reads only those with the original MD5.
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
        """Address of the archive."""
        return (CIFAR10.url,)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return CLASSES

    def read(self, split: str) -> ImageTensors:
        """Return a split: images `(N, 3, 32, 32)` uint8, classes `(N,)` int64."""
        cifar = CIFAR10(self.root, train=split == "train")
        images = torch.from_numpy(cifar.data).permute(0, 3, 1, 2).contiguous()
        return ImageTensors(images, torch.tensor(cifar.targets))

    @classmethod
    def fetch(cls, root: Path, *arguments: str) -> None:
        """Download into `root` with torchvision."""
        CIFAR10(root, download=True)

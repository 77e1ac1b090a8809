"""Street View House Numbers."""

from __future__ import annotations

from pathlib import Path

import torch
from torchvision.datasets import SVHN

from ganforge import ImageTensors
from ganforge_datasets.downloaded import DownloadedInMemory


class Svhn(DownloadedInMemory):
    """House numbers, cropped to one digit: images `(N, 3, 32, 32)`, classes 0 to 9; 73,257 + 26,032 images."""

    title = "SVHN"
    megabytes = 246
    folder = "."

    @property
    def checksums(self) -> dict[str, str]:
        """One file for each split."""
        return dict(SVHN.split_list[split][1:] for split in self.splits)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Addresses that torchvision downloads from."""
        return tuple(SVHN.split_list[split][0] for split in self.splits)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The digits, `0` to `9`."""
        return tuple(map(str, range(10)))

    def read(self, split: str) -> ImageTensors:
        """Return a split: images `(N, 3, 32, 32)` uint8, classes `(N,)` int64."""
        svhn = SVHN(self.root, split=split)
        return ImageTensors(torch.from_numpy(svhn.data).contiguous(), torch.from_numpy(svhn.labels))

    @classmethod
    def fetch(cls, root: Path, *arguments: str) -> None:
        """Download into `root` with torchvision."""
        for split in ("train", "test"):
            SVHN(root, split=split, download=True)

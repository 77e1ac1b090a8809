"""Street View House Numbers."""

from __future__ import annotations

from pathlib import Path

import torch
from torchvision.datasets import SVHN

from ganforge import Images
from ganforge_datasets.downloaded import LoadedWhole


class Svhn(LoadedWhole):
    """House numbers, cropped to one digit: pixels `(N, 3, 32, 32)`, labels 0 to 9; 73,257 + 26,032 images."""

    title = "SVHN"
    megabytes = 246
    folder = "."

    @property
    def checksums(self) -> dict[str, str]:
        """A file for each split."""
        return dict(SVHN.split_list[split][1:] for split in self.splits)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where torchvision gets the files."""
        return tuple(SVHN.split_list[split][0] for split in self.splits)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The digits, `0` to `9`."""
        return tuple(map(str, range(10)))

    def read(self, split: str) -> Images:
        """Read a split's file: pixels `(N, 3, 32, 32)` uint8, labels `(N,)` int64."""
        found = SVHN(self.root, split=split)
        return Images(torch.from_numpy(found.data).contiguous(), torch.from_numpy(found.labels))

    @classmethod
    def fetch(cls, root: Path, *arguments: str) -> None:
        """Download into `root`, with torchvision."""
        for split in ("train", "test"):
            SVHN(root, split=split, download=True)

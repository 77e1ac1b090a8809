"""Selection of the dataset's images for an evaluation, by the seed."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from ganforge.components import Split
from ganforge.data.scoring import Scoring
from ganforge.utils.rng import Stream, derive_generator

#: Most training images that fakes are compared with.
MAX_TRAIN_IMAGES = 100_000


class ImageSelection:
    """Indices of an evaluation's images. The same seed, split and count select the same images for every generator.

    Args:
        scoring: The dataset.
        num_samples: Number of real images, and of fakes.
        split: Split of the real images.
        seed: Seed of the selection.
        fingerprint: Fingerprint of the split if its images are not read, else None.
    """

    def __init__(
        self, scoring: Scoring, *, num_samples: int, split: Split, seed: int, fingerprint: str | None = None
    ) -> None:
        self.scoring = scoring
        self.num_samples = num_samples
        self.split = split
        self.seed = seed
        self._fingerprint = fingerprint

    @property
    def real(self) -> Tensor:
        """Indices of the real images in `split`, `(N,)` int64."""
        return self._order(self.split, "evaluation")[: self.num_samples]

    @property
    def reference(self) -> Tensor | None:
        """Indices of as many training images, none of them among the real ones; None if there are too few."""
        if self.split == "train":
            indices = self._order("train", "evaluation")[self.num_samples : 2 * self.num_samples]
        else:
            indices = self._order("train", "evaluation/reference")[: self.num_samples]
        return indices if len(indices) == self.num_samples else None

    @cached_property
    def train(self) -> Tensor:
        """Indices of the training images: all, in their order, or `MAX_TRAIN_IMAGES` of them."""
        size = self.scoring.info.sizes["train"]
        if size <= MAX_TRAIN_IMAGES:
            return torch.arange(size)
        return self._order("train", "evaluation/train")[:MAX_TRAIN_IMAGES]

    @cached_property
    def fingerprint(self) -> str:
        """Fingerprint of the real images' split: of all images in memory, or of some that are read."""
        if self._fingerprint is not None:
            return self._fingerprint
        images = self.scoring.images(self.split)
        return self.scoring.reader(self.split).fingerprint() if images is None else images.fingerprint()

    def _order(self, split: Split, stream: Stream) -> Tensor:
        return torch.randperm(self.scoring.info.sizes[split], generator=derive_generator(self.seed, stream))

"""The real images of an evaluation: chosen by the seed, and held for as long as a run is scored on them."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from ganforge.components import Images, Split
from ganforge.data.scoring import Scoring
from ganforge.utils.rng import Stream, stream_rng

#: Training images are searched for copies: all of them, or at most so many, and at most so many bytes of pixels.
MOST_TRAIN_IMAGES = 100_000
MOST_TRAIN_BYTES = 2**30


class Material:
    """Choose images of the data: those that count as real, as many for the floor, and those that were trained on.

    The same seed, split and count give the same images, whichever generator is scored on them.
    """

    def __init__(self, scoring: Scoring, *, count: int, split: Split, seed: int) -> None:
        self.scoring = scoring
        self.count = count
        self.split = split
        self.seed = seed

    @cached_property
    def real(self) -> Images:
        """The images that count as real."""
        return self._take(self.split, self._order(self.split, "evaluation")[: self.count])

    def forget(self) -> None:
        """Read the images anew when they are next asked for: somebody has written into them."""
        for name in ("real", "train"):
            self.__dict__.pop(name, None)

    def floor(self) -> Images | None:
        """Return as many training images that are not among the real ones, or None where there are too few."""
        if self.split == "train":
            chosen = self._order("train", "evaluation")[self.count : 2 * self.count]
        else:
            chosen = self._order("train", "evaluation/floor")[: self.count]
        return None if len(chosen) < self.count else self._take("train", chosen)

    @cached_property
    def train(self) -> Tensor:
        """Images that were trained on, `(T, C, H, W)`: all, in their order, where they are not too many."""
        size, most = self.scoring.info.sizes["train"], min(MOST_TRAIN_IMAGES, self._most_that_fit)
        order = torch.arange(size) if size <= most else self._order("train", "evaluation/train")[:most]
        return self._take("train", order).pixels

    @cached_property
    def fingerprint(self) -> str:
        """The fingerprint of the split that is scored on; that of the data where it is not loaded whole."""
        images = self.scoring.images(self.split)
        return self.scoring.info.fingerprint if images is None else images.fingerprint()

    @property
    def _most_that_fit(self) -> int:
        return max(1, MOST_TRAIN_BYTES // self.scoring.info.image.numel)

    def _order(self, split: Split, stream: Stream) -> Tensor:
        return torch.randperm(self.scoring.info.sizes[split], generator=stream_rng(self.seed, stream))

    def _take(self, split: Split, chosen: Tensor) -> Images:
        return self.scoring.take(split, chosen.tolist(), "evaluation/items")

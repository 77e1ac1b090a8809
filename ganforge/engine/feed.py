"""Real images for each discriminator update, in an order that the seed and the epoch alone decide."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ganforge.interfaces import Images
from ganforge.randomness import stream_rng


@dataclass(frozen=True, slots=True)
class Batch:
    """Hold one batch on the device: images in [-1, 1], `(N, C, H, W)` float32, and labels, `(N,)` int64, or None."""

    images: Tensor
    labels: Tensor | None


def normalise(pixels: Tensor) -> Tensor:
    """Return images in [-1, 1], float32, of pixels, uint8: (x/255 - 0.5)/0.5, as the textbook writes it."""
    return pixels.to(torch.float32).div_(255).sub_(0.5).div_(0.5)


class ResidentFeed:
    """Keep all images on the device as uint8 and normalise each batch there.

    Batch b is a slice of the permutation of epoch b // batches_per_epoch. An epoch's last images, fewer than a batch,
    are left to the next epochs, so that every step has one shape.
    """

    def __init__(self, images: Images, *, batch_size: int, seed: int, device: torch.device) -> None:
        self.pixels = images.pixels.to(device)
        self.labels = None if images.labels is None else images.labels.to(device)
        self.batch_size = batch_size
        self.batches_per_epoch = len(images) // batch_size
        self._seed = seed
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.int64, device=device)

    def batch(self, index: int) -> Batch:
        """Return batch `index`, counted from the first of the run."""
        epoch, position = divmod(index, self.batches_per_epoch)
        if epoch != self._epoch:
            order = torch.randperm(len(self.pixels), generator=stream_rng(self._seed, "data", epoch))
            self._order, self._epoch = order.to(self.pixels.device), epoch
        chosen = self._order[position * self.batch_size : (position + 1) * self.batch_size]
        labels = None if self.labels is None else self.labels[chosen]
        return Batch(normalise(self.pixels[chosen]), labels)

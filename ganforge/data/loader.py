"""Real images for each discriminator update, in an order that the seed and the epoch alone decide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ganforge.components import Images
from ganforge.utils.rng import stream_rng


@dataclass(frozen=True, slots=True)
class Batch:
    """Hold one batch on the device: images in [-1, 1], `(N, C, H, W)` float32, and labels, `(N,)` int64, or None."""

    images: Tensor
    labels: Tensor | None


class Feed(Protocol):
    """Give the batches of a run by their number, on the device.

    size: images in the split. batch_size: images in a batch, of all ranks together. `batch` returns this rank's part
    of batch `index`, counted from the first of the run. `close` lets go of whatever reads; it may be called twice.
    """

    size: int
    batch_size: int
    batches_per_epoch: int

    def batch(self, index: int) -> Batch: ...  # noqa: D102 - said above

    def close(self) -> None: ...  # noqa: D102 - said above


def normalise(pixels: Tensor) -> Tensor:
    """Return images in [-1, 1], float32, of pixels, uint8.

    The textbook writes (x/255 - 0.5)/0.5; x/127.5 - 1 is the same to the bit, since halves and doubles are exact.
    """
    return pixels.div(127.5).sub_(1)


class Order:
    """Say which images each batch has.

    Batch b is a slice of the permutation of epoch b // batches_per_epoch. An epoch's last images, fewer than a batch,
    are left to the next epochs, so that every step has one shape. Each of several ranks gets an equal part of the
    slice, the first rank the first.

    device: where the numbers lie.
    """

    def __init__(
        self, size: int, *, batch_size: int, seed: int, device: torch.device, rank: int = 0, ranks: int = 1
    ) -> None:
        assert batch_size % ranks == 0, "whoever starts the ranks checks it"  # noqa: S101
        self.batches_per_epoch = size // batch_size
        self._size = size
        self._batch_size = batch_size
        self._seed = seed
        self._part = batch_size // ranks
        self._begin = rank * self._part
        self._epoch = -1
        self._permutation = torch.empty(0, dtype=torch.int64, device=device)

    def images(self, index: int) -> Tensor:
        """Return the numbers of the images of this rank's part of batch `index`, `(N,)` int64."""
        epoch, position = divmod(index, self.batches_per_epoch)
        if epoch != self._epoch:
            permutation = torch.randperm(self._size, generator=stream_rng(self._seed, "data", epoch))
            self._permutation, self._epoch = permutation.to(self._permutation.device), epoch
        begin = position * self._batch_size + self._begin
        return self._permutation[begin : begin + self._part]


def fits(needed: int, free: int | None) -> bool:
    """Tell whether so many bytes of images may stay on a device: they take at most half of what is free, if known."""
    return free is None or needed <= free // 2


def free_bytes(device: torch.device) -> int | None:
    """Return how much memory a device of its own has free; None where it shares the machine's."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """Copy a batch to the device while that still computes; from pinned memory where it is a GPU."""
    if device.type != "cuda" or values.device == device:
        return values.to(device)
    return (values if values.is_pinned() else values.pin_memory()).to(device, non_blocking=True)


class ResidentFeed:
    """Keep all images in memory as uint8, on the device where they fit, and normalise each batch there."""

    def __init__(
        self, images: Images, *, batch_size: int, seed: int, device: torch.device, rank: int = 0, ranks: int = 1
    ) -> None:
        on_device = fits(images.pixels.nbytes, free_bytes(device))
        self.pixels = images.pixels.to(device) if on_device else images.pixels
        self.labels = None if images.labels is None else images.labels.to(self.pixels.device)
        self.size = len(images)
        self.batch_size = batch_size
        self._device = device
        self._order = Order(
            self.size, batch_size=batch_size, seed=seed, device=self.pixels.device, rank=rank, ranks=ranks
        )
        self.batches_per_epoch = self._order.batches_per_epoch

    def batch(self, index: int) -> Batch:
        """Return this rank's part of batch `index`, counted from the first of the run."""
        chosen = self._order.images(index)
        labels = None if self.labels is None else to_device(self.labels.index_select(0, chosen), self._device)
        return Batch(normalise(to_device(self.pixels.index_select(0, chosen), self._device)), labels)

    def close(self) -> None:
        """Do nothing: no process reads."""

"""Batches of real images, in an order that the seed and the epoch alone decide."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from ganforge.components import ImageTensors
from ganforge.utils.images import normalize
from ganforge.utils.rng import derive_generator

CPU = torch.device("cpu")


class Batch(ImageTensors):
    """Images as networks see them: uint8 images and conditions are float32 in [-1, 1], extras as stored."""

    __slots__ = ()

    @classmethod
    def of(cls, tensors: ImageTensors) -> Batch:
        """Return stored images as networks see them, on the same device."""
        condition = None if tensors.condition is None else normalize(tensors.condition)
        return cls(normalize(tensors.images), condition, tensors.extras)

    def chunk(self, parts: int) -> list[Batch]:
        """Return equal parts, for gradient accumulation."""

        def part(number: int) -> Batch:
            return self.map(lambda values: values.chunk(parts)[number])

        return [part(number) for number in range(parts)]


class EpochSampler:
    """Indices of the images of each batch.

    Batch b is a slice of the permutation of epoch b // batches_per_epoch. The last images of an epoch, fewer than a
    batch, are left out, so that every step has the same shape. Ranks get equal parts of the slice, in order.
    The `batch_size` is that of all ranks together.
    """

    def __init__(self, size: int, *, batch_size: int, seed: int, rank: int = 0, world_size: int = 1) -> None:
        assert batch_size % world_size == 0, "checked before the ranks start"  # noqa: S101
        self.seed = seed
        self.rank = rank
        self.batches_per_epoch = size // batch_size
        self.size = size
        self.batch_size = batch_size
        self._local_batch_size = batch_size // world_size
        self._epoch = -1
        self._permutation = torch.empty(0, dtype=torch.int64)

    def indices(self, batch: int, device: torch.device = CPU) -> Tensor:
        """Return the indices of this rank's images of a batch, `(N,)` int64, on a device."""
        epoch, position = divmod(batch, self.batches_per_epoch)
        if epoch != self._epoch:
            permutation = torch.randperm(self.size, generator=derive_generator(self.seed, "data", epoch))
            self._permutation, self._epoch = permutation, epoch
        self._permutation = self._permutation.to(device)
        start = position * self.batch_size + self.rank * self._local_batch_size
        return self._permutation[start : start + self._local_batch_size]


class BatchLoader(ABC):
    """Batches of a run, by number, on a device."""

    def __init__(self, sampler: EpochSampler, device: torch.device) -> None:
        self.sampler = sampler
        self.device = device

    @abstractmethod
    def batch(self, index: int) -> Batch:
        """Return this rank's part of batch `index`, counted from the first batch of the run."""

    def close(self) -> None:  # noqa: B027 - nothing to close in memory
        """Stop the worker processes, if any; a second call does nothing."""


def fits(required_bytes: int, free: int | None) -> bool:
    """Return whether tensors may stay on a device: they take at most half of its free memory, if that is known."""
    return free is None or required_bytes <= free // 2


def free_bytes(device: torch.device) -> int | None:
    """Return the free memory of a GPU, or None for a device that shares the machine's memory."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor to the device without waiting for it, through pinned memory for a GPU."""
    if device.type != "cuda" or values.device == device:
        return values.to(device)
    return (values if values.is_pinned() else values.pin_memory()).to(device, non_blocking=True)


def tensors_of(images: ImageTensors) -> list[Tensor]:
    """Return images, condition and extras."""
    return [values for values in (images.images, images.condition, *images.extras.values()) if values is not None]


class InMemoryLoader(BatchLoader):
    """Loader of a split in memory, on the device if it fits there; batches are normalized on the device."""

    def __init__(self, tensors: ImageTensors, sampler: EpochSampler, device: torch.device) -> None:
        super().__init__(sampler, device)
        resident = fits(sum(values.nbytes for values in tensors_of(tensors)), free_bytes(device))
        self.tensors = tensors.map(lambda values: values.to(device)) if resident else tensors

    def batch(self, index: int) -> Batch:
        """Return this rank's part of batch `index`, counted from the first batch of the run."""
        selected = self.tensors.select(self.sampler.indices(index, self.tensors.images.device))
        return Batch.of(selected.map(lambda values: to_device(values, self.device)))

"""Batches of real images, in an order that the seed and the epoch alone decide."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ganforge.components import ImageTensors
from ganforge.utils.images import normalize
from ganforge.utils.rng import derive_generator


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


class BatchLoader(Protocol):
    """Batches of a run, by number.

    Attributes:
        size: Number of images in the split.
        batch_size: Images per batch, all ranks together.
        batches_per_epoch: Whole batches per epoch.
    """

    size: int
    batch_size: int
    batches_per_epoch: int

    def batch(self, index: int) -> Batch:
        """Return this rank's part of batch `index`, counted from the first batch of the run."""
        ...

    def close(self) -> None:
        """Stop the worker processes, if any; a second call does nothing."""
        ...


class EpochSampler:
    """Indices of the images of each batch.

    Batch b is a slice of the permutation of epoch b // batches_per_epoch. The last images of an epoch, fewer than a
    batch, are left out, so that every step has the same shape. Ranks get equal parts of the slice, in order.

    Args:
        size: Number of images in the split.
        batch_size: Images per batch, all ranks together; a multiple of `world_size`.
        seed: Seed of the run.
        device: Where the indices are needed.
        rank: Number of this process.
        world_size: Number of processes.
    """

    def __init__(
        self, size: int, *, batch_size: int, seed: int, device: torch.device, rank: int = 0, world_size: int = 1
    ) -> None:
        assert batch_size % world_size == 0, "checked before the ranks start"  # noqa: S101
        self.batches_per_epoch = size // batch_size
        self._size = size
        self._batch_size = batch_size
        self._seed = seed
        self._local_batch_size = batch_size // world_size
        self._offset = rank * self._local_batch_size
        self._epoch = -1
        self._permutation = torch.empty(0, dtype=torch.int64, device=device)

    def indices(self, batch: int) -> Tensor:
        """Return the indices of this rank's images of a batch, `(N,)` int64."""
        epoch, position = divmod(batch, self.batches_per_epoch)
        if epoch != self._epoch:
            permutation = torch.randperm(self._size, generator=derive_generator(self._seed, "data", epoch))
            self._permutation, self._epoch = permutation.to(self._permutation.device), epoch
        start = position * self._batch_size + self._offset
        return self._permutation[start : start + self._local_batch_size]


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


class InMemoryLoader:
    """Loader of a split in memory, on the device if it fits there; batches are normalized on the device."""

    def __init__(
        self,
        tensors: ImageTensors,
        *,
        batch_size: int,
        seed: int,
        device: torch.device,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        resident = fits(sum(values.nbytes for values in tensors_of(tensors)), free_bytes(device))
        self.tensors = tensors.map(lambda values: values.to(device)) if resident else tensors
        self.size = len(tensors)
        self.batch_size = batch_size
        self._device = device
        self._sampler = EpochSampler(
            self.size,
            batch_size=batch_size,
            seed=seed,
            device=self.tensors.images.device,
            rank=rank,
            world_size=world_size,
        )
        self.batches_per_epoch = self._sampler.batches_per_epoch

    def batch(self, index: int) -> Batch:
        """Return this rank's part of batch `index`, counted from the first batch of the run."""
        selected = self.tensors.select(self._sampler.indices(index))
        return Batch.of(selected.map(lambda values: to_device(values, self._device)))

    def close(self) -> None:
        """Do nothing: there are no workers."""

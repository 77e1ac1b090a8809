"""Real images that do not fit in memory, read in advance by processes of their own, in the order of any other data."""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from ganforge.data.loader import Batch, Feed, Order, ResidentFeed, normalise, to_device
from ganforge.data.reader import Reader
from ganforge.data.scoring import Scoring
from ganforge.data.workers import begin, ending, how_one_ended, signals_kept, start_method
from ganforge.errors import DataError, TrainingError
from ganforge.utils.rng import stream_rng


def make_feed(gan: Scoring, device: torch.device, *, rank: int = 0, ranks: int = 1) -> Feed:
    """Return a feed of the training images: resident where they are loaded whole, else streamed."""
    experiment, images = gan.resolved.experiment, gan.images("train")
    if images is not None:
        return ResidentFeed(
            images, batch_size=experiment.batch_size, seed=experiment.seed, device=device, rank=rank, ranks=ranks
        )
    return StreamFeed(
        gan.reader("train"),
        size=gan.info.sizes["train"],
        batch_size=experiment.batch_size,
        seed=experiment.seed,
        device=device,
        workers=experiment.workers,
        rank=rank,
        ranks=ranks,
    )


class StreamFeed:
    """Read batches in advance, in `workers` processes or in this one for 0, and normalise them on the device.

    The processes start with the first batch that is asked for, and again wherever another than the next one is.
    Raises DataError for an image that cannot be read, and TrainingError where a process was killed.
    """

    def __init__(
        self,
        reader: Reader,
        *,
        size: int,
        batch_size: int,
        seed: int,
        device: torch.device,
        workers: int,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self.size = size
        self.batch_size = batch_size
        self._order = Order(size, batch_size=batch_size, seed=seed, device=torch.device("cpu"), rank=rank, ranks=ranks)
        self.batches_per_epoch = self._order.batches_per_epoch
        self._items = _Items(reader, rank)
        self._seed = seed
        self._device = device
        self._workers = workers
        self._iterator: Iterator[_Pixels | _Trouble] | None = None
        self._processes: list[BaseProcess] = []
        self._next = 0
        self._last: _Pixels | None = None

    def batch(self, index: int) -> Batch:
        """Return this rank's part of batch `index`, counted from the first of the run."""
        if self._last is None or index != self._next - 1:
            found = self._fetch(index)
            labels = None if found.labels is None else to_device(found.labels, self._device)
            self._last = _Pixels(to_device(found.pixels, self._device), labels)
        return Batch(normalise(self._last.pixels), self._last.labels)

    def close(self) -> None:
        """End the processes that read; a batch that is asked for later starts them again."""
        with ending(self._processes):
            self._last = self._iterator = None  # DataLoader's iterator sends its processes home when it goes
        self._processes = []

    def _fetch(self, index: int) -> _Pixels:
        if self._iterator is None or index != self._next:
            self.close()
            self._start(index)
        assert self._iterator is not None, "just started"  # noqa: S101
        how = None
        try:
            found = next(self._iterator)
        except Exception:
            # Items' own errors come as values. Of a process that is gone, DataLoader and pipes say so in many ways.
            how = how_one_ended(self._processes)
            if how is None:
                raise
        if how is not None:
            self.close()
            raise TrainingError(
                f"a process that reads {self._items.reader.what} {how}",
                fix="read with fewer processes, such as --workers 1; --workers 0 reads within the training process",
            )
        if isinstance(found, _Trouble):
            self.close()
            raise DataError(found.message, fix=found.fix)
        self._next = index + 1
        return found

    def _start(self, index: int) -> None:
        """Start reading at batch `index`."""
        others = set(multiprocessing.active_children())
        # More processes than cores are the person's choice. Python warns of forking beside threads; a child here uses
        # no thread but its own.
        with warnings.catch_warnings(action="ignore"), signals_kept():
            loader = DataLoader(
                self._items,
                batch_sampler=_Tasks(self._order, index),
                num_workers=self._workers,
                collate_fn=_unchanged,
                worker_init_fn=begin,
                multiprocessing_context=start_method() if self._workers else None,
                generator=stream_rng(self._seed, "data/items"),  # it draws a seed, which is not used
            )
            self._iterator = iter(loader)
        self._processes = [process for process in multiprocessing.active_children() if process not in others]


class _Task(NamedTuple):
    """Name a batch, and the images that it has."""

    number: int
    images: list[int]


class _Pixels(NamedTuple):
    """Hold uint8 pixels, `(N, C, H, W)`, and labels, `(N,)` int64, or None."""

    pixels: Tensor
    labels: Tensor | None


class _Trouble(NamedTuple):
    """Hold a DataError's two parts, on their way out of a process without its traceback."""

    message: str
    fix: str | None


class _Tasks:
    """Yield the batches of a run from any one on, for ever."""

    def __init__(self, order: Order, index: int) -> None:
        self._order = order
        self._index = index

    def __iter__(self) -> Iterator[Any]:  # DataLoader passes on whatever it is
        index = self._index
        while True:
            yield _Task(index, self._order.images(index).tolist())
            index += 1


class _Items(TorchDataset[_Pixels]):
    """Make whole batches, in whichever process."""

    def __init__(self, reader: Reader, rank: int) -> None:
        self.reader = reader
        self._rank = rank

    def __getitems__(self, task: _Task) -> _Pixels | _Trouble:
        try:
            images = self.reader.read(task.images, "data/items", task.number, self._rank)
        except DataError as error:
            return _Trouble(error.message, error.fix)
        return _Pixels(images.pixels, images.labels)


def _unchanged(batch: Any) -> Any:  # noqa: ANN401 - DataLoader's collate_fn, for a batch that is one already
    return batch

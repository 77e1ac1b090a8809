"""Loader of images that do not fit in memory: worker processes read them in advance, in the order of any other data."""

from __future__ import annotations

import itertools
import multiprocessing
import warnings
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from ganforge.components import ImageTensors
from ganforge.data.loader import Batch, BatchLoader, EpochSampler, InMemoryLoader, to_device
from ganforge.data.reader import Reader
from ganforge.data.scoring import Scoring
from ganforge.data.workers import FIX, describe_exit, initialize_worker, signals_kept, start_method, terminating
from ganforge.errors import DataError, GanforgeError, TrainingError
from ganforge.utils.files import error_reason
from ganforge.utils.rng import derive_generator
from ganforge.utils.tracebacks import summarize_exception


def make_loader(
    scoring: Scoring, device: torch.device, *, rank: int = 0, world_size: int = 1, batch_size: int | None = None
) -> BatchLoader:
    """Return a loader of the training images: from memory if they are there, else by streaming.

    The batch size, of all ranks together, is the configuration's by default.
    """
    experiment, opened = scoring.resolved.experiment, scoring.open("train")
    sampler = EpochSampler(
        scoring.info.sizes["train"],
        batch_size=experiment.batch_size if batch_size is None else batch_size,
        seed=experiment.seed,
        rank=rank,
        world_size=world_size,
    )
    if isinstance(opened, ImageTensors):
        return InMemoryLoader(opened, sampler, device)
    return StreamingLoader(opened, sampler, device, workers=experiment.workers)


class StreamingLoader(BatchLoader):
    """Loader that reads batches in advance in worker processes, or in this process without workers.

    Workers start with the first batch, and restart when batches are requested out of order.
    """

    def __init__(self, reader: Reader, sampler: EpochSampler, device: torch.device, *, workers: int) -> None:
        super().__init__(sampler, device)
        self._batches = _WholeBatches(reader.fresh(), sampler.rank)
        self._num_workers = workers
        self._iterator: Iterator[ImageTensors | GanforgeError] | None = None
        self._workers: list[BaseProcess] = []
        self._next = 0
        self._last: ImageTensors | None = None

    def batch(self, index: int) -> Batch:
        """Return this rank's part of batch `index`, counted from the first batch of the run.

        Raises DataError if an image cannot be read, and TrainingError if a worker cannot start, was killed, or cannot
        send.
        """
        if self._last is None or index != self._next - 1:
            self._last = self._fetch(index).map(lambda values: to_device(values, self.device))
        return Batch.of(self._last.map(_copy_unless_normalized))

    def close(self) -> None:
        """Stop the workers; a batch that is requested later starts them again."""
        with terminating(self._workers):
            self._last = self._iterator = None  # the iterator of DataLoader dismisses its workers when it is deleted
        self._workers = []

    def _fetch(self, index: int) -> ImageTensors:
        if self._iterator is None or index != self._next:
            self.close()
            self._start(index)
        assert self._iterator is not None, "just started"  # noqa: S101
        batch: ImageTensors | GanforgeError
        try:
            batch = next(self._iterator)
        except Exception as error:  # noqa: BLE001 - DataLoader and pipes report a lost worker in many ways
            problem, fix = describe_exit(self._workers) or (f"has failed: {summarize_exception(error)}", FIX)
            batch = TrainingError(f"a worker that reads {self._batches.reader.source} {problem}", fix=fix)
        if isinstance(batch, GanforgeError):
            self.close()
            raise batch
        self._next = index + 1
        return batch

    def _start(self, index: int) -> None:
        """Start the workers at batch `index`."""
        before = set(multiprocessing.active_children())
        # The user may want more workers than cores. Python warns of forks of a process with threads; a worker uses no
        # thread but its own.
        with warnings.catch_warnings(action="ignore"), signals_kept():
            loader = DataLoader(
                self._batches,
                batch_sampler=_requests(self.sampler, index),
                num_workers=self._num_workers,
                collate_fn=_identity,
                worker_init_fn=initialize_worker,
                multiprocessing_context=start_method() if self._num_workers else None,
                generator=derive_generator(0, "data/items"),  # DataLoader draws a seed that nothing uses
            )
            try:
                self._iterator = iter(loader)
            except (OSError, RuntimeError) as error:  # no shared memory, processes, threads or file descriptors
                self._workers = _children_since(before)
                self.close()
                source, reason = self._batches.reader.source, error_reason(error)
                raise TrainingError(f"the workers that read {source} cannot start: {reason}", fix=FIX) from error
        self._workers = _children_since(before)


def _children_since(before: set[BaseProcess]) -> list[BaseProcess]:
    """Return the child processes that are not among earlier ones."""
    return [process for process in multiprocessing.active_children() if process not in before]


class _BatchRequest(NamedTuple):
    """Number of a batch, and the indices of its images."""

    number: int
    indices: list[int]


def _requests(sampler: EpochSampler, index: int) -> Iterator[Any]:  # DataLoader passes on any type
    """Yield requests for the batches of a run from batch `index` on, without end."""
    for number in itertools.count(index):
        yield _BatchRequest(number, sampler.indices(number).tolist())


class _WholeBatches(TorchDataset[ImageTensors]):
    """Dataset whose items are whole batches, read in any process, or the errors of reading them."""

    def __init__(self, reader: Reader, rank: int) -> None:
        self.reader = reader
        self._rank = rank

    def __getitems__(self, request: _BatchRequest) -> ImageTensors | GanforgeError:
        try:
            return self.reader.read(request.indices, "data/items", request.number, self._rank)
        except DataError as error:
            return error
        except Exception as error:  # noqa: BLE001 - DataLoader would send it with a traceback in its message
            return TrainingError(f"{self.reader.source} cannot be read: {summarize_exception(error)}", fix=FIX)


def _identity(batch: Any) -> Any:  # noqa: ANN401 - DataLoader's collate_fn; the batch is one already
    return batch


def _copy_unless_normalized(values: Tensor) -> Tensor:
    """Return a copy of values that normalization would return unchanged, so that no caller can alter the cache."""
    return values if values.dtype == torch.uint8 else values.clone()

"""The processes that train one model together, started by torchrun. One alone is the usual case.

Every process computes an equal part of each batch; gradients are averaged explicitly, phase by phase, since a wrapper
around the networks would average wrongly where a penalty takes gradients of gradients (pytorch#47562), and refuses two
judgements before one backward pass (pytorch#175024).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

from ganforge.errors import TrainingError

T = TypeVar("T")

#: The first process may draw, score and save for so long while the others wait for it.
PATIENCE = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Processes:
    """Know this process's place among those that train together, and let them exchange numbers.

    rank: this one's number, from 0; count: how many there are; local_rank: of several, its number on this machine,
    which chooses its GPU. Every method must be called by all of them, in the same order.
    """

    rank: int = 0
    count: int = 1
    local_rank: int | None = None

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and shows."""
        return self.rank == 0

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors, all of one type, by their means over all processes: one message for all of them."""
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with self._listening():
            distributed.all_reduce(flat)
        flat /= self.count
        self._unpack(flat, tensors)

    def average_gradients(self, weights: Iterable[nn.Parameter]) -> None:
        """Average the gradients of weights; one that has none here counts as zero."""
        if self.count == 1:
            return
        gradients = []
        for weight in weights:
            if not weight.requires_grad:
                continue
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
            gradients.append(weight.grad)
        self.average(gradients)

    def copy_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors with the first process's: one message for each type of number."""
        if self.count == 1:
            return
        by_type: dict[torch.dtype, list[Tensor]] = {}
        for tensor in tensors:
            by_type.setdefault(tensor.dtype, []).append(tensor)
        for group in by_type.values():
            flat = torch.cat([tensor.detach().reshape(-1) for tensor in group])
            with self._listening():
                distributed.broadcast(flat, src=0)
            self._unpack(flat, group)

    def gather(self, values: Tensor) -> Tensor:
        """Return the values of all processes, `(count · N, …)`, in the order of their ranks."""
        if self.count == 1:
            return values
        received = [torch.empty_like(values) for _ in range(self.count)]
        with self._listening():
            distributed.all_gather(received, values.contiguous())
        return torch.cat(received)

    def highest(self, number: int) -> int:
        """Return the highest number that one of the processes has."""
        if self.count == 1:
            return number
        numbers = torch.tensor([number])
        with self._listening():
            distributed.all_reduce(numbers, op=distributed.ReduceOp.MAX)
        return int(numbers.item())

    def share(self, value: T) -> T:
        """Return the first process's value to all; it travels between this run's own processes only."""
        if self.count == 1:
            return value
        box = [value]
        with self._listening():
            distributed.broadcast_object_list(box, src=0)
        return box[0]

    def check_same(self, digest: str, what: str) -> None:
        """Raise TrainingError unless all processes have the same digest."""
        if self.count == 1:
            return
        found: list[str] = [""] * self.count
        with self._listening():
            distributed.all_gather_object(found, digest)
        if len(set(found)) > 1:
            raise TrainingError(f"{what} of the {self.count} processes are no longer equal: {', '.join(found)}")

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Turn what the network says when another process is gone into one clear error."""
        try:
            yield
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:120]
            raise TrainingError(
                f"process {self.rank} of {self.count} (from 0) lost the others: one of them has ended ({reason})",
                fix="see what it said; resuming goes on from the last checkpoint, with any number of processes",
            ) from error

    @staticmethod
    @torch.no_grad()
    def _unpack(flat: Tensor, tensors: Sequence[Tensor]) -> None:
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view(tensor.shape))


ALONE = Processes()


@contextmanager
def joined() -> Iterator[Processes]:
    """Join the processes that torchrun has started, for a while; `ALONE` where it has started none.

    GPUs talk through NCCL, processors through gloo.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE
        return
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    # Its functions' defaults are the group that there is when they are defined. Imported later, as torch does somewhere
    # within training, they would keep the group's threads alive while Python ends, which aborts it (pytorch#190489).
    import_module("torch.distributed.nn.functional")
    distributed.init_process_group(backend, timeout=PATIENCE)
    try:
        yield Processes(distributed.get_rank(), distributed.get_world_size(), local_rank)
    finally:
        distributed.destroy_process_group()

"""Distributed training: communication between the ranks that torchrun starts.

Every rank computes an equal part of each batch. Gradients are averaged explicitly, phase by phase, since
DistributedDataParallel averages second derivatives wrongly (pytorch#47562) and refuses two forward passes before one
backward pass (pytorch#175024).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from socket import getaddrinfo
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed.rendezvous import rendezvous

from ganforge.errors import TrainingError, UsageError
from ganforge.utils.torchrun import RankEnvironment

T = TypeVar("T")

#: Timeout of collectives: the other ranks wait while the main rank samples, evaluates and saves.
TIMEOUT = timedelta(hours=2)
#: Time in which all ranks must connect, after torchrun has started them.
RENDEZVOUS_TIMEOUT = timedelta(minutes=5)
MAX_REASON_LENGTH = 120


@dataclass(frozen=True, slots=True)
class DistContext:
    """Position of this rank and its collectives, which all ranks call in the same order.

    Every method does nothing, or returns its argument, if there is one rank. Every method raises TrainingError if
    another rank has exited.

    Attributes:
        rank: Number of this rank, from 0.
        world_size: Number of ranks.
        local_rank: Number of this rank on this machine, which is that of its GPU; None for a single rank.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int | None = None

    @property
    def is_main(self) -> bool:
        """True on the rank that writes files and messages."""
        return self.rank == 0

    def all_reduce_mean(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one type by their means over all ranks, in a single collective."""
        if self.world_size == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with self._reporting_lost_ranks():
            distributed.all_reduce(flat)
        flat /= self.world_size
        self._copy_from_flat(flat, tensors)

    def all_reduce_gradients(self, weights: Iterable[nn.Parameter]) -> None:
        """Average the gradients of weights; a missing gradient counts as zero."""
        if self.world_size == 1:
            return
        gradients = []
        for weight in weights:
            if not weight.requires_grad:
                continue
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
            gradients.append(weight.grad)
        self.all_reduce_mean(gradients)

    def broadcast_(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors with those of the main rank, in one collective per type."""
        if self.world_size == 1:
            return
        by_type: dict[torch.dtype, list[Tensor]] = {}
        for tensor in tensors:
            by_type.setdefault(tensor.dtype, []).append(tensor)
        for group in by_type.values():
            flat = torch.cat([tensor.detach().reshape(-1) for tensor in group])
            with self._reporting_lost_ranks():
                distributed.broadcast(flat, src=0)
            self._copy_from_flat(flat, group)

    def all_gather(self, values: Tensor) -> Tensor:
        """Return the values of all ranks, `(world_size · N, …)`, in the order of the ranks."""
        if self.world_size == 1:
            return values
        gathered = [torch.empty_like(values) for _ in range(self.world_size)]
        with self._reporting_lost_ranks():
            distributed.all_gather(gathered, values.contiguous())
        return torch.cat(gathered)

    def all_reduce_max(self, number: int) -> int:
        """Return the maximum of a number over all ranks."""
        if self.world_size == 1:
            return number
        maximum = torch.tensor([number])
        with self._reporting_lost_ranks():
            distributed.all_reduce(maximum, op=distributed.ReduceOp.MAX)
        return int(maximum.item())

    def broadcast_object(self, value: T) -> T:
        """Return the main rank's value on all ranks; it is pickled, so only between ranks of one run."""
        if self.world_size == 1:
            return value
        box = [value]
        with self._reporting_lost_ranks():
            distributed.broadcast_object_list(box, src=0)
        return box[0]

    def assert_equal_across_ranks(self, digest: str, what: str) -> None:
        """Raise TrainingError unless all ranks have the same digest."""
        if self.world_size == 1:
            return
        digests: list[str] = [""] * self.world_size
        with self._reporting_lost_ranks():
            distributed.all_gather_object(digests, digest)
        if len(set(digests)) > 1:
            raise TrainingError(f"{what} differ between the {self.world_size} ranks: {', '.join(digests)}")

    @contextmanager
    def _reporting_lost_ranks(self) -> Iterator[None]:
        """Turn the error of a collective whose partner has exited into a TrainingError."""
        try:
            yield
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:MAX_REASON_LENGTH]
            raise TrainingError(
                f"rank {self.rank} of {self.world_size} lost the others: another rank has exited ({reason})",
                fix="see its messages; `ganforge resume` continues from the last checkpoint, on any number of ranks",
            ) from error

    @staticmethod
    @torch.no_grad()
    def _copy_from_flat(flat: Tensor, tensors: Sequence[Tensor]) -> None:
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view(tensor.shape))


SINGLE_PROCESS = DistContext()


@contextmanager
def init_distributed() -> Iterator[DistContext]:
    """Initialize the process group that torchrun describes; yields `SINGLE_PROCESS` without torchrun.

    GPUs communicate through NCCL, CPUs through gloo. Raises UsageError for invalid environment variables, and if the
    ranks cannot connect.
    """
    environment = RankEnvironment.read()
    if environment.world_size == 1:
        yield SINGLE_PROCESS
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    # Default arguments of this module refer to the process group that exists at its import. If torch imports it during
    # training, they keep the group's threads alive at exit, which aborts Python (pytorch#190489).
    import_module("torch.distributed.nn.functional")
    try:
        getaddrinfo(environment.address, environment.port)  # torch would try an unknown host until its timeout
        store, rank, world_size = next(
            rendezvous("env://", environment.rank, environment.world_size, timeout=RENDEZVOUS_TIMEOUT)
        )
        store.set_timeout(TIMEOUT)
        distributed.init_process_group(backend, store=store, rank=rank, world_size=world_size, timeout=TIMEOUT)
    except (OSError, RuntimeError, ValueError) as error:  # torch's own are RuntimeErrors
        reason = " ".join(str(error).split())[:MAX_REASON_LENGTH]
        raise UsageError(
            f"rank {environment.rank} of {environment.world_size} cannot connect to the others at "
            f"{environment.address}:{environment.port} ({reason})",
            fix="start all ranks with torchrun; for a single process, unset WORLD_SIZE and RANK",
        ) from error
    try:
        yield DistContext(rank, world_size, environment.local_rank)
    finally:
        distributed.destroy_process_group()

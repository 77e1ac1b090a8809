"""Random number generators derived from an address: a seed, a named stream, and indices such as a step."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

import numpy as np
import torch

#: Name of a stream of random numbers, such as `data` or `term/r1`.
Stream: TypeAlias = str


def derive_seed(seed: int, stream: Stream, *indices: int) -> int:
    """Return a seed that is the same for the same address, and unrelated for any other.

    torch's generators on the CPU use its low 32 bits.
    """
    address = "/".join((str(seed), stream, *map(str, indices)))
    return int.from_bytes(hashlib.blake2b(address.encode(), digest_size=8).digest(), "little") >> 1


def derive_generator(seed: int, stream: Stream, *indices: int) -> torch.Generator:
    """Return a new generator on the CPU for an address."""
    return torch.Generator().manual_seed(derive_seed(seed, stream, *indices))


def seed_torch(seed: int, stream: Stream, *indices: int, device: torch.device) -> None:
    """Seed torch's default generators of the CPU and of a device, for layers such as dropout that use no other.

    torch.manual_seed does more than that: it formats a stack trace for every device that does not exist.
    """
    value = derive_seed(seed, stream, *indices)
    torch.default_generator.manual_seed(value)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(value)
    elif device.type == "mps":
        torch.mps.manual_seed(value)


@contextmanager
def fork_torch_rng(
    seed: int,
    stream: Stream,
    *indices: int,
    device: torch.device = torch.device("cpu"),  # noqa: B008 - immutable
) -> Iterator[None]:
    """Seed torch's default generators of the CPU and of a device within the block, and restore them afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        seed_torch(seed, stream, *indices, device=device)
        yield


@contextmanager
def fork_all_rngs(seed: int, stream: Stream, *indices: int) -> Iterator[None]:
    """Seed the generators of torch (CPU), Python and numpy within the block, and restore them afterwards."""
    value = derive_seed(seed, stream, *indices)
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - datasets use the global generator
    try:
        with fork_torch_rng(seed, stream, *indices):
            random.seed(value)
            np.random.seed(value & 0xFFFFFFFF)  # noqa: NPY002 - as above; it takes 32 bits
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002 - as above

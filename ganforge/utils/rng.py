"""Every random number has an address: a seed, a named stream, and indices such as a step."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch

Stream = Literal[
    "weights/generator",
    "weights/discriminator",
    "weights/features",
    "data",
    "data/items",
    "latents/discriminator",
    "latents/generator",
    "dropout/discriminator",
    "dropout/generator",
    "penalty",
    "augment/discriminator",
    "augment/generator",
    "samples",
    "evaluation",
    "evaluation/items",
    "evaluation/floor",
    "evaluation/train",
    "evaluation/metric",
    "preflight",
    "conformance",
]


def stream_seed(seed: int, stream: Stream, *indices: int) -> int:
    """Return a number that is the same for the same address, and unrelated for any other.

    torch's generators on the CPU use its low 32 bits.
    """
    address = "/".join((str(seed), stream, *map(str, indices)))
    return int.from_bytes(hashlib.blake2b(address.encode(), digest_size=8).digest(), "little") >> 1


def stream_rng(seed: int, stream: Stream, *indices: int) -> torch.Generator:
    """Return a fresh generator on the CPU for an address."""
    return torch.Generator().manual_seed(stream_seed(seed, stream, *indices))


def reseed_layers(seed: int, stream: Stream, *indices: int, device: torch.device) -> None:
    """Seed the default generators, which layers such as dropout draw from and cannot be told otherwise.

    torch.manual_seed would do, but it also formats a stack trace for every device that is not there.
    """
    value = stream_seed(seed, stream, *indices)
    torch.default_generator.manual_seed(value)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(value)
    elif device.type == "mps":
        torch.mps.manual_seed(value)


@contextmanager
def layers_seeded(
    seed: int,
    stream: Stream,
    *indices: int,
    device: torch.device = torch.device("cpu"),  # noqa: B008 - immutable
) -> Iterator[None]:
    """Seed the default generators of the CPU and of a device for a while, and leave them as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        reseed_layers(seed, stream, *indices, device=device)
        yield


@contextmanager
def globals_seeded(seed: int, stream: Stream, *indices: int) -> Iterator[None]:
    """Seed torch's generator of the CPU, Python's and numpy's for a while, and leave them as they were."""
    value = stream_seed(seed, stream, *indices)
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the global one is what is meant
    try:
        with layers_seeded(seed, stream, *indices):
            random.seed(value)
            np.random.seed(value & 0xFFFFFFFF)  # noqa: NPY002 - as above; it takes 32 bits
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002 - as above

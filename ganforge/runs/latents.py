"""Latents of a generator, and the .npz files that hold them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganforge.components import Generator, Space
from ganforge.components.sampling import Sampler
from ganforge.errors import UsageError
from ganforge.utils.arrays import read_npz, write_npz

#: Largest seed, since files have int64.
MAX_SEED = 2**63 - 1
#: Limit of the arrays of a file; a million latents of 100 numbers have 400 MB.
MAX_LATENTS_BYTES = 1 << 29


@dataclass(frozen=True, slots=True)
class Latents:
    """Points of a generator's latent space, on the CPU.

    A file has the array `z` or `w`, and `condition`, `seeds` and `checkpoint` if they are known.

    Attributes:
        values: `(N, Z)` float32 in z, or `(N, …)` float32 in w.
        space: Space of the values: z, or w behind the mapping network (`Generator.style`).
        condition: Condition of each image, `(N, …)`, as stored or as networks see it, or None.
        seeds: Seed of each latent and its number among the latents of this seed, `(N, 2)` int64, or None.
        checkpoint: SHA-256 of the generator's weights, or None.
    """

    values: Tensor
    space: Space = "z"
    condition: Tensor | None = None
    seeds: Tensor | None = None
    checkpoint: str | None = None

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: slice | list[int] | Tensor) -> Latents:
        """Return some of the latents."""
        condition = None if self.condition is None else self.condition[index]
        seeds = None if self.seeds is None else self.seeds[index]
        return replace(self, values=self.values[index], condition=condition, seeds=seeds)

    def moved(self, values: Tensor) -> Latents:
        """Return latents of other values, which no seed gives, with the same conditions."""
        return replace(self, values=values, seeds=None)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of the file."""
        arrays: dict[str, NDArray[Any]] = {self.space: self.values.numpy()}
        if self.condition is not None:
            arrays["condition"] = self.condition.numpy()
        if self.seeds is not None:
            arrays["seeds"] = self.seeds.numpy()
        if self.checkpoint is not None:
            arrays["checkpoint"] = np.array(self.checkpoint)
        return arrays

    def save(self, path: str | Path) -> None:
        """Write a .npz file, whole or not at all. Raises OSError."""
        write_npz(Path(path), self.arrays())

    @classmethod
    def load(cls, path: str | Path) -> Latents:
        """Return the latents of a .npz file.

        Raises:
            UsageError: It cannot be read, or does not hold latents.
        """
        path = Path(path)
        arrays = read_npz(path, {"z", "w", "condition", "seeds", "checkpoint"}, max_array_bytes=MAX_LATENTS_BYTES)
        space: Space | None = "z" if "z" in arrays else "w" if "w" in arrays else None
        if space is None:
            raise UsageError(f"{path} has neither an array z nor w", fix="ganforge sample RUN --out FILE.npz writes z")
        values = _floats(arrays[space], f"{path}: {space}")
        condition, seeds, checkpoint = (arrays.get(name) for name in ("condition", "seeds", "checkpoint"))
        if condition is not None and len(condition) != len(values):
            raise UsageError(f"{path} has {len(condition):,} conditions for {len(values):,} latents")
        if seeds is not None and (seeds.shape != (len(values), 2) or seeds.dtype != np.int64):
            raise UsageError(f"{path}: seeds are {seeds.dtype} of shape {seeds.shape}; int64 (N, 2) is required")
        return cls(
            values,
            space,
            None if condition is None else _as_condition(condition, path),
            None if seeds is None else torch.from_numpy(seeds),
            None if checkpoint is None else str(checkpoint),
        )


def concatenate(parts: list[Latents]) -> Latents:
    """Return several latents of one space as one; conditions and seeds only if all have them."""
    conditions = [part.condition for part in parts if part.condition is not None]
    seeds = [part.seeds for part in parts if part.seeds is not None]
    return Latents(
        torch.cat([part.values for part in parts]),
        parts[0].space,
        torch.cat(conditions) if len(conditions) == len(parts) else None,
        torch.cat(seeds) if len(seeds) == len(parts) else None,
        parts[0].checkpoint,
    )


def has_mapping(generator: Generator) -> bool:
    """Return whether a generator has a space w of its own, behind a mapping network."""
    return type(generator).style is not Generator.style


def check_latents(generator: Generator, latents: Latents) -> Latents:
    """Return latents in the space that they belong to: w is z for generators without a mapping network.

    Those in w need their conditions if the mapping network does. Raises UsageError for another shape than the
    generator's.
    """
    if latents.space == "w" and not has_mapping(generator):
        latents = replace(latents, space="z")
    shape: tuple[int, ...] = (generator.latent_dim,)
    if latents.space == "w":
        condition = None if latents.condition is None or not generator.conditional else latents.condition[:1]
        z = torch.zeros(1, generator.latent_dim)
        shape = tuple(Sampler(generator, seed=0).styles(z, condition).shape[1:])
    if tuple(latents.values.shape[1:]) != shape:
        needed = ", ".join(map(str, shape))
        raise UsageError(f"latents have shape {tuple(latents.values.shape)}; (N, {needed}) is required")
    return latents


def _floats(array: NDArray[Any], name: str) -> Tensor:
    """Return numbers as float32, on their first axis the latents."""
    if array.dtype.kind not in "fiu" or array.ndim < len("NZ") or len(array) == 0:
        raise UsageError(f"{name} is {array.dtype} of shape {array.shape}; numbers (N, …) are required")
    values = torch.from_numpy(array.astype(np.float32))
    if not bool(values.isfinite().all()):
        raise UsageError(f"{name} has numbers that are not finite")
    return values


def _as_condition(array: NDArray[Any], path: Path) -> Tensor:
    if array.dtype not in (np.int64, np.float32, np.uint8):
        raise UsageError(f"{path}: conditions are {array.dtype}; int64, float32 or uint8 is required")
    return torch.from_numpy(array)

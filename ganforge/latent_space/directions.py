"""Directions of a latent space: principal, closed-form, and those of files; traversals along them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ganforge.components import Space
from ganforge.errors import UsageError
from ganforge.latent_space.space import LatentSpace
from ganforge.runs.latents import MAX_LATENTS_BYTES, Latents
from ganforge.utils.arrays import read_npz
from ganforge.utils.suggest import did_you_mean

#: Latents that principal directions are computed from, and numbers of their activations in memory.
NUM_SAMPLES, MAX_NUMBERS = 2000, 2**26
#: Relative deviation from an affine map that rounding explains.
AFFINE_TOLERANCE = 1e-3
LINEAR = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d)


@dataclass(frozen=True, slots=True)
class Directions:
    """Directions of a latent space.

    Attributes:
        vectors: `(K, …)` float32 of length 1, shaped as latents.
        scales: Standard deviation of latents along each, `(K,)` float32.
        names: Name of each.
        space: Space of the vectors.
        checkpoint: SHA-256 of the generator's weights, or None.
    """

    vectors: Tensor
    scales: Tensor
    names: tuple[str, ...]
    space: Space
    checkpoint: str | None

    def __len__(self) -> int:
        return len(self.vectors)

    @classmethod
    def of(cls, vectors: Tensor, latents: Latents, names: tuple[str, ...]) -> Directions:
        """Return directions of vectors, `(K, …)` of any length, with the scales that latents have along them."""
        flat = nn.functional.normalize(vectors.double().flatten(1), dim=1)
        scales = (latents.values.double().flatten(1) @ flat.T).std(dim=0, correction=0)
        return cls(flat.view(vectors.shape).float(), scales.float(), names, latents.space, latents.checkpoint)

    def moved(self, point: Latents, amounts: Tensor) -> Latents:
        """Return latents that are moved from a point along all directions at once.

        Args:
            point: One latent.
            amounts: Standard deviations along each direction, `(N, K)`.

        Raises:
            UsageError: The directions have another shape than the point.
        """
        if point.space != self.space or point.values.shape[1:] != self.vectors.shape[1:]:
            shapes = f"{tuple(self.vectors.shape[1:])} in {self.space}, latents {tuple(point.values.shape[1:])}"
            raise UsageError(f"directions have shape {shapes} in {point.space}")
        start = point[[0] * len(amounts)]
        offsets = (amounts * self.scales) @ self.vectors.flatten(1)
        return start.moved(start.values + offsets.view_as(start.values))

    def traverse(self, point: Latents, steps: int, *, extent: float = 3.0) -> Latents:
        """Return `steps` latents for each direction, from -`extent` to `extent` standard deviations around a point.

        Raises:
            UsageError: As in `moved`.
        """
        amounts = torch.eye(len(self)).repeat_interleave(steps, dim=0)
        return self.moved(point, amounts * torch.linspace(-extent, extent, steps).repeat(len(self))[:, None])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of the file, except those of latents."""
        names = np.array(self.names, dtype=np.str_)
        return {"directions": self.vectors.numpy(), "scales": self.scales.numpy(), "names": names}

    @classmethod
    def load(cls, path: str | Path) -> Directions:
        """Return the directions of a .npz file of `latent directions`. Raises UsageError."""
        used = {"directions", "scales", "names", "w", "checkpoint"}
        arrays = read_npz(Path(path), used, max_array_bytes=MAX_LATENTS_BYTES)
        missing = sorted({"directions", "scales", "names"} - arrays.keys())
        if missing:
            raise UsageError(f"{path} has no directions: it lacks {', '.join(missing)}")
        vectors, scales, names = (arrays[name] for name in ("directions", "scales", "names"))
        if vectors.dtype != np.float32 or scales.dtype != np.float32 or not len(vectors) == len(scales) == len(names):
            raise UsageError(f"{path}: directions and scales are float32 (K, …) and (K,), and have K names")
        space: Space = "w" if "w" in arrays else "z"
        checkpoint = str(arrays["checkpoint"]) if "checkpoint" in arrays else None
        return cls(torch.from_numpy(vectors), torch.from_numpy(scales), tuple(map(str, names)), space, checkpoint)


def principal_directions(
    space: LatentSpace, count: int = 10, *, layer: str | None = None, num_samples: int = NUM_SAMPLES, seed: int = 0
) -> Directions:
    """Return principal directions (Härkönen et al. 2020, GANSpace, arXiv:2004.02546).

    In w they are the principal components of w. In z, which has none, they are the regression of z on the principal
    components of a layer's activations.

    Args:
        space: The latent space.
        count: Number of directions.
        layer: Name of the layer in z, such as `layers.1`; the first that runs by default.
        num_samples: Number of latents.
        seed: Seed of the latents.

    Raises:
        UsageError: The layer does not exist.
    """
    latents = space.to_space(space.draw(num_samples, seed), space.own_space)
    if space.own_space == "w":
        components, _ = principal_components(latents.values.flatten(1), count)
        vectors = components.view(-1, *latents.values.shape[1:])
    else:
        activations = _activations(space, latents, layer)
        _, coordinates = principal_components(activations, count)
        z = latents.values[: len(activations)].double()
        vectors = (coordinates / coordinates.square().sum(0)).T @ (z - z.mean(0))
    return Directions.of(_signed(vectors), latents, tuple(f"pc{number}" for number in range(len(vectors))))


def principal_components(points: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the components, `(K, D)`, and the coordinates of the points, `(N, K)`, both float64.

    The eigenvectors of the smaller of the two Gram matrices; K is at most the rank.

    Args:
        points: `(N, D)`.
        count: Largest number of components.
    """
    centered = points.double() - points.double().mean(0)
    wide = centered.shape[1] > centered.shape[0]
    values, vectors = torch.linalg.eigh(centered @ centered.T if wide else centered.T @ centered)
    values, vectors = values.flip(0)[:count], vectors.flip(1)[:, :count]
    kept = values > values[0].clamp_min(0) * 1e-12
    components = (vectors.T @ centered if wide else vectors.T)[kept]
    components = nn.functional.normalize(components, dim=1)
    return components, centered @ components.T


def closed_form_directions(space: LatentSpace, count: int = 10, *, seed: int = 0) -> Directions:
    """Return the eigenvectors of AᵀA, A the matrices that latents are first multiplied with.

    References:
        Shen & Zhou 2021, Closed-Form Factorization of Latent Semantics in GANs (SeFa), arXiv:2007.06600, eq. 5.

    Raises:
        UsageError: No layer multiplies the latents with a matrix.
    """
    latents = space.to_space(space.draw(NUM_SAMPLES, seed), space.own_space)
    matrix = _style_matrices(space, latents) if space.own_space == "w" else _first_matrix(space, latents)
    _, vectors = torch.linalg.eigh(matrix.double().T @ matrix.double())
    vectors = vectors.T.flip(0)[:count]
    if latents.values.ndim > len("ND"):  # the same for all layers
        vectors = vectors.unsqueeze(1).expand(-1, latents.values.shape[1], -1)
    return Directions.of(_signed(vectors), latents, tuple(f"sefa{number}" for number in range(len(vectors))))


def _signed(vectors: Tensor) -> Tensor:
    """Return vectors whose largest entry is positive, since eigenvectors have no sign."""
    flat = vectors.flatten(1)
    largest = flat.gather(1, flat.abs().argmax(1, keepdim=True))
    return (flat * largest.sign()).reshape(vectors.shape)


def _varies(values: Tensor) -> bool:
    """Return whether values differ between latents; those of a layer that gets the condition alone do not."""
    return values.is_floating_point() and values.ndim > 1 and not bool((values == values[:1]).all())


def _run_with_hooks(
    space: LatentSpace, latents: Latents, hook: Callable[[str, nn.Module, Tensor, Tensor], None]
) -> None:
    """Draw images, and call a hook with the name, the input and the output of each layer that runs."""

    def call(name: str, module: nn.Module, inputs: tuple[Any, ...], output: object) -> None:
        if inputs and isinstance(inputs[0], Tensor) and isinstance(output, Tensor):
            hook(name, module, inputs[0].detach(), output.detach())

    leaves = [(name, module) for name, module in space.generator.named_modules() if not [*module.children()]]
    handles = [module.register_forward_hook(partial(call, name)) for name, module in leaves]
    try:
        space.images(latents)
    finally:
        for handle in handles:
            handle.remove()


def _activations(space: LatentSpace, latents: Latents, layer: str | None) -> Tensor:
    """Return a layer's activations, `(N, D)` float32 on the CPU; of fewer latents if these are many numbers."""
    names = [name for name, module in space.generator.named_modules() if not [*module.children()]]
    if layer is not None and layer not in names:
        raise UsageError(f"no layer {layer!r}{did_you_mean(layer, names)}")
    parts: list[Tensor] = []

    def keep(name: str, module: nn.Module, inputs: Tensor, output: Tensor) -> None:
        nonlocal layer
        if layer is None and _varies(output):
            layer = name
        if name == layer:
            parts.append(output.float().flatten(1).cpu())

    done = 0
    while done < len(latents):
        batch = latents[done : done + space.sampler.batch_size]
        _run_with_hooks(space, batch, keep)
        done += len(batch)
        if not parts:
            raise UsageError(f"layer {layer!r} does not run" if layer else "the generator has no layers")
        if done * parts[0].shape[1] > MAX_NUMBERS:
            break
    return torch.cat(parts)


def _first_matrix(space: LatentSpace, latents: Latents) -> Tensor:
    """Return the matrix, `(D, Z)`, that z is multiplied with first: the images of the unit vectors.

    It is the first linear layer that runs, or what the first other layer gets: some generators multiply by a layer's
    weights without calling it.
    """
    size = space.generator.latent_dim
    probes = torch.cat([torch.zeros(1, size), torch.eye(size), 2 * torch.eye(size)[:1]])
    first: list[Tensor] = []
    layer: str | None = None

    def keep(name: str, module: nn.Module, inputs: Tensor, output: Tensor) -> None:
        nonlocal layer
        values = output if isinstance(module, LINEAR) else inputs
        if layer is None and _varies(values):
            layer = name
        if name == layer and not first:
            first.append(values.double().cpu())

    parts = []
    for begin in range(0, len(probes), space.sampler.batch_size):
        first.clear()
        batch = probes[begin : begin + space.sampler.batch_size]
        _run_with_hooks(space, latents[[0] * len(batch)].moved(batch), keep)
        if not first or len(first[0]) != len(batch):
            raise UsageError("the first layer of this generator does not multiply latents with a matrix")
        parts.append(first[0].flatten(1))
    values = torch.cat(parts)
    rows = values[1 : size + 1] - values[0]
    if not torch.allclose(values[-1] - values[0], 2 * rows[0], rtol=0, atol=AFFINE_TOLERANCE * float(rows.abs().max())):
        raise UsageError("the first layer of this generator does not multiply latents with a matrix")
    return rows.T


def _style_matrices(space: LatentSpace, latents: Latents) -> Tensor:
    """Return the matrices, `(ΣD, W)`, of all layers that get w, or its part of one layer."""
    few = latents[: min(len(latents), space.sampler.batch_size)]
    w = few.values
    parts = [w] if w.ndim == len("ND") else list(w.unbind(1))
    matrices: list[Tensor] = []

    def keep(name: str, module: nn.Module, inputs: Tensor, output: Tensor) -> None:
        if isinstance(module, nn.Linear) and any(
            inputs.shape == part.shape and torch.equal(inputs.float().cpu(), part) for part in parts
        ):
            matrices.append(module.weight.detach().float().cpu())

    _run_with_hooks(space, few, keep)
    if not matrices:
        raise UsageError("no linear layer of this generator gets w")
    return torch.cat(matrices)

"""Checks of latent distributions."""

from __future__ import annotations

import torch
from torch import Tensor

from ganforge.components import LatentDistribution
from ganforge.testing.checks import Check, register_check, require
from ganforge.testing.common import BUILDS, no_global_draws
from ganforge.testing.fixture import Fixture
from ganforge.testing.harness import Harness

CHECKS: list[Check] = []
SHAPE = "latents-shape"


def sample(fixture: Fixture, latent: LatentDistribution, count: int, number: int = 0) -> Tensor:
    """Return latents of the generator's size."""
    return latent.sample(count, latent_dim(fixture), fixture.rng(number))


def latent_dim(fixture: Fixture) -> int:
    """Return Z of the generator partner, or of the kit's own generator."""
    dim: int = Harness(fixture).modules["generator"].latent_dim  # type: ignore[assignment]
    return dim


@register_check(
    CHECKS,
    SHAPE,
    "latent",
    fix="return float32 latents of shape (count, dim); name a generator in `partners` if dim is restricted",
    needs=(BUILDS,),
)
def _latents_shape(fixture: Fixture) -> None:
    """`sample(count, dim, rng)` returns finite float32 latents, `(count, dim)`, for any count."""
    latent, dim = fixture.make(), latent_dim(fixture)
    for count in (1, 2, 5):
        z = sample(fixture, latent, count)
        found = f"{z.dtype} {tuple(z.shape)}"
        fits = z.dtype == torch.float32 and tuple(z.shape) == (count, dim)
        require(fits, f"sample({count}, {dim}, rng) returns {found}; float32 ({count}, {dim}) is needed")
        require(bool(z.isfinite().all()), "its latents are not finite")


@register_check(
    CHECKS, "latents-from-rng", "latent", fix="pass generator=rng to everything that draws in sample", needs=(SHAPE,)
)
def _latents_from_rng(fixture: Fixture) -> None:
    """It draws from `rng` only: the same random generator gives the same latents, another one gives others."""
    latent = fixture.make()
    with no_global_draws():
        one, two, other = (sample(fixture, latent, 4, number) for number in (0, 0, 1))
    require(torch.equal(one, two), "the same random generator gives other latents each time")
    require(not torch.equal(one, other), "another random generator gives the same latents")


@register_check(
    CHECKS,
    "fields",
    "latent",
    fix='name parts of a latent by slices: fields = {"category": slice(0, 10)}',
    needs=(SHAPE,),
)
def _fields(fixture: Fixture) -> None:
    """`fields` are named slices that lie within a latent."""
    latent, dim = fixture.make(), latent_dim(fixture)
    for name, part in latent.fields.items():
        require(isinstance(name, str) and isinstance(part, slice), f"field {name!r} is {part!r}; a slice is needed")
        require(part.step in {None, 1}, f"field {name!r} is {part}; a slice without a step is needed")
        begin, end = part.start or 0, dim if part.stop is None else part.stop
        require(0 <= begin < end <= dim, f"field {name!r} is {part}, which does not lie within {dim} numbers")

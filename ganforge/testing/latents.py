"""Checks of latent distributions."""

from __future__ import annotations

import torch

from ganforge.testing.checks import Checks, require
from ganforge.testing.fixture import Fixture
from ganforge.testing.global_state import no_global_draws
from ganforge.testing.shared_checks import require_finite

checks = Checks("latent", needs="latents-shape")


@checks.add(
    "return float32 latents of shape (count, dim); name a generator in `partners` if dim is restricted",
    needs="builds initialized-weights",
)
def latents_shape(fixture: Fixture) -> None:
    """`sample(count, dim, rng)` returns finite float32 latents, `(count, dim)`, for any count."""
    gan = fixture.build()
    dim = gan.generator.latent_dim
    for count in (1, 2, 5):
        z = gan.latent.sample(count, dim, fixture.rng())
        fits = z.dtype == torch.float32 and tuple(z.shape) == (count, dim)
        returned = f"sample({count}, {dim}, rng) returns {z.dtype} {tuple(z.shape)}"
        require(fits, f"{returned}; float32 ({count}, {dim}) is needed")
        require_finite(z, "its latents are")


@checks.add("pass generator=rng to everything that draws in sample")
def latents_from_rng(fixture: Fixture) -> None:
    """It draws from `rng` only: the same random generator gives the same latents, another one gives others."""
    gan = fixture.build()
    with no_global_draws():
        one, two, other = (gan.latent.sample(4, gan.generator.latent_dim, fixture.rng(number)) for number in (0, 0, 1))
    require(torch.equal(one, two), "the same random generator gives other latents each time")
    require(not torch.equal(one, other), "another random generator gives the same latents")


@checks.add('name parts of a latent by slices: fields = {"category": slice(0, 10)}')
def fields(fixture: Fixture) -> None:
    """`fields` are named slices that lie within a latent."""
    gan = fixture.build()
    dim = gan.generator.latent_dim
    for name, part in gan.latent.fields.items():
        require(isinstance(name, str) and isinstance(part, slice), f"field {name!r} is {part!r}; a slice is needed")
        require(part.step in {None, 1}, f"field {name!r} is {part}; a slice without a step is needed")
        begin, end = part.start or 0, dim if part.stop is None else part.stop
        require(0 <= begin < end <= dim, f"field {name!r} is {part}, which does not lie within {dim} numbers")

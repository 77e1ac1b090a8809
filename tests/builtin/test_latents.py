"""Built-in latent distributions."""

from __future__ import annotations

import pytest
import torch

from ganforge.builtin.latents import Normal, Uniform
from ganforge.components import LatentDistribution


@pytest.mark.parametrize(("cls", "mean", "variance"), [(Normal, 0.0, 1.0), (Uniform, 0.0, 1 / 3)])
def test_moments_of_latents(cls: type[LatentDistribution], mean: float, variance: float) -> None:
    """Normal latents have variance 1, uniform ones lie in [-1, 1) and have variance 1/3; rows are independent."""
    z = cls(cls.Options()).sample(20_000, 7, torch.Generator().manual_seed(0))
    assert (tuple(z.shape), z.dtype) == ((20_000, 7), torch.float32)
    assert z.mean().item() == pytest.approx(mean, abs=0.02)
    assert z.var().item() == pytest.approx(variance, rel=0.02)
    correlation = torch.corrcoef(z.T).fill_diagonal_(0)
    assert correlation.abs().max() < 0.05
    assert cls is Normal or (-1 <= z.min() < -0.99 and 0.99 < z.max() < 1)


@pytest.mark.parametrize("cls", [Normal, Uniform])
def test_latents_depend_on_the_generator_alone(cls: type[LatentDistribution]) -> None:
    """Equal generators give equal latents, whatever the global generator's state, which stays unchanged."""
    latent = cls(cls.Options())
    first = latent(3, 5, torch.Generator().manual_seed(1))
    torch.manual_seed(7)
    before = torch.get_rng_state()
    assert torch.equal(latent(3, 5, torch.Generator().manual_seed(1)), first)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(latent(3, 5, torch.Generator().manual_seed(2)), first)


def test_latents_have_the_bits_of_torch() -> None:
    """Seeds keep their meaning: normal latents are `torch.randn`'s numbers, uniform ones `torch.rand`'s, scaled."""
    rng = [torch.Generator().manual_seed(3) for _ in range(4)]
    assert torch.equal(Normal(Normal.Options()).sample(4, 6, rng[0]), torch.randn((4, 6), generator=rng[1]))
    assert torch.equal(Uniform(Uniform.Options()).sample(4, 6, rng[2]), torch.rand((4, 6), generator=rng[3]) * 2 - 1)

"""Spherical and truncated normal latents.

References:
    White 2016, Sampling Generative Networks, arXiv:1609.04468.
    Brock et al. 2019, Large Scale GAN Training for High Fidelity Natural Image Synthesis, arXiv:1809.11096.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ganforge import Component, LatentDistribution, hookimpl

NETWORKS = ("gen=mlp", "gen.hidden=[32]", "disc=mlp", "disc.hidden=[32]", "disc.dropout=0.0", "batch_size=8")
SETTINGS = (*NETWORKS, "latent=spherical")
TRUNCATED_SETTINGS = (*NETWORKS, "latent=truncated-normal", "latent.threshold=1.5")


class Spherical(LatentDistribution):
    """Uniform on the sphere of radius √Z, as long as normal latents are on average."""

    def sample(self, count: int, dim: int, rng: torch.Generator) -> Tensor:
        """Return latents, `(count, dim)`."""
        z = torch.randn(count, dim, generator=rng, device=rng.device)
        length: Tensor = z.norm(dim=1, keepdim=True)
        return z * (math.sqrt(dim) / length)


class TruncatedNormal(LatentDistribution):
    """Normal numbers, none of them beyond a threshold (Brock et al. 2019, section 3.1)."""

    class Options(LatentDistribution.Options):
        """Options of truncated latents."""

        threshold: float = 2.0
        """Largest magnitude of a number."""

    options: Options

    def sample(self, count: int, dim: int, rng: torch.Generator) -> Tensor:
        """Return latents, `(count, dim)`, by the inverse of the cumulative distribution."""
        below = torch.special.ndtr(torch.tensor(-self.options.threshold, device=rng.device))
        uniform = torch.rand(count, dim, generator=rng, device=rng.device)
        z: Tensor = torch.special.ndtri(below + (1 - 2 * below) * uniform)
        return z.clamp(-self.options.threshold, self.options.threshold)


@hookimpl
def ganforge_components() -> list[Component]:
    """Provide both distributions."""
    return [
        Component(kind="latent", name="spherical", target=Spherical, summary="On a sphere.", paper="arXiv:1609.04468"),
        Component(
            kind="latent",
            name="truncated-normal",
            target=TruncatedNormal,
            summary="Normal within a threshold.",
            paper="arXiv:1809.11096",
        ),
    ]

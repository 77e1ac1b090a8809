"""Latent distributions whose numbers are independent of each other."""

from __future__ import annotations

import torch
from torch import Tensor

from ganforge.components import LatentDistribution


class Normal(LatentDistribution):
    """Standard normal numbers."""

    def sample(self, count: int, dim: int, rng: torch.Generator) -> Tensor:
        """Return latents, `(count, dim)` float32."""
        return torch.randn(count, dim, generator=rng, device=rng.device)


class Uniform(LatentDistribution):
    """Numbers uniform in [-1, 1)."""

    def sample(self, count: int, dim: int, rng: torch.Generator) -> Tensor:
        """Return latents, `(count, dim)` float32."""
        return torch.rand(count, dim, generator=rng, device=rng.device) * 2 - 1

"""Interface of latent distributions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal, TypeAlias

import torch
from torch import Tensor

from ganforge.components.base import ComponentOptions
from ganforge.components.trained_component import TrainedComponent

#: Space of latents: z, which is drawn, or w behind the mapping network (`Generator.style`).
Space: TypeAlias = Literal["z", "w"]


class LatentDistribution(TrainedComponent, ABC):
    """Distribution that latents are sampled from.

    Attributes:
        fields: Named parts of a latent, such as `{"category": slice(0, 10)}`, which samplers can traverse.
    """

    fields: ClassVar[Mapping[str, slice]] = {}

    class Options(ComponentOptions):
        """Options of every latent distribution."""

    options: Options

    @abstractmethod
    def sample(self, count: int, dim: int, rng: torch.Generator) -> Tensor:
        """Return latents, `(count, dim)` float32, drawn from `rng`, on its device."""

    def forward(self, count: int, dim: int, rng: torch.Generator) -> Tensor:
        """Return `sample(count, dim, rng)`."""
        return self.sample(count, dim, rng)

"""Terms that are added to the discriminator's loss."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from ganforge.components.base import Configurable, Options
from ganforge.components.networks import Discriminator


class Penalty(Configurable, ABC):
    """Measure something of the discriminator that should stay small.

    The engine multiplies by `weight` once, and by `every` where it is applied lazily (StyleGAN2: Karras et al. 2020,
    section 3.1), so that its mean strength does not depend on `every`. The unweighted mean is logged as `penalty/NAME`.
    """

    class Options(Options):
        """Options of every penalty."""

        weight: NonNegativeFloat = 1.0
        """What the penalty is multiplied by in the discriminator's loss."""
        every: PositiveInt = 1
        """Apply it only in every so many discriminator updates, and that much stronger."""

    options: Options

    def __init__(self, options: Options) -> None:
        self.options = options

    @abstractmethod
    def measure(
        self,
        discriminator: Discriminator,
        *,
        real: Tensor,
        fake: Tensor,
        labels: Tensor | None,
        rng: torch.Generator,
    ) -> Tensor:
        """Return the unweighted penalty for each image, `(N,)`, differentiable in the discriminator's weights.

        real, fake: images in [-1, 1], `(N, C, H, W)`, detached; labels: `(N,)` int64 that both were made for, or None.
        Whatever is drawn is drawn from `rng`, a generator on the CPU.
        """

    def linear_value(self, norm: float) -> float | None:
        """Return what the formula gives for D(x) = ⟨w, x⟩ with |w| = `norm`, or None where that is not one number.

        The conformance kit compares `measure` with it: R1 says `norm**2`, a gradient penalty `(norm - 1) ** 2`.
        """
        return None

"""Exponential moving average of the generator's weights."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from ganforge.components import Generator

#: Maximum half-life as a fraction of the images seen, so that the initial weights soon drop out (`ema_rampup` of
#: StyleGAN2-ADA, Karras et al. 2020).
RAMPUP = 0.05


class GeneratorEma:
    """Moving average of a generator: weights from `halflife_images` images ago count half."""

    def __init__(self, generator: Generator, halflife_images: float) -> None:
        self.halflife_images = halflife_images
        self.generator = copy.deepcopy(generator).eval().requires_grad_(requires_grad=False)

    @torch.no_grad()
    def update(
        self, generator: Generator, *, images_seen: int, new_images: float, halflife_scale: float | None = None
    ) -> None:
        """Update the average with the weights of the generator, `new_images` after its last update; buffers are copied.

        A scheduled factor of the half-life, `halflife_scale`, replaces the ramp-up.
        """
        if halflife_scale is None:
            halflife = min(self.halflife_images, RAMPUP * images_seen)
        else:
            halflife = self.halflife_images * halflife_scale
        weight = 1 - 0.5 ** (new_images / max(halflife, 1e-8))
        averages: list[Tensor] = list(self.generator.parameters())
        torch._foreach_lerp_(averages, list(generator.parameters()), weight)
        for average, buffer in zip(self.generator.buffers(), generator.buffers(), strict=True):
            average.copy_(buffer)

"""A moving average of the generator's weights, which often makes better images than the weights themselves."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from ganforge.components import Generator

#: The half-life grows with the images seen until it is the one asked for, so that the start is forgotten (Karras et al.
#: 2020, StyleGAN2-ADA's `ema_rampup`).
WARM_UP = 0.05


class GeneratorEma:
    """Average a generator: after `halflife_images` more images, older weights count half."""

    def __init__(self, generator: Generator, halflife_images: int) -> None:
        self.halflife_images = halflife_images
        self.generator = copy.deepcopy(generator).eval().requires_grad_(requires_grad=False)

    @torch.no_grad()
    def update(self, generator: Generator, *, images_seen: int, new_images: float) -> None:
        """Move the average towards the generator, `new_images` after the last time; its buffers are copied."""
        halflife = min(self.halflife_images, WARM_UP * images_seen)
        share = 1 - 0.5 ** (new_images / max(halflife, 1e-8))
        averages: list[Tensor] = list(self.generator.parameters())
        torch._foreach_lerp_(averages, list(generator.parameters()), share)
        for average, buffer in zip(self.generator.buffers(), generator.buffers(), strict=True):
            average.copy_(buffer)

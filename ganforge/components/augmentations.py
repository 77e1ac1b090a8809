"""Differentiable changes to the images that the discriminator sees."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from ganforge.components.base import Configurable, Options


class Augmentation(Configurable, nn.Module, ABC):
    """Change real and fake images alike before they are judged.

    It is a module so that what it adapts (a buffer, registered with `register_buffer`) is saved with the checkpoint.
    """

    class Options(Options):
        """Options of every augmentation."""

    options: Options

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options

    @abstractmethod
    def forward(self, images: Tensor, *, rng: torch.Generator) -> Tensor:
        """Return changed images, `(N, C, H, W)` as given, differentiable in them. Draw from `rng`, on the CPU."""

    def observe(self, real_logits: Tensor) -> None:
        """Hear the logits of the real images, `(N,)`, detached, after each discriminator step, to adapt to them."""

"""Discriminators with known gradients, and training steps of given images."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from ganforge import Augmentation, Discriminator, Generator, GeneratorOutput, ImageSpec, TrainStep

IMAGE = ImageSpec(2, 3, 2)


class Fakes(Generator):
    """Generator of given images."""

    def __init__(self, output: Tensor | GeneratorOutput) -> None:
        super().__init__(Generator.Options(), IMAGE)
        self.output = output

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor | GeneratorOutput:
        """Return the images, `(N, C, H, W)`, or more."""
        return self.output


class Function(Discriminator):
    """Function of weights and flat images as a discriminator, with a record of its inputs."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], weight: Tensor) -> None:
        super().__init__(Discriminator.Options(), IMAGE)
        self.weight = nn.Parameter(weight)
        self.function = function
        self.inputs: list[Tensor] = []

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return logits, `(N,)` or `(N, K)`."""
        self.inputs.append(images.detach().clone())
        return self.function(self.weight, images.flatten(1))


class Linear(Function):
    """D(x) = ⟨w, x⟩ with |w| = norm."""

    def __init__(self, norm: float, dtype: torch.dtype = torch.float64) -> None:
        weight = torch.linspace(-1, 2, IMAGE.numel, dtype=dtype)
        super().__init__(lambda w, x: x @ w, weight * (norm / weight.norm()))


def train_step(
    discriminator: Discriminator,
    real: Tensor,
    fake: Tensor | GeneratorOutput,
    *,
    phase: str = "disc",
    seed: int = 0,
    condition: Tensor | None = None,
    augmentations: Mapping[str, Augmentation] | None = None,
) -> TrainStep:
    """Return one step on real and fake images, `(N, C, H, W)`."""
    return TrainStep(
        phase=phase,
        step=0,
        progress=0.0,
        images_seen=0,
        real=real,
        z=torch.zeros(len(real), 1),
        condition=condition,
        modules={"generator": Fakes(fake), "discriminator": discriminator},
        derive_rng=lambda name: torch.Generator().manual_seed(seed),
        augmentations=augmentations,
    )

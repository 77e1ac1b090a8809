"""Gradient penalties: terms of the discriminator's loss that keep its gradient in the images small."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from ganforge import LossTerm, TrainStep


def image_gradient(
    step: TrainStep, images: Tensor | tuple[Tensor, ...], parameters: Mapping[str, Any] | None = None
) -> Tensor:
    """Return the gradient of each image's mean logit in the image, `(N, D)`, differentiable in the weights.

    The discriminator sees augmented images; the gradient is taken at the images before that, as in StyleGAN2-ADA.

    Args:
        step: The update.
        images: `(N, C, H, W)`, or the levels that the discriminator takes; left unchanged.
        parameters: Parameters of the augmentations by name; new ones by default.
    """
    inputs = (images,) if isinstance(images, Tensor) else images
    levels = tuple(level.detach().requires_grad_() for level in inputs)
    output = step.discriminate(levels[0] if isinstance(images, Tensor) else levels, parameters=parameters)
    # A logit depends on its own image only, so the gradient of the sum holds the gradients of all images.
    logits = output.logits.reshape(len(levels[0]), -1).mean(1)
    gradients = torch.autograd.grad(logits.sum(), levels, create_graph=True)
    return torch.cat([gradient.flatten(1) for gradient in gradients], 1)


class R1(LossTerm):
    """|∇D(x)|² at real images (Mescheder et al. 2018, eq. 9). The paper's factor is γ/2, so `weight` = γ/2."""

    phases: ClassVar[tuple[str, ...]] = ("disc",)

    class Options(LossTerm.Options):
        """Options of a zero-centered gradient penalty."""

        weight: NonNegativeFloat = 5.0
        """Factor of the penalty in the discriminator's loss: γ/2, with the paper's γ of 10."""

    options: Options

    def forward(self, step: TrainStep) -> Tensor:
        """Return |∇D(x)|², `(N,)`."""
        return image_gradient(step, step.real, step.real_parameters).square().sum(1)


class R2(R1):
    """|∇D(x)|² at fake images (Mescheder et al. 2018, eq. 10). The paper's factor is γ/2, so `weight` = γ/2."""

    def forward(self, step: TrainStep) -> Tensor:
        """Return |∇D(x)|², `(N,)`."""
        return image_gradient(step, step.fake_input, step.fake_parameters).square().sum(1)


class GradientPenalty(LossTerm):
    """(|∇D(x̂)| - 1)² with x̂ = ε·real + (1 - ε)·fake and ε uniform on [0, 1] (Gulrajani et al. 2017, eq. 3).

    `one_sided` gives max(0, |∇D(x̂)| - 1)²: a 1-Lipschitz discriminator may be flatter (WGAN-LP: Petzka et al. 2017,
    arXiv:1709.08894).
    """

    phases: ClassVar[tuple[str, ...]] = ("disc",)
    per_image_gradients: ClassVar[bool] = True

    class Options(LossTerm.Options):
        """Options of the gradient penalty."""

        weight: NonNegativeFloat = 10.0
        """Factor of the penalty in the discriminator's loss: the paper's λ."""
        target: NonNegativeFloat = 1.0
        """Norm of the gradient that is not penalized."""
        one_sided: bool = False
        """Penalize only norms above the target."""

    options: Options

    def forward(self, step: TrainStep) -> Tensor:
        """Return the penalty at one point between each real image and its fake, `(N,)`."""
        share = torch.rand(len(step.real), 1, 1, 1, generator=step.rng).to(step.real)
        between = share * step.real + (1 - share) * step.fake
        norm = torch.linalg.vector_norm(image_gradient(step, between), dim=1)
        excess: Tensor = norm - self.options.target
        return (excess.relu() if self.options.one_sided else excess).square()

"""BEGAN: an autoencoder as discriminator, and a balance that is kept by a controller.

References:
    Berthelot et al. 2017, BEGAN: Boundary Equilibrium Generative Adversarial Networks, arXiv:1703.10717.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from ganforge import Component, Discriminator, DiscriminatorOutput, ImageSpec, Loss, TrainStep, hookimpl

SETTINGS = ("gen=mlp", "gen.hidden=[32]", "disc=autoencoder", "loss=began", "batch_size=8")


class Autoencoder(Discriminator):
    """Autoencoder whose logit is the negative reconstruction error."""

    batch_independent: ClassVar[bool] = True

    def __init__(self, options: Discriminator.Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(image.numel, 32),
            nn.ELU(),
            nn.Linear(32, image.numel),
            nn.Unflatten(1, image.shape),
        )

    def forward(self, images: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        """Return -|x - AE(x)|, `(N,)`, and the reconstruction as a feature."""
        reconstruction = self.layers(images)
        error = (reconstruction - images).abs().flatten(1).mean(1)
        return DiscriminatorOutput(-error, features=(reconstruction,))


class Began(Loss):
    """Reconstruction errors in proportion γ (Berthelot et al. 2017, section 3.4)."""

    partners: ClassVar[Mapping[str, str]] = {"disc": "autoencoder"}

    class Options(Loss.Options):
        """Options of BEGAN."""

        gamma: float = 0.5
        """Ratio of the fakes' error to that of real images; lower values give less diverse images."""
        gain: float = 0.001
        """Proportional gain λ of the controller."""

    options: Options
    k: Tensor

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.register_buffer("k", torch.zeros(()))

    def discriminator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Return L(x) - k·L(G(z)), `(N,)`."""
        return -real.logits + self.k * fake.logits

    def generator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Return L(G(z)), `(N,)`."""
        return -fake.logits

    def after_step(self, step: TrainStep) -> None:
        """Move k by the whole batch's imbalance after the discriminator's update."""
        if step.phase == "disc":
            real, fake = -step.real_output.logits.mean(), -step.fake_output.logits.mean()
            balance = self.options.gamma * real - fake
            self.k.add_(self.options.gain * balance).clamp_(0, 1)
            step.log("began/k", self.k)
            step.log("began/convergence", real + balance.abs())


@hookimpl
def ganforge_components() -> list[Component]:
    """Provide BEGAN's discriminator and loss."""
    paper = "arXiv:1703.10717"
    return [
        Component(kind="discriminator", name="autoencoder", target=Autoencoder, summary="Autoencoder.", paper=paper),
        Component(kind="loss", name="began", target=Began, summary="Boundary equilibrium.", paper=paper),
    ]

"""BiGAN: an encoder next to the generator, and a discriminator of pairs of images and latents.

References:
    Donahue et al. 2017, Adversarial Feature Learning, arXiv:1605.09782.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ganforge import Component, Discriminator, DiscriminatorOutput, ImageSpec, Loss, TrainStep, hookimpl

NETWORKS = ("gen=mlp", "gen.hidden=[32]", "gen.latent_dim=8", "disc=pairs", "disc.latent_dim=8", "batch_size=8")
SETTINGS = (*NETWORKS, "loss=bigan")
PHASE_SETTINGS = (*NETWORKS, "loss=bigan-apart", "optimizer.encoder.lr=0.001")


class PairDiscriminator(Discriminator):
    """MLP on an image and its latent; an image alone gets a latent of zeros."""

    batch_independent: ClassVar[bool] = True

    class Options(Discriminator.Options):
        """Options of the discriminator."""

        latent_dim: int = 100
        """Numbers in one latent of the generator."""

    options: Options

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.layers = nn.Sequential(
            nn.Linear(image.numel + options.latent_dim, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1)
        )

    def forward(self, images: Tensor | tuple[Tensor, Tensor], condition: Tensor | None = None) -> Tensor:
        """Return logits, `(N,)`, of pairs (x, z)."""
        x, z = images if isinstance(images, tuple) else (images, images.new_zeros(len(images), self.options.latent_dim))
        logits: Tensor = self.layers(torch.cat([x.flatten(1), z], 1))
        return logits.squeeze(1)


class Bigan(Loss):
    """Discriminator of (x, E(x)) against (G(z), z); the encoder is trained together with the generator."""

    optimized_in: ClassVar[Mapping[str, str]] = {"encoder": "gen"}
    partners: ClassVar[Mapping[str, str]] = {"disc": "pairs"}

    def setup(self, modules: Mapping[str, Any]) -> None:
        """Create the encoder for the generator's images and latents."""
        generator = modules["generator"]
        self.encoder = nn.Sequential(
            nn.Flatten(), nn.Linear(generator.image.numel, 32), nn.LeakyReLU(0.2), nn.Linear(32, generator.latent_dim)
        )

    def forward(self, step: TrainStep) -> Tensor:
        """Return the loss of the step's phase, `(N,)` (Donahue et al. 2017, eq. 3)."""
        real = step.discriminate((step.real, self.encoder(step.real)))
        fake = step.discriminate((step.fake, step.z))
        if step.phase == "disc":
            return self.discriminator_loss(real=real, fake=fake)
        return self.generator_loss(real=real, fake=fake)

    def discriminator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Return BCE(real, 1) + BCE(fake, 0), `(N,)`."""
        return softplus(-real.logits) + softplus(fake.logits)

    def generator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Return BCE(fake, 1) for the generator plus BCE(real, 0) for the encoder, `(N,)`."""
        return softplus(-fake.logits) + softplus(real.logits)


class BiganApart(Bigan):
    """BiGAN whose encoder has a phase, an optimizer and a checkpoint file of its own."""

    phases: ClassVar[tuple[str, ...]] = ("disc", "gen", "encoder")
    optimized_in: ClassVar[Mapping[str, str]] = {"encoder": "encoder"}

    def forward(self, step: TrainStep) -> Tensor:
        """Return the loss of the step's phase, `(N,)`."""
        if step.phase == "encoder":
            return softplus(step.discriminate((step.real, self.encoder(step.real))).logits)
        if step.phase == "gen":
            return softplus(-step.discriminate((step.fake, step.z)).logits)
        return super().forward(step)


@hookimpl
def ganforge_components() -> list[Component]:
    """Provide BiGAN's discriminator, and its loss with the encoder in either place."""
    paper = "arXiv:1605.09782"
    return [
        Component(kind="discriminator", name="pairs", target=PairDiscriminator, summary="MLP on (x, z).", paper=paper),
        Component(kind="loss", name="bigan", target=Bigan, summary="Encoder trained with the generator.", paper=paper),
        Component(kind="loss", name="bigan-apart", target=BiganApart, summary="Encoder in its own phase.", paper=paper),
    ]

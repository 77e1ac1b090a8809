"""R1 gradient penalty on a small DCGAN.

References:
    Radford et al. 2015, Unsupervised Representation Learning with DCGANs, arXiv:1511.06434.
    Mescheder et al. 2018, Which Training Methods for GANs do actually Converge?, arXiv:1801.04406.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from ganforge import (
    Component,
    Discriminator,
    Generator,
    ImageSpec,
    IncompatibleError,
    LossTerm,
    TrainStep,
    hookimpl,
)

SETTINGS = ("gen=small-dcgan", "disc=small-dcgan", "term=plain-r1", "term.every=4", "batch_size=8")


def check_size(image: ImageSpec) -> None:
    """Raise IncompatibleError unless the image can be halved twice."""
    if image.height % 4 or image.width % 4:
        raise IncompatibleError(f"images of {image} cannot be halved twice", fix="use sides that are multiples of 4")


class SmallGenerator(Generator):
    """Two transposed convolutions, from a quarter of the image's size."""

    @classmethod
    def check_image(cls, options: Generator.Options, image: ImageSpec) -> None:
        """Raise IncompatibleError unless the image can be halved twice."""
        check_size(image)

    def __init__(self, options: Generator.Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        height, width = image.height // 4, image.width // 4
        self.layers = nn.Sequential(
            nn.Linear(self.latent_dim, 16 * height * width),
            nn.Unflatten(1, (16, height, width)),
            nn.ReLU(),
            nn.ConvTranspose2d(16, 8, 4, 2, 1),
            nn.ReLU(),
            nn.ConvTranspose2d(8, image.channels, 4, 2, 1),
            nn.Tanh(),
        )

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return images, `(N, C, H, W)`."""
        images: Tensor = self.layers(z)
        return images


class SmallDiscriminator(Discriminator):
    """Two strided convolutions; without batch norm, so that R1 is the gradient of each image's own logit."""

    batch_independent: ClassVar[bool] = True

    @classmethod
    def check_image(cls, options: Discriminator.Options, image: ImageSpec) -> None:
        """Raise IncompatibleError unless the image can be halved twice."""
        check_size(image)

    def __init__(self, options: Discriminator.Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.layers = nn.Sequential(
            nn.Conv2d(image.channels, 8, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(8, 16, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(16 * (image.height // 4) * (image.width // 4), 1),
        )

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return logits, `(N,)`."""
        logits: Tensor = self.layers(images)
        return logits.squeeze(1)


class R1(LossTerm):
    """Squared gradient of the logit with respect to a real image (Mescheder et al. 2018, eq. 9)."""

    phases: ClassVar[tuple[str, ...]] = ("disc",)

    def forward(self, step: TrainStep) -> Tensor:
        """Return |∇D(x)|² of each real image, `(N,)`, under the augmentations that the loss sees."""
        real = step.real.detach().requires_grad_()
        logits = step.discriminate(real, parameters=step.real_parameters).logits
        (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
        return gradient.square().flatten(1).sum(1)


@hookimpl
def ganforge_components() -> list[Component]:
    """Provide a small DCGAN and the R1 term."""
    return [
        Component(kind="generator", name="small-dcgan", target=SmallGenerator, summary="Two transposed convolutions."),
        Component(kind="discriminator", name="small-dcgan", target=SmallDiscriminator, summary="Two convolutions."),
        Component(kind="term", name="plain-r1", target=R1, summary="R1 gradient penalty.", paper="arXiv:1801.04406"),
    ]

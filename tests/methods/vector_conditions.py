"""Conditions that are vectors of numbers: images of a spot at a given place.

References:
    Mirza and Osindero 2014, Conditional Generative Adversarial Nets, arXiv:1411.1784.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from ganforge import (
    Component,
    Dataset,
    Discriminator,
    Generator,
    ImageSpec,
    ImageTensors,
    IncompatibleError,
    hookimpl,
)

SETTINGS = ("gen=at-vector", "disc=at-vector", "data=spots", "batch_size=8")


class Spots(Dataset):
    """Spots of light, 1×12×12, whose condition is the place: row and column from -1 to 1."""

    @property
    def condition_names(self) -> tuple[str, ...]:
        """Names of a condition's entries."""
        return ("row", "column")

    def open(self, split: str) -> ImageTensors:
        """Return a split in memory."""
        rng = torch.Generator().manual_seed(len(split))
        place = torch.rand(128, 2, generator=rng) * 2 - 1
        axis = torch.linspace(-1, 1, 12)
        distance = (axis.view(-1, 1) - place[:, :1, None]).square() + (axis - place[:, 1:, None]).square()
        return ImageTensors((distance * -8).exp().mul(255).to(torch.uint8).unsqueeze(1), place)


def vector_size(image: ImageSpec) -> int:
    """Return the number of entries of an image's condition. Raises IncompatibleError if it is not a vector."""
    if image.condition is None or image.condition.kind != "vector":
        raise IncompatibleError("the network needs vectors as conditions", fix="use a dataset such as spots")
    return image.condition.shape[0]


class VectorGenerator(Generator):
    """MLP on a latent and a vector."""

    @property
    def conditional(self) -> bool:
        """Always: the condition is the input."""
        return True

    @classmethod
    def check_image(cls, options: Generator.Options, image: ImageSpec) -> None:
        """Raise IncompatibleError for data without vectors."""
        vector_size(image)

    def __init__(self, options: Generator.Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        inputs = self.latent_dim + vector_size(image)
        self.layers = nn.Sequential(nn.Linear(inputs, 32), nn.ReLU(), nn.Linear(32, image.numel), nn.Tanh())

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return images, `(N, C, H, W)`, for conditions `(N, D)`."""
        assert condition is not None
        images: Tensor = self.layers(torch.cat([z, condition], 1))
        return images.view(-1, *self.image.shape)


class VectorDiscriminator(Discriminator):
    """MLP on an image and a vector."""

    batch_independent: ClassVar[bool] = True

    @property
    def conditional(self) -> bool:
        """Always: the condition is the input."""
        return True

    @classmethod
    def check_image(cls, options: Discriminator.Options, image: ImageSpec) -> None:
        """Raise IncompatibleError for data without vectors."""
        vector_size(image)

    def __init__(self, options: Discriminator.Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.layers = nn.Sequential(
            nn.Linear(image.numel + vector_size(image), 32), nn.LeakyReLU(0.2), nn.Linear(32, 1)
        )

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return logits, `(N,)`, for conditions `(N, D)`."""
        assert condition is not None
        logits: Tensor = self.layers(torch.cat([images.flatten(1), condition], 1))
        return logits.squeeze(1)


@hookimpl
def ganforge_components() -> list[Component]:
    """Provide a dataset of spots and two networks that take vectors."""
    return [
        Component(kind="dataset", name="spots", target=Spots, summary="Spots of light, 1×12×12, and their places."),
        Component(kind="generator", name="at-vector", target=VectorGenerator, summary="MLP on latent and vector."),
        Component(
            kind="discriminator", name="at-vector", target=VectorDiscriminator, summary="MLP on image and vector."
        ),
    ]

"""pix2pix: a translator from condition images to images, a PatchGAN discriminator and an L1 term.

References:
    Isola et al. 2017, Image-to-Image Translation with Conditional Adversarial Networks, arXiv:1611.07004.
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
    LossTerm,
    TrainStep,
    hookimpl,
)

SETTINGS = ("gen=translator", "disc=patches", "data=outlines", "term=l1", "batch_size=8")


class Outlines(Dataset):
    """Filled rectangles, 1×16×16, whose condition is their outline."""

    def open(self, split: str) -> ImageTensors:
        """Return a split in memory."""
        rng = torch.Generator().manual_seed(len(split))
        begin = torch.randint(1, 7, (64, 2, 1), generator=rng)
        end = begin + torch.randint(3, 9, (64, 2, 1), generator=rng)
        pixels = torch.arange(16)
        (rows, columns), (inner_rows, inner_columns) = (
            ((pixels >= begin + margin) & (pixels < end - margin)).unbind(1) for margin in (0, 1)
        )
        filled = rows.unsqueeze(2) & columns.unsqueeze(1)
        outline = filled & ~(inner_rows.unsqueeze(2) & inner_columns.unsqueeze(1))
        images, condition = (values.to(torch.uint8).mul(255).unsqueeze(1) for values in (filled, outline))
        return ImageTensors(images, condition)


def condition_channels(image: ImageSpec) -> int:
    """Return the channels of a condition. Raises IncompatibleError unless it is a picture as large as the image."""
    if image.condition is None or image.condition.shape[1:] != (image.height, image.width):
        raise IncompatibleError("the network needs pictures as conditions", fix="use a dataset such as outlines")
    return image.condition.shape[0]


class Translator(Generator):
    """Convolutions on the condition and a map of noise."""

    @property
    def conditional(self) -> bool:
        """Always: the condition is the input."""
        return True

    @classmethod
    def check_image(cls, options: Generator.Options, image: ImageSpec) -> None:
        """Raise IncompatibleError for data without pictures as conditions."""
        condition_channels(image)

    def __init__(self, options: Generator.Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.noise = nn.Linear(self.latent_dim, image.height * image.width)
        self.layers = nn.Sequential(
            nn.Conv2d(condition_channels(image) + 1, 8, 3, 1, 1),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, 1, 1),
            nn.ReLU(),
            nn.Conv2d(8, image.channels, 3, 1, 1),
            nn.Tanh(),
        )

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return images, `(N, C, H, W)`, for pictures, `(N, C', H, W)`."""
        assert condition is not None
        noise = self.noise(z).view(-1, 1, self.image.height, self.image.width)
        images: Tensor = self.layers(torch.cat([condition, noise], 1))
        return images


class PatchDiscriminator(Discriminator):
    """PatchGAN: a logit for each patch of an image and its condition (Isola et al. 2017, section 3.2.2)."""

    batch_independent: ClassVar[bool] = True

    @property
    def conditional(self) -> bool:
        """Always: the condition is the input."""
        return True

    @classmethod
    def check_image(cls, options: Discriminator.Options, image: ImageSpec) -> None:
        """Raise IncompatibleError for data without pictures as conditions, and for images without patches."""
        condition_channels(image)
        if min(image.height, image.width) < 4:
            raise IncompatibleError(f"images of {image} have no patches", fix="use at least 4 pixels a side")

    def __init__(self, options: Discriminator.Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        channels = image.channels + condition_channels(image)
        self.layers = nn.Sequential(nn.Conv2d(channels, 8, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(8, 1, 4, 2, 1))

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return logits, `(N, K)`."""
        assert condition is not None
        logits: Tensor = self.layers(torch.cat([images, condition], 1))
        return logits.flatten(1)


class L1(LossTerm):
    """Mean absolute difference from the real image of the same condition (Isola et al. 2017, eq. 3)."""

    class Options(LossTerm.Options):
        """Options of the term."""

        weight: float = 100.0
        """Factor of the term in the loss."""

    def forward(self, step: TrainStep) -> Tensor:
        """Return |x - G(z, c)|, `(N,)`."""
        return (step.real - step.fake).abs().flatten(1).mean(1)


@hookimpl
def ganforge_components() -> list[Component]:
    """Provide pairs of pictures, pix2pix's networks and its L1 term."""
    paper = "arXiv:1611.07004"
    return [
        Component(kind="dataset", name="outlines", target=Outlines, summary="Rectangles, 1×16×16, and their outlines."),
        Component(kind="generator", name="translator", target=Translator, summary="Picture to picture.", paper=paper),
        Component(kind="discriminator", name="patches", target=PatchDiscriminator, summary="PatchGAN.", paper=paper),
        Component(kind="term", name="l1", target=L1, summary="Difference from the real image.", paper=paper),
    ]

"""Progressive growing: both networks begin with small images and fade in further layers.

References:
    Karras et al. 2018, Progressive Growing of GANs for Improved Quality, Stability, and Variation, arXiv:1710.10196.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, leaky_relu

from ganforge import Component, Discriminator, Generator, ImageSpec, IncompatibleError, hookimpl

SETTINGS = (
    *("gen=progressive", "disc=progressive", "batch_size=8"),
    *("gen.steps_per_stage=6", "disc.steps_per_stage=6"),
)
STAGES, WIDTH = 3, 8


def check_size(image: ImageSpec) -> None:
    """Raise IncompatibleError unless the image can be halved twice."""
    if image.height % 4 or image.width % 4:
        raise IncompatibleError(f"images of {image} cannot be halved twice", fix="use sides that are multiples of 4")


class Growing(nn.Module):
    """Stage of a network and the share of its newest layer, as functions of the step."""

    steps_per_stage: int
    level: int
    share: Tensor

    def start(self, steps_per_stage: int) -> None:
        """Begin with the smallest images."""
        self.steps_per_stage, self.level = steps_per_stage, 0
        self.register_buffer("share", torch.ones(()))

    def stage(self, step: int) -> int:
        """Switch to the stage of a step; the newest layer fades in over the first half of its stage."""
        position = step / self.steps_per_stage
        self.level = min(int(position), STAGES - 1)
        self.share.fill_(min(1.0, 2 * (position - self.level)) if self.level else 1.0)
        return self.level


class ProgressiveGenerator(Growing, Generator):
    """Convolutions at 1/4, 1/2 and all of the image's size."""

    class Options(Generator.Options):
        """Options of the generator."""

        steps_per_stage: int = 10_000
        """Steps before the images double."""

    @classmethod
    def check_image(cls, options: Options, image: ImageSpec) -> None:
        """Raise IncompatibleError unless the image can be halved twice."""
        check_size(image)

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.start(options.steps_per_stage)
        height, width = image.height // 4, image.width // 4
        self.first = nn.Sequential(
            nn.Linear(self.latent_dim, WIDTH * height * width), nn.Unflatten(1, (WIDTH, height, width))
        )
        self.blocks = nn.ModuleList(nn.Conv2d(WIDTH, WIDTH, 3, 1, 1) for _ in range(STAGES - 1))
        self.to_images = nn.ModuleList(nn.Conv2d(WIDTH, image.channels, 1) for _ in range(STAGES))

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return images, `(N, C, H, W)`; smaller ones are enlarged."""
        x = leaky_relu(self.first(z), 0.2)
        images = self.to_images[0](x)
        for level in range(1, self.level + 1):
            x = leaky_relu(self.blocks[level - 1](interpolate(x, scale_factor=2)), 0.2)
            newest = self.to_images[level](x)
            images = interpolate(images, scale_factor=2).lerp(newest, self.share) if level == self.level else newest
        return interpolate(images.tanh(), size=self.image.shape[1:])


class ProgressiveDiscriminator(Growing, Discriminator):
    """Convolutions at all, 1/2 and 1/4 of the image's size."""

    batch_independent: ClassVar[bool] = True

    class Options(Discriminator.Options):
        """Options of the discriminator."""

        steps_per_stage: int = 10_000
        """Steps before the images double."""

    @classmethod
    def check_image(cls, options: Options, image: ImageSpec) -> None:
        """Raise IncompatibleError unless the image can be halved twice."""
        check_size(image)

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.start(options.steps_per_stage)
        self.from_images = nn.ModuleList(nn.Conv2d(image.channels, WIDTH, 1) for _ in range(STAGES))
        self.blocks = nn.ModuleList(nn.Conv2d(WIDTH, WIDTH, 3, 1, 1) for _ in range(STAGES - 1))
        self.last = nn.Sequential(nn.Flatten(), nn.Linear(WIDTH * (image.height // 4) * (image.width // 4), 1))

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return logits, `(N,)`, of images that are first made as small as the generator's."""
        images = avg_pool2d(images, 2 ** (STAGES - 1 - self.level))
        x = leaky_relu(self.from_images[self.level](images), 0.2)
        for level in range(self.level, 0, -1):
            x = avg_pool2d(leaky_relu(self.blocks[level - 1](x), 0.2), 2)
            if level == self.level:
                x = leaky_relu(self.from_images[level - 1](avg_pool2d(images, 2)), 0.2).lerp(x, self.share)
        logits: Tensor = self.last(x)
        return logits.squeeze(1)


@hookimpl
def ganforge_components() -> list[Component]:
    """Provide two networks that grow."""
    summary, paper = "Grows from a quarter of the image's size.", "arXiv:1710.10196"
    return [
        Component(kind="generator", name="progressive", target=ProgressiveGenerator, summary=summary, paper=paper),
        Component(
            kind="discriminator", name="progressive", target=ProgressiveDiscriminator, summary=summary, paper=paper
        ),
    ]

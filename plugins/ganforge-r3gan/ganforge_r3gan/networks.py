"""R3GAN's two networks (Huang et al. 2024), for images of any size that halves to 4 to 7 pixels."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import ClassVar

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from ganforge import Discriminator, Generator, ImageSpec
from ganforge.errors import IncompatibleError
from ganforge_r3gan.layers import DiscriminativeBasis, Doubling, GenerativeBasis, Halving, ResidualBlock, convolution
from ganforge_r3gan.stages import Stage, StageOptions, plan

GENERATOR, DISCRIMINATOR = "generator 'r3gan'", "discriminator 'r3gan'"


def blocks(stage: Stage, options: StageOptions, depth: int) -> list[nn.Module]:
    """Make one stage's residual blocks, in a network that has `depth` of them."""
    return [
        ResidualBlock(stage.channels, expansion=options.expansion, group_width=options.group_width, depth=depth)
        for _ in range(options.blocks)
    ]


def mixing(inputs: int, outputs: int) -> list[nn.Module]:
    """Make the 1×1 convolution between maps of different width; there is none between equal ones."""
    return [] if inputs == outputs else [convolution(inputs, outputs)]


def embedding(classes: int | None, width: int, gain: float = 1.0) -> nn.Embedding:
    """Make a vector for each class, from N(0, gain² / classes): the authors' linear layer on one-hot labels."""
    assert classes is not None, "the plan refuses a conditional network of data without labels"  # noqa: S101
    vectors = nn.Embedding(classes, width)
    nn.init.normal_(vectors.weight, 0.0, gain / math.sqrt(classes))
    return vectors


def embedded(network: str, vectors: nn.Embedding, labels: Tensor | None) -> Tensor:
    """Return each label's vector, `(N, E)`. Raises IncompatibleError where there are no labels."""
    if labels is None:
        raise IncompatibleError(f"{network} is conditional, but was given no labels", fix="give it labels, (N,) int64")
    found: Tensor = vectors(labels)
    return found


class R3ganGenerator(Generator):
    """Modulate a learned base map by the latent, then double it, with residual blocks at each size, to the image.

    1×1 convolution and tanh at the end. The authors end without the tanh; ganforge's images lie in [-1, 1], whatever
    the latents are. Conditional, the class's learned vector, as long as the latent, stands beside the latent.
    """

    class Options(StageOptions, Generator.Options):
        """How wide and deep the network is, and whether it is told the labels."""

        latent_dim: PositiveInt = 64
        """How many numbers a latent has."""

    options: Options
    recommended: ClassVar = {
        "optimizer.gen.lr": 2e-4,
        "optimizer.gen.betas": (0.0, 0.99),
        "ema_halflife_images": 500_000,
    }

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        stages = plan(GENERATOR, options, image)
        depth, inputs = len(stages) * options.blocks, options.latent_dim
        self.embedding: nn.Embedding | None = None
        if options.conditional:
            self.embedding = embedding(image.num_classes, options.latent_dim)
            inputs += options.latent_dim
        self.basis = GenerativeBasis(inputs, stages[0].channels, stages[0].size)
        layers = blocks(stages[0], options, depth)
        for before, stage in pairwise(stages):
            layers += mixing(before.channels, stage.channels)
            layers += [Doubling(stage.channels), *blocks(stage, options, depth)]
        self.layers = nn.Sequential(*layers, convolution(stages[-1].channels, image.channels), nn.Tanh())

    @property
    def conditional(self) -> bool:
        """Where it is conditional."""
        return self.options.conditional

    @classmethod
    def check_image(cls, options: Options, image: ImageSpec) -> None:
        """Raise IncompatibleError where the size, the labels or the widths do not fit."""
        plan(GENERATOR, options, image)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return images, `(N, C, H, W)`, from latents, `(N, Z)`, and labels, `(N,)`, where it is conditional."""
        if self.embedding is not None:
            z = torch.cat([z, embedded(GENERATOR, self.embedding, labels).to(z.dtype)], 1)
        images: Tensor = self.layers(self.basis(z))
        return images


class R3ganDiscriminator(Discriminator):
    """Halve the image to the base map, with residual blocks at each size, then weigh the map with learned kernels.

    The generator's mirror. Conditional, the features of the base map are projected on the class's learned vector
    (Miyato & Koyama 2018), with nothing beside the product.
    """

    class Options(StageOptions, Discriminator.Options):
        """How wide and deep the network is, and whether it is told the labels."""

    options: Options
    batch_independent: ClassVar[bool] = True
    recommended: ClassVar = {"optimizer.disc.lr": 2e-4, "optimizer.disc.betas": (0.0, 0.99)}

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        stages = plan(DISCRIMINATOR, options, image)[::-1]
        depth, width = len(stages) * options.blocks, stages[-1].channels
        layers: list[nn.Module] = [convolution(image.channels, stages[0].channels), *blocks(stages[0], options, depth)]
        for before, stage in pairwise(stages):
            layers += [Halving(before.channels), *mixing(before.channels, stage.channels)]
            layers += blocks(stage, options, depth)
        self.layers = nn.Sequential(*layers)
        self.embedding: nn.Embedding | None = None
        if options.conditional:
            self.embedding = embedding(image.num_classes, width, gain=1 / math.sqrt(width))
        self.basis = DiscriminativeBasis(width, width if options.conditional else 1, stages[-1].size)

    @property
    def conditional(self) -> bool:
        """Where it is conditional."""
        return self.options.conditional

    @classmethod
    def check_image(cls, options: Options, image: ImageSpec) -> None:
        """Raise IncompatibleError where the size, the labels or the widths do not fit."""
        plan(DISCRIMINATOR, options, image)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return logits, `(N,)`, for images, `(N, C, H, W)`, of labels, `(N,)`, where it is conditional."""
        features: Tensor = self.basis(self.layers(images))
        if self.embedding is None:
            return features.squeeze(1)
        return (features * embedded(DISCRIMINATOR, self.embedding, labels)).sum(1)

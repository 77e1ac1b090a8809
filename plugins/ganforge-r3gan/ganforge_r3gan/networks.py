"""Networks of R3GAN (Huang et al. 2024), for images of any size that halves to 4 to 7 pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, ClassVar

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from ganforge import Discriminator, Generator, ImageSpec
from ganforge.errors import IncompatibleError
from ganforge_r3gan.layers import DiscriminativeBasis, Doubling, GenerativeBasis, Halving, ResidualBlock, convolution
from ganforge_r3gan.stages import Stage, StageOptions, plan

GENERATOR, DISCRIMINATOR = "generator 'r3gan'", "discriminator 'r3gan'"


def recommended_optimizer(phase: str) -> dict[str, Any]:
    """Return the authors' optimizer of a phase: along a cosine, lr falls from 2e-4 to 5e-5 and β₂ rises to 0.99."""
    return {
        f"optimizer.{phase}.lr": 2e-4,
        f"optimizer.{phase}.betas": (0.0, 0.9),
        f"schedules.optimizer.{phase}.lr": "cosine",
        f"schedules.optimizer.{phase}.lr.final": 0.25,
        f"schedules.optimizer.{phase}.betas.1": "cosine",
        f"schedules.optimizer.{phase}.betas.1.final": 1.1,
    }


def blocks(stage: Stage, options: StageOptions, depth: int) -> list[nn.Module]:
    """Return the residual blocks of a stage, in a network of `depth` blocks."""
    return [
        ResidualBlock(stage.channels, expansion=options.expansion, group_width=options.group_width, depth=depth)
        for _ in range(options.blocks)
    ]


def mixing(inputs: int, outputs: int) -> list[nn.Module]:
    """Return the 1×1 convolution between maps of different width; none between equal ones."""
    return [] if inputs == outputs else [convolution(inputs, outputs)]


def class_embedding(classes: int | None, width: int, gain: float = 1.0) -> nn.Embedding:
    """Return a vector per class, from N(0, gain² / classes): the authors' linear layer on one-hot labels."""
    assert classes is not None, "the plan refuses a conditional network of data without classes"  # noqa: S101
    vectors = nn.Embedding(classes, width)
    nn.init.normal_(vectors.weight, 0.0, gain / math.sqrt(classes))
    return vectors


def embed(network: str, vectors: nn.Embedding, condition: Tensor | None) -> Tensor:
    """Return the vector of each class, `(N, E)`.

    Args:
        network: Name of the network, for the message.
        vectors: Vectors of all classes.
        condition: `(N,)` int64.

    Raises:
        IncompatibleError: The condition is None.
    """
    if condition is None:
        raise IncompatibleError(f"{network} was called without a condition", fix="pass class labels, (N,) int64")
    embeddings: Tensor = vectors(condition)
    return embeddings


class R3ganGenerator(Generator):
    """Learned base map, modulated by the latent and doubled to the image, with residual blocks at each size.

    It ends in a 1×1 convolution and a tanh. The authors end without the tanh, so their images may leave [-1, 1]. A
    conditional generator concatenates the latent with a learned vector of the class, as long as the latent.
    """

    class Options(StageOptions, Generator.Options):
        """Options of the R3GAN generator."""

        latent_dim: PositiveInt = 64
        """Numbers in one latent."""

    options: Options
    recommended: ClassVar[Mapping[str, Any]] = {**recommended_optimizer("gen"), "ema_halflife_images": 500_000}

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        stages = plan(GENERATOR, options, image)
        depth, inputs = len(stages) * options.blocks, options.latent_dim
        self.embedding: nn.Embedding | None = None
        if options.conditional:
            self.embedding = class_embedding(image.num_classes, options.latent_dim)
            inputs += options.latent_dim
        self.basis = GenerativeBasis(inputs, stages[0].channels, stages[0].size)
        layers = blocks(stages[0], options, depth)
        for before, stage in pairwise(stages):
            layers += mixing(before.channels, stage.channels)
            layers += [Doubling(stage.channels), *blocks(stage, options, depth)]
        self.layers = nn.Sequential(*layers, convolution(stages[-1].channels, image.channels), nn.Tanh())

    @property
    def conditional(self) -> bool:
        """Option `conditional`."""
        return self.options.conditional

    @classmethod
    def check_image(cls, options: Options, image: ImageSpec) -> None:
        """Raise IncompatibleError if size, classes or widths do not fit."""
        plan(GENERATOR, options, image)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return images, `(N, C, H, W)`.

        Args:
            z: Latents, `(N, Z)`.
            condition: Classes, `(N,)` int64, of a conditional generator.
        """
        if self.embedding is not None:
            z = torch.cat([z, embed(GENERATOR, self.embedding, condition).to(z.dtype)], 1)
        images: Tensor = self.layers(self.basis(z))
        return images


class R3ganDiscriminator(Discriminator):
    """Image halved to the base map, with residual blocks at each size, and learned kernels over the map.

    It is the generator's mirror. A conditional discriminator projects the features of the base map on a learned vector
    per class (Miyato & Koyama 2018), with nothing added to the product.
    """

    class Options(StageOptions, Discriminator.Options):
        """Options of the R3GAN discriminator."""

    options: Options
    batch_independent: ClassVar[bool] = True
    #: The authors' weights of R1 and R2 fall to a tenth.
    recommended: ClassVar[Mapping[str, Any]] = {
        **recommended_optimizer("disc"),
        "schedules.term.r1.weight": "cosine",
        "schedules.term.r1.weight.final": 0.1,
        "schedules.term.r2.weight": "cosine",
        "schedules.term.r2.weight.final": 0.1,
    }

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
            self.embedding = class_embedding(image.num_classes, width, gain=1 / math.sqrt(width))
        self.basis = DiscriminativeBasis(width, width if options.conditional else 1, stages[-1].size)

    @property
    def conditional(self) -> bool:
        """Option `conditional`."""
        return self.options.conditional

    @classmethod
    def check_image(cls, options: Options, image: ImageSpec) -> None:
        """Raise IncompatibleError if size, classes or widths do not fit."""
        plan(DISCRIMINATOR, options, image)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return logits, `(N,)`.

        Args:
            images: `(N, C, H, W)`.
            condition: Classes, `(N,)` int64, of a conditional discriminator.
        """
        features: Tensor = self.basis(self.layers(images))
        if self.embedding is None:
            return features.squeeze(1)
        return (features * embed(DISCRIMINATOR, self.embedding, condition)).sum(1)

"""Interfaces of the two networks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from pydantic import PositiveInt
from torch import Tensor

from ganforge.components.base import ComponentOptions
from ganforge.components.image_spec import ImageSpec
from ganforge.components.outputs import DiscriminatorOutput, GeneratorOutput
from ganforge.components.trained_component import TrainedComponent


class Network(TrainedComponent):
    """Base of generators and discriminators.

    The constructor keeps `options` and `image` as attributes; a network calls it and then creates its layers.
    """

    class Options(ComponentOptions):
        """Options of every network."""

    options: Options
    image: ImageSpec

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options)
        self.image = image

    @property
    def conditional(self) -> bool:
        """Whether `forward` uses the condition; data without one is then refused before training."""
        return False

    @classmethod
    def check_image(cls, options: Any, image: ImageSpec) -> None:
        """Raise IncompatibleError for images that the network does not support, before it is built."""


class Generator(Network, ABC):
    """Network that maps latents to images.

    Attributes:
        bounded: Whether images lie in [-1, 1]. False for generators without a final tanh; their images are clamped when
            they become bytes.
        sampling: Options of sampling, such as truncation; the defaults during training.
    """

    bounded: ClassVar[bool] = True

    class Options(Network.Options):
        """Options of every generator."""

        latent_dim: PositiveInt = 100
        """Numbers in one latent."""

    class SamplingOptions(ComponentOptions):
        """Options of sampling: `ganforge sample RUN --sampling.truncation 0.7`. They do not affect the training."""

    options: Options
    sampling: SamplingOptions

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.sampling = self.SamplingOptions()

    @property
    def latent_dim(self) -> int:
        """Z: numbers in one latent."""
        return self.options.latent_dim

    @abstractmethod
    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor | GeneratorOutput:
        """Return images, `(N, C, H, W)`, or a `GeneratorOutput`.

        Args:
            z: Latents, `(N, Z)`.
            condition: Condition of each image, or None for a generator that is not conditional.
        """

    def style(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return intermediate latents w, `(N, …)`; z itself for generators without a mapping network."""
        return z

    def synthesis(self, w: Tensor, condition: Tensor | None = None) -> Tensor | GeneratorOutput:
        """Return the images of intermediate latents w, as `forward` does for latents.

        Args:
            w: Intermediate latents, as `style` returns them.
            condition: Condition of each image; needed only if w does not contain it.
        """
        return self(w, condition)  # type: ignore[no-any-return]

    def prepare_sampling(self, rng: torch.Generator) -> None:
        """Prepare a copy of the trained generator for sampling, such as with standing statistics of batch norm.

        Args:
            rng: Generator on the CPU; the only source of random numbers.
        """


class Discriminator(Network, ABC):
    """Network that classifies images as real or fake.

    Calling it always returns a `DiscriminatorOutput` that carries the condition.

    Attributes:
        batch_independent: Whether an image's output does not depend on the other images of the batch, as it would with
            batch norm. Real and fake images are then passed through in one call, which is faster.
    """

    batch_independent: ClassVar[bool] = False

    class Options(Network.Options):
        """Options of every discriminator."""

    @abstractmethod
    def forward(self, images: Any, condition: Tensor | None = None) -> Tensor | DiscriminatorOutput:
        """Return logits, `(N,)` or `(N, K)`, without a sigmoid, or a `DiscriminatorOutput`.

        Args:
            images: `(N, C, H, W)`, or the `discriminator_input` of a generator.
            condition: Condition of each image, or None for a discriminator that is not conditional.
        """

    def __call__(self, images: Any, condition: Tensor | None = None) -> DiscriminatorOutput:  # noqa: D102
        output = super().__call__(images, condition)
        if isinstance(output, DiscriminatorOutput):
            return output.with_condition(condition)
        return DiscriminatorOutput(output, condition)

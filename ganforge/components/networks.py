"""The two networks of a GAN, and what a discriminator returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from ganforge.components.base import Configurable, Options


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """Tell a network what the data looks like.

    channels, height and width are in pixels; num_classes is the number of labels, or None for data without labels.
    """

    channels: int
    height: int
    width: int
    num_classes: int | None = None

    @property
    def numel(self) -> int:
        """The count of numbers in one image."""
        return self.channels * self.height * self.width

    def __str__(self) -> str:
        return f"{self.channels}×{self.height}×{self.width}"


class Network(Configurable, nn.Module):
    """Share what generators and discriminators have: options, the image's shape, limits.

    The constructor keeps `options` and `image` as attributes; a network calls it and then makes its layers.
    """

    class Options(Options):
        """Options of every network."""

    options: Options
    image: ImageSpec

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__()
        self.options = options
        self.image = image

    @property
    def conditional(self) -> bool:
        """Whether `forward` uses labels. Data without labels is then refused before training."""
        return False

    @classmethod
    def check_image(cls, options: Any, image: ImageSpec) -> None:
        """Raise `IncompatibleError` where this network cannot work with such images, before it is built."""


class Generator(Network, ABC):
    """Make images from latents."""

    class Options(Network.Options):
        """Options of every generator."""

        latent_dim: PositiveInt = 100
        """How many numbers a latent has."""
        latents: Literal["normal", "uniform"] = "normal"
        """How they are distributed: standard normal, or uniform on [-1, 1]."""

    options: Options

    @property
    def latent_dim(self) -> int:
        """Z, the count of numbers in one latent."""
        return self.options.latent_dim

    def sample_latents(self, count: int, rng: torch.Generator) -> Tensor:
        """Draw latents, `(N, Z)` float32 on `rng`'s device: standard normal, or uniform on [-1, 1]."""
        shape = (count, self.latent_dim)
        if self.options.latents == "uniform":
            return torch.rand(shape, generator=rng, device=rng.device) * 2 - 1
        return torch.randn(shape, generator=rng, device=rng.device)

    @abstractmethod
    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return images in [-1, 1], `(N, C, H, W)`, from latents `z`, `(N, Z)`, and labels, `(N,)` int64 or None."""


@dataclass(frozen=True, slots=True)
class DiscriminatorOutput:
    """Hold what a discriminator says of a batch.

    logits: `(N,)`, large where it takes an image for real. labels: `(N,)` int64, the labels it was given, or None.
    class_logits: `(N, K)` of an auxiliary classifier, or None. features: inner activations, the batch first, for
    feature matching; empty where there are none.
    """

    logits: Tensor
    labels: Tensor | None = None
    class_logits: Tensor | None = None
    features: tuple[Tensor, ...] = ()


class Discriminator(Network, ABC):
    """Judge whether images are real.

    batch_independent: whether each image is judged by itself, whatever else is in the batch, as batch norm would not.
    The engine then judges real and fake images in one call, which is faster.
    """

    batch_independent: ClassVar[bool] = False

    class Options(Network.Options):
        """Options of every discriminator."""

    @abstractmethod
    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor | DiscriminatorOutput:
        """Return logits `(N,)`, not squashed, or a `DiscriminatorOutput`, for images in [-1, 1], `(N, C, H, W)`.

        labels: `(N,)` int64, or None for a discriminator that takes none.
        """

    def judge(self, images: Tensor, labels: Tensor | None = None) -> DiscriminatorOutput:
        """Call the network and return its answer as a `DiscriminatorOutput` that carries `labels`."""
        answer = self(images, labels)
        if isinstance(answer, DiscriminatorOutput):
            return DiscriminatorOutput(answer.logits, labels, answer.class_logits, answer.features)
        return DiscriminatorOutput(answer, labels)

"""Interface of differentiable augmentations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, TypeAlias

from torch import Tensor

from ganforge.components.base import ComponentOptions
from ganforge.components.outputs import DiscriminatorInput, map_input
from ganforge.components.train_step import TrainStep
from ganforge.components.trained_component import TrainedComponent

#: Parameters of one application of an augmentation: tensors, or containers of them.
Parameters: TypeAlias = Any


class Augmentation(TrainedComponent, ABC):
    """Differentiable change of the images that the discriminator sees, real and fake alike.

    Parameters are sampled apart from their use, so that they can be used again: for every level of an image, for a
    noised copy, for a finite difference.

    Attributes:
        reads_signs: Whether `observe` adapts to the signs of logits.
    """

    reads_signs: bool = False

    class Options(ComponentOptions):
        """Options of every augmentation."""

    options: Options

    @abstractmethod
    def sample_parameters(self, images: Tensor, step: TrainStep, *, real: bool) -> Parameters:
        """Return the parameters for a batch of images.

        Args:
            images: `(N, C, H, W)`.
            step: The update; random numbers come from `step.rng`, on the CPU.
            real: Whether the images are the real ones.
        """

    @abstractmethod
    def forward(self, images: Tensor, parameters: Parameters) -> Tensor:
        """Return changed images, `(N, C, H, W)`, differentiable in them; no random numbers are drawn here."""

    def augment(self, images: DiscriminatorInput, parameters: Parameters) -> DiscriminatorInput:
        """Return the changed input of the discriminator: `forward` of each of its tensors, with the same parameters.

        An augmentation that treats several levels differently, or that makes levels of an image, overrides it.
        """
        return map_input(lambda level: self(level, parameters), images)

    def observe(self, real_logits: Tensor) -> None:
        """Adapt to the real images' logits after each discriminator update.

        Args:
            real_logits: Logits of the whole batch, `(N,)` or `(N, K)`, detached.
        """

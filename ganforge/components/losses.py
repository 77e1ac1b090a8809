"""What the two networks minimise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from ganforge.components.base import Configurable, Options
from ganforge.components.networks import Discriminator, DiscriminatorOutput


class Loss(Configurable, ABC):
    """Turn judgements into per-image losses; the engine takes the mean and the gradient.

    needs_real: whether `generator` compares with real images (relativistic losses do); `real` is None there otherwise.
    """

    class Options(Options):
        """Options of every loss."""

    options: Options
    needs_real: ClassVar[bool] = False

    def __init__(self, options: Options) -> None:
        self.options = options

    @abstractmethod
    def discriminator(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Return the discriminator's loss for each pair of images, `(N,)`, not reduced."""

    @abstractmethod
    def generator(self, *, real: DiscriminatorOutput | None, fake: DiscriminatorOutput) -> Tensor:
        """Return the generator's loss for each fake, `(N,)`, not reduced."""

    def constrain(self, discriminator: Discriminator) -> None:
        """Change the discriminator's weights in place after each of its updates, as weight clipping does."""

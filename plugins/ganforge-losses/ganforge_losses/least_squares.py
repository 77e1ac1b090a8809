"""Least-squares loss (LSGAN)."""

from __future__ import annotations

from torch import Tensor

from ganforge import DiscriminatorOutput, Loss


class LeastSquares(Loss):
    """Half the squared distance of logits to their targets (Mao et al. 2016, eq. 2).

    The paper's a, b and c are `fake_target`, `real_target` and `generator_target`: 0, 1 and 1 by default (eq. 9). With
    -1, 1 and 0 (eq. 8) the generator minimizes a Pearson χ² divergence.
    """

    class Options(Loss.Options):
        """Options of the least-squares loss."""

        fake_target: float = 0.0
        """Target of the discriminator for fakes: the paper's a."""
        real_target: float = 1.0
        """Target of the discriminator for real images: the paper's b."""
        generator_target: float = 1.0
        """Target of the generator for its fakes: the paper's c."""

    options: Options

    def discriminator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Return ½(real - b)² + ½(fake - a)²."""
        real_error = real.logits - self.options.real_target
        fake_error = fake.logits - self.options.fake_target
        return (real_error.square() + fake_error.square()) / 2

    def generator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Return ½(fake - c)²."""
        return (fake.logits - self.options.generator_target).square() / 2

"""The loss of feature matching."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ganforge import DiscriminatorOutput, Loss
from ganforge.errors import IncompatibleError


class FeatureMatching(Loss):
    """Let the generator match the mean of the discriminator's features over real images.

    The generator minimises ||E f(real) - E f(fake)||² (Salimans et al. 2016, section 3.1), where f are the
    discriminator's features, all layers side by side. The discriminator trains with binary cross-entropy.
    """

    needs_real: ClassVar[bool] = True

    def discriminator(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Return BCE(real, 1) + BCE(fake, 0), `(N,)`."""
        return softplus(-real.logits) + softplus(fake.logits)

    def generator(self, *, real: DiscriminatorOutput | None, fake: DiscriminatorOutput) -> Tensor:
        """Return the batch's ||E f(real) - E f(fake)||² for each image, `(N,)`: their mean is that number again.

        Raises IncompatibleError where the discriminator gives no features.
        """
        assert real is not None, "needs_real is True"  # noqa: S101 - the engine's promise
        if not fake.features:
            raise IncompatibleError(
                "loss 'feature-matching' compares a discriminator's features, but this discriminator gives none",
                fix="use one that gives features, such as --disc conditional-dcgan, which has them",
            )
        distances = [
            (at_real.mean(0) - at_fake.mean(0)).square().sum()
            for at_real, at_fake in zip(real.features, fake.features, strict=True)
        ]
        return torch.stack(distances).sum().expand(len(fake.logits))

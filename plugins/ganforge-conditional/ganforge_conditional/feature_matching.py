"""Feature matching."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from ganforge import LossTerm, TrainStep
from ganforge.errors import IncompatibleError


class FeatureMatching(LossTerm):
    """||E f(real) - E f(fake)||² with all features f of the discriminator (Salimans et al. 2016, section 3.1).

    It takes the place of the generator's adversarial loss, as in the paper; the discriminator keeps its own. The
    expectation is the mean over a batch: with gradient accumulation and in several processes, over each part.
    """

    phases: ClassVar[tuple[str, ...]] = ("gen",)
    partners: ClassVar[Mapping[str, str]] = {"disc": "conditional-mlp"}

    class Options(LossTerm.Options):
        """Options of feature matching."""

        replace: bool = True
        """Drop the generator's adversarial loss, as in the paper; otherwise the term is added to it."""

    options: Options

    def forward(self, step: TrainStep) -> Tensor:
        """Return the squared distance of the batch's mean features, `()`.

        Raises:
            IncompatibleError: The discriminator gives no features.
        """
        if not step.fake_output.features:
            raise IncompatibleError(
                "term 'feature-matching' compares features, but the discriminator gives none",
                fix="use a discriminator that gives features, such as --disc conditional-dcgan",
            )
        pairs = zip(step.real_output.features, step.fake_output.features, strict=True)
        return torch.stack([(real.mean(0) - fake.mean(0)).square().sum() for real, fake in pairs]).sum()

    def reweight(self, step: TrainStep, values: Tensor) -> Tensor | None:
        """Return zeros for the generator's adversarial loss, if it is replaced."""
        return torch.zeros_like(values) if self.options.replace and step.phase == "gen" else None

"""Interfaces of the terms that networks minimize."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from ganforge.components.base import ComponentOptions
from ganforge.components.outputs import DeferredOutput, DiscriminatorOutput
from ganforge.components.train_step import TrainStep
from ganforge.components.trained_component import TrainedComponent


class LossTerm(TrainedComponent):
    """One term of the loss of any phase: a gradient penalty, an auxiliary classifier, a reconstruction.

    The engine minimizes the sum over terms of `weight` · `every` · mean(`forward`) and logs the unweighted mean as
    `term/NAME`. A term with `every` = k is added in every k-th update only (lazy regularization: Karras et al. 2020,
    section 3.1).

    Attributes:
        phases: Updates that the term is part of: `disc`, `gen`, or a phase that `optimized_in` adds.
        reweights: Names of the terms that `reweight` applies to; `loss` is the adversarial loss.
        per_image_gradients: Whether it needs gradients of each logit with respect to its image alone, which batch norm
            in the discriminator does not give.
        conditional: Whether it compares fakes with the condition that they were made of, as an auxiliary classifier
            does; no notice then reports a conditional generator next to a discriminator that is not.
    """

    phases: ClassVar[tuple[str, ...]] = ("gen",)
    reweights: ClassVar[tuple[str, ...]] = ("loss",)
    per_image_gradients: ClassVar[bool] = False
    conditional: ClassVar[bool] = False

    class Options(ComponentOptions):
        """Options of every term."""

        weight: NonNegativeFloat = 1.0
        """Factor of the term in the loss."""
        every: PositiveInt = 1
        """Interval in updates; the term is added in every k-th update, k times as strong."""
        own_step: bool = False
        """Give the term a step of the optimizer of its own, after that of the other terms, as StyleGAN2 does."""

    options: Options

    def forward(self, step: TrainStep) -> Tensor:
        """Return the unweighted term: `(N,)` per image, or `()` if it is not a mean over images.

        With several logits per image, `(N, K)` is averaged as well. A term that only reweights others has no phases and
        does not define it.
        """
        raise NotImplementedError(f"{type(self).__name__} has phases but no forward(step)")

    def reweight(self, step: TrainStep, values: Tensor) -> Tensor | None:
        """Return factors for the values of another term, or None to leave them unchanged.

        Called in the `phases` of this term, or in all phases if it has none.
        The factors, `(N,)` or `()`, are detached by the engine. Top-k training, importance sampling and ratios of
        gradients are written this way.

        Args:
            step: The update.
            values: Values of the other term, `(N,)` or `(N, K)`, with their graph.
        """
        return None

    def after_step(self, step: TrainStep) -> None:
        """Change state or constrain weights after an update of one of `phases`.

        Called after the updates that the term was due in. `step` has the tensors of the whole batch, of all ranks and
        parts, detached, and in `kept` what `forward` gave to `step.keep`. State that moves here is the same
        with and without gradient accumulation and on any number of ranks.
        """


class Loss(LossTerm, ABC):
    """Adversarial loss of both networks, as functions of the discriminator's outputs.

    Elementwise formulas work with `(N,)` and `(N, K)` logits alike; the engine takes the mean.

    Attributes:
        relative_logits: Whether only differences of logits have a meaning, not their signs.
        pairs_images: Whether the loss of an image depends on an image of the other kind, real or fake.
    """

    phases: ClassVar[tuple[str, ...]] = ("disc", "gen")
    relative_logits: ClassVar[bool] = False
    pairs_images: ClassVar[bool] = False

    class Options(LossTerm.Options):
        """Options of every loss."""

    options: Options

    @abstractmethod
    def discriminator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Return the discriminator's loss in the shape of the logits, `(N,)` or `(N, K)`, not reduced."""

    @abstractmethod
    def generator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Return the generator's loss in the shape of the logits, `(N,)` or `(N, K)`, not reduced.

        `real` is computed when it is first read.
        """

    def forward(self, step: TrainStep) -> Tensor:
        """Return the loss of the step's phase."""
        if step.phase == "disc":
            return self.discriminator_loss(real=step.real_output, fake=step.fake_output)
        return self.generator_loss(real=DeferredOutput(lambda: step.real_output), fake=step.fake_output)

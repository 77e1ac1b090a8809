"""Outputs of generators and discriminators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor

#: Input of a discriminator: images, or several tensors, such as levels, with the batch first.
DiscriminatorInput: TypeAlias = "Tensor | tuple[Tensor, ...]"


def at_least_float32(values: Tensor) -> Tensor:
    """Return half-precision values as float32, others unchanged."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def map_input(function: Callable[[Tensor], Tensor], images: DiscriminatorInput) -> DiscriminatorInput:
    """Return a discriminator's input with a function applied to each of its tensors."""
    return function(images) if isinstance(images, Tensor) else tuple(function(level) for level in images)


def concatenate_inputs(real: DiscriminatorInput, fake: DiscriminatorInput) -> DiscriminatorInput | None:
    """Return both inputs as one, or None if they have different forms."""
    if isinstance(real, Tensor) and isinstance(fake, Tensor):
        return torch.cat([real, fake.to(real.dtype)]) if real.shape == fake.shape else None
    if isinstance(real, Tensor) or isinstance(fake, Tensor) or len(real) != len(fake):
        return None
    if any(one.shape != other.shape for one, other in zip(real, fake, strict=True)):
        return None
    return tuple(torch.cat([one, other.to(one.dtype)]) for one, other in zip(real, fake, strict=True))


@dataclass(frozen=True, slots=True)
class GeneratorOutput:
    """Output of a generator that returns more than images.

    Attributes:
        images: `(N, C, H, W)`.
        features: Tensors that terms need, by name, such as a codebook's loss, `(N,)` or `()`.
        discriminator_input: Input of the discriminator if it is not the images, such as several scales; the batch comes
            first in each tensor.
    """

    images: Tensor
    features: Mapping[str, Tensor] = field(default_factory=dict)
    discriminator_input: DiscriminatorInput | None = None

    @classmethod
    def of(cls, output: Tensor | GeneratorOutput) -> GeneratorOutput:
        """Return what a generator's `forward` returned as a `GeneratorOutput`."""
        return output if isinstance(output, GeneratorOutput) else cls(output)

    def map(self, function: Callable[[Tensor], Tensor]) -> GeneratorOutput:
        """Return the output with a function applied to each tensor."""
        given = self.discriminator_input
        return GeneratorOutput(
            function(self.images),
            {name: function(value) for name, value in self.features.items()},
            None if given is None else map_input(function, given),
        )


class DiscriminatorOutput:
    """Output of a discriminator.

    Attributes:
        logits: `(N,)`, or `(N, K)` for several logits per image; large for images that it takes for real.
        condition: Condition that it was given, or None.
        class_logits: `(N, num_classes)` of an auxiliary classifier, or None.
        features: Inner activations, the batch first, for feature matching and other terms; may be empty.
    """

    logits: Tensor
    condition: Tensor | None
    class_logits: Tensor | None
    features: tuple[Tensor, ...]

    def __init__(
        self,
        logits: Tensor,
        condition: Tensor | None = None,
        class_logits: Tensor | None = None,
        features: tuple[Tensor, ...] = (),
    ) -> None:
        self.logits = logits
        self.condition = condition
        self.class_logits = class_logits
        self.features = tuple(features)

    def __repr__(self) -> str:
        return f"DiscriminatorOutput(logits={self.logits!r})"

    def with_condition(self, condition: Tensor | None) -> DiscriminatorOutput:
        """Return the output with another condition."""
        return DiscriminatorOutput(self.logits, condition, self.class_logits, self.features)

    def map(self, function: Callable[[Tensor], Tensor]) -> DiscriminatorOutput:
        """Return the output with a function applied to each tensor except the condition."""
        classes = None if self.class_logits is None else function(self.class_logits)
        return DiscriminatorOutput(
            function(self.logits), self.condition, classes, tuple(function(value) for value in self.features)
        )

    def float(self) -> DiscriminatorOutput:
        """Return the output in float32 or wider, in which losses are computed."""
        return self.map(at_least_float32)

    def split(self, count: int) -> tuple[DiscriminatorOutput, DiscriminatorOutput]:
        """Return the outputs of the first `count` images and of the others."""

        def part(which: slice) -> DiscriminatorOutput:
            condition = None if self.condition is None else self.condition[which]
            return self.map(lambda values: values[which]).with_condition(condition)

        return part(slice(None, count)), part(slice(count, None))


class DeferredOutput(DiscriminatorOutput):
    """Discriminator output that is computed when one of its attributes is first read.

    A loss of the generator gets the real images' output this way: most losses never read it.
    """

    def __init__(self, compute: Callable[[], DiscriminatorOutput]) -> None:
        self._compute = compute

    def __getattr__(self, name: str) -> object:
        if name not in {"logits", "condition", "class_logits", "features"}:
            raise AttributeError(name)
        output = self._compute()
        super().__init__(output.logits, output.condition, output.class_logits, output.features)
        return self.__dict__[name]

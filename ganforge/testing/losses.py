"""What a loss must keep."""

from __future__ import annotations

import torch
from torch import Tensor

from ganforge.components import DiscriminatorOutput
from ganforge.testing.checks import Check, define, require
from ganforge.testing.common import unchanged
from ganforge.testing.fixture import Subject, judgement

CHECKS: list[Check] = []
COUNT = 6
#: Logits as far from zero as no trained discriminator gives them.
FAR = 1e4


def judged(subject: Subject, value: float, number: int, dtype: torch.dtype = torch.float32) -> DiscriminatorOutput:
    """Return a judgement whose logits all have one value, and require gradients."""
    logits = torch.full((COUNT,), value, dtype=dtype, requires_grad=True)
    return judgement(logits, subject.image, number=number)


def both(loss: object, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> dict[str, Tensor]:
    """Return the discriminator's and the generator's losses."""
    needed = real if loss.needs_real else None  # type: ignore[attr-defined]
    return {
        "discriminator": loss.discriminator(real=real, fake=fake),  # type: ignore[attr-defined]
        "generator": loss.generator(real=needed, fake=fake),  # type: ignore[attr-defined]
    }


@define(CHECKS, "loss-shape", "loss", fix="return one number per image, (N,), and leave the mean to the engine")
def _loss_shape(subject: Subject) -> None:
    """Both losses give one number for each image, `(N,)`, not reduced."""
    for side, values in both(subject.make(), judged(subject, 0.3, 1), judged(subject, -0.2, 2)).items():
        require(isinstance(values, Tensor), f"its {side} loss is a {type(values).__name__}")
        found = tuple(values.shape)
        require(found == (COUNT,), f"its {side} loss has shape {found} for {COUNT} images; ({COUNT},) is needed")


@define(CHECKS, "loss-finite", "loss", fix="use softplus(x) for log(1 + exp(x)), and no log of a sigmoid")
def _loss_finite(subject: Subject) -> None:
    """At logits of ±10,000 both losses and their gradients are finite."""
    for at_real, at_fake in ((FAR, -FAR), (-FAR, FAR), (FAR, FAR), (-FAR, -FAR)):
        real, fake = judged(subject, at_real, 1), judged(subject, at_fake, 2)
        for side, values in both(subject.make(), real, fake).items():
            where = f"at real logits of {at_real:g} and fake ones of {at_fake:g}"
            require(bool(values.isfinite().all()), f"its {side} loss is not finite {where}")
            found = torch.autograd.grad(values.sum(), [real.logits, fake.logits], allow_unused=True)
            finite = all(gradient is None or bool(gradient.isfinite().all()) for gradient in found)
            require(finite, f"the gradient of its {side} loss is not finite {where}")


@define(
    CHECKS, "gradient-signs", "loss", fix="real logits up and fake ones down for D, fake ones up for G: mind the signs"
)
def _gradient_signs(subject: Subject) -> None:
    """D is pulled to larger logits for real and smaller ones for fake images, G to larger ones for its fakes."""
    loss = subject.make()
    for value in (0.0, 2.0):  # at 0 no gradient may point the wrong way; where D is wrong, all must point the right way
        real, fake = judged(subject, -value, 1), judged(subject, value, 2)
        down, up = _slopes(loss.discriminator(real=real, fake=fake), real.logits, fake.logits)
        strictly = value > 0
        require(_negative(down, strictly), f"D's loss does not fall with a real image's logit at {-value:g}")
        require(_negative(-up, strictly), f"D's loss does not rise with a fake's logit at {value:g}")
        real, fake = judged(subject, value, 1), judged(subject, -value, 2)
        values = loss.generator(real=real if loss.needs_real else None, fake=fake)
        (down,) = _slopes(values, fake.logits)
        if strictly and not bool(down.any()):
            others = [fake.class_logits, *fake.features]
            require(
                any(bool(found.any()) for found in _slopes(values, *others)), "G's loss reaches nothing of its fakes"
            )
        else:
            require(_negative(down, strictly), f"G's loss does not fall with a fake's logit at {-value:g}")


def _slopes(values: Tensor, *inputs: Tensor | None) -> list[Tensor]:
    given = [tensor for tensor in inputs if tensor is not None]
    if not values.requires_grad:
        return [torch.zeros_like(tensor) for tensor in given]
    found = torch.autograd.grad(values.sum(), given, allow_unused=True, retain_graph=True)
    return [torch.zeros_like(tensor) if slope is None else slope for tensor, slope in zip(given, found, strict=True)]


def _negative(slopes: Tensor, strictly: bool) -> bool:  # noqa: FBT001 - of a private helper
    return bool((slopes < 0).all() if strictly else (slopes <= 0).all())


@define(CHECKS, "judgements-unchanged", "loss", fix="avoid operations in place on what is judged")
def _judgements_unchanged(subject: Subject) -> None:
    """The judgements stay as they were."""
    real, fake = (
        judgement(torch.linspace(-1, 1, COUNT) + shift, subject.image, number=number)
        for number, shift in ((1, 0.0), (2, 0.1))
    )
    before = [values.clone() for given in (real, fake) for values in _tensors(given)]
    with torch.no_grad():
        both(subject.make(), real, fake)
    for kept, values in zip(before, [values for given in (real, fake) for values in _tensors(given)], strict=True):
        unchanged(kept, values, "what is judged")


def _tensors(given: DiscriminatorOutput) -> list[Tensor]:
    parts = (given.logits, given.labels, given.class_logits, *given.features)
    return [part for part in parts if part is not None]


@define(CHECKS, "loss-low-precision", "loss", fix="build constants with zeros_like and full_like; add no tiny epsilons")
def _loss_low_precision(subject: Subject) -> None:
    """With logits in bfloat16 both losses are finite, and near what they are in float32."""
    loss = subject.make()
    for value in (0.5, -3.0, 8.0):
        exact = both(loss, judged(subject, value, 1), judged(subject, -value, 2))
        low = both(loss, judged(subject, value, 1, torch.bfloat16), judged(subject, -value, 2, torch.bfloat16))
        for side, values in exact.items():
            near = torch.allclose(low[side].float(), values, rtol=0.05, atol=0.05)
            require(near, f"its {side} loss at logits of ±{abs(value):g} differs in bfloat16 from float32")


@define(
    CHECKS, "real-only-if-needed", "loss", fix="set needs_real = True on the class, or leave real alone in generator()"
)
def _real_only_if_needed(subject: Subject) -> None:
    """The generator's loss looks at real images only if the class says `needs_real`."""
    loss = subject.make()
    fake = judged(subject, 0.1, 2)
    if not loss.needs_real:
        loss.generator(real=None, fake=fake)
        return
    one, two = (
        loss.generator(real=judged(subject, value, number), fake=fake) for value, number in ((0.0, 1), (2.0, 3))
    )
    require(not torch.equal(one, two), "it says needs_real, but other real images give the same generator's loss")

"""Checks of adversarial losses, as functions of two outputs of the discriminator."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ganforge.components import DiscriminatorOutput, Loss
from ganforge.testing.checks import Check, register_check, require, skip
from ganforge.testing.common import BUILDS, unchanged
from ganforge.testing.fixture import Fixture
from ganforge.testing.harness import COUNT, Harness

CHECKS: list[Check] = []
#: Logits farther from zero than any trained discriminator's.
FAR = 1e4
#: Logits per image of a discriminator with several.
SEVERAL = 4


def loss_of(fixture: Fixture) -> Loss:
    """Return the loss. Raises CheckSkipped for a loss that is computed from a whole update."""
    component = fixture.make()
    if not isinstance(component, Loss):
        skip("it is not a function of two outputs; it is examined in whole updates")
    return component


def output_of(fixture: Fixture, logits: Tensor, number: int) -> DiscriminatorOutput:
    """Return a discriminator's output with given logits; the number decides the rest, which has gradients as they do.

    Class logits and features are those of the discriminator partner, or random ones.
    """
    count, rng = len(logits), fixture.rng(number)
    if "disc" in fixture.partners:
        with torch.no_grad():
            output = Harness(fixture).step("disc", number, fixture.batch(count, number)).real_output
        classes, features = output.class_logits, output.features
    else:
        classes = torch.randn(count, fixture.image.num_classes or 1, generator=rng)
        features = (torch.randn(count, 8, generator=rng), torch.randn(count, 4, 3, 3, generator=rng))
    given = DiscriminatorOutput(logits, fixture.conditions(count), classes, features)
    for values in tensors_of(given):
        if values.is_leaf and values.is_floating_point():
            values.requires_grad_(logits.requires_grad)
    return given


def output_at(fixture: Fixture, value: float, number: int, dtype: torch.dtype = torch.float32) -> DiscriminatorOutput:
    """Return a discriminator's output whose logits all have one value, and require gradients."""
    return output_of(fixture, torch.full((COUNT,), value, dtype=dtype, requires_grad=True), number)


def both(loss: Loss, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> dict[str, Tensor]:
    """Return the discriminator's and the generator's loss."""
    losses: dict[str, Callable[..., Tensor]] = {
        "discriminator": loss.discriminator_loss,
        "generator": loss.generator_loss,
    }
    return {side: function(real=real, fake=fake) for side, function in losses.items()}


def tensors_of(output: DiscriminatorOutput) -> list[Tensor]:
    """Return the tensors that a loss may read, except the condition."""
    return [values for values in (output.logits, output.class_logits, *output.features) if values is not None]


@register_check(
    CHECKS,
    "loss-shape",
    "loss",
    fix="return one number per image, (N,), and leave the mean to the engine",
    needs=("outputs-unchanged",),
)
def _loss_shape(fixture: Fixture) -> None:
    """Both losses return one number per image, `(N,)`, not reduced."""
    loss = loss_of(fixture)
    for side, values in both(loss, output_at(fixture, 0.3, 1), output_at(fixture, -0.2, 2)).items():
        require(isinstance(values, Tensor), f"its {side} loss is a {type(values).__name__}")
        shape = tuple(values.shape)
        require(shape == (COUNT,), f"its {side} loss has shape {shape} for {COUNT} images; ({COUNT},) is needed")


@register_check(
    CHECKS,
    "several-logits",
    "loss",
    fix="write the formula elementwise, or reduce over the last dimension only",
    needs=("loss-shape",),
)
def _several_logits(fixture: Fixture) -> None:
    """For several logits per image, `(N, K)`, both losses return `(N, K)` or `(N,)`, and read all of them."""
    loss = loss_of(fixture)
    values = torch.linspace(-0.3, 0.3, COUNT * SEVERAL).view(COUNT, SEVERAL)
    real, fake = (output_of(fixture, logits.clone().requires_grad_(), 1) for logits in (values, -values))
    for side, value in both(loss, real, fake).items():
        shape = tuple(value.shape)
        expected = f"{(COUNT, SEVERAL)} or ({COUNT},)"
        require(
            shape in {(COUNT, SEVERAL), (COUNT,)},
            f"for logits of shape {(COUNT, SEVERAL)} its {side} loss has shape {shape}; {expected} is needed",
        )
        (slopes,) = gradients(value, fake.logits)
        unread = int((slopes == 0).sum())
        require(
            unread in {0, slopes.numel()},
            f"its {side} loss does not depend on {unread} of {slopes.numel()} logits of fakes",
        )


@register_check(
    CHECKS,
    "loss-finite",
    "loss",
    fix="use softplus(x) for log(1 + exp(x)), and no log of a sigmoid",
    needs=("loss-shape",),
)
def _loss_finite(fixture: Fixture) -> None:
    """At logits of ±10,000 both losses and their gradients are finite."""
    loss = loss_of(fixture)
    for at_real, at_fake in ((FAR, -FAR), (-FAR, FAR), (FAR, FAR), (-FAR, -FAR)):
        real, fake = output_at(fixture, at_real, 1), output_at(fixture, at_fake, 2)
        for side, values in both(loss, real, fake).items():
            where = f"at real logits of {at_real:g} and fake ones of {at_fake:g}"
            require(bool(values.isfinite().all()), f"its {side} loss is not finite {where}")
            finite = all(bool(slopes.isfinite().all()) for slopes in gradients(values, real.logits, fake.logits))
            require(finite, f"the gradient of its {side} loss is not finite {where}")


@register_check(
    CHECKS,
    "gradient-signs",
    "loss",
    fix="real logits up and fake ones down for D, fake ones up for G: check the signs",
    needs=("loss-shape",),
)
def _gradient_signs(fixture: Fixture) -> None:
    """D's loss falls with real logits and rises with fakes' logits, G's falls with fakes' logits.

    A loss that reads no logits must have a gradient at class logits or features.
    """
    loss = loss_of(fixture)
    for value in (0.0, 2.0):  # at 0 no gradient may have the wrong sign; where D is wrong, all must have the right one
        strictly = value > 0
        real, fake = output_at(fixture, -value, 1), output_at(fixture, value, 2)
        values = loss.discriminator_loss(real=real, fake=fake)
        down, up = gradients(values, real.logits, fake.logits)
        if strictly and not bool(down.any()) and not bool(up.any()):
            _require_reaches(values, real, fake, side="D")
        else:
            require(_negative(down, strictly), f"D's loss does not fall with a real image's logit at {-value:g}")
            balanced = any(True for _ in loss.buffers())  # BEGAN's factor of the fakes is 0 at first
            require(
                _negative(-up, strictly and not balanced), f"D's loss does not rise with a fake's logit at {value:g}"
            )
        real, fake = output_at(fixture, value, 1), output_at(fixture, -value, 2)
        values = loss.generator_loss(real=real, fake=fake)
        (down,) = gradients(values, fake.logits)
        if strictly and not bool(down.any()):
            _require_reaches(values, fake, side="G")
        else:
            require(_negative(down, strictly), f"G's loss does not fall with a fake's logit at {-value:g}")


def _require_reaches(values: Tensor, *outputs: DiscriminatorOutput, side: str) -> None:
    for output in outputs:
        reached = any(bool(slopes.any()) for slopes in gradients(values, *tensors_of(output)))
        require(reached, f"{side}'s loss has no gradient at any output of the discriminator")


def gradients(values: Tensor, *inputs: Tensor) -> list[Tensor]:
    """Return the gradients of a sum; zeros for inputs without one."""
    if not values.requires_grad:
        return [torch.zeros_like(tensor) for tensor in inputs]
    slopes = torch.autograd.grad(values.sum(), inputs, allow_unused=True, retain_graph=True)
    return [torch.zeros_like(tensor) if slope is None else slope for tensor, slope in zip(inputs, slopes, strict=True)]


def _negative(slopes: Tensor, strictly: bool) -> bool:  # noqa: FBT001 - of a private helper
    return bool((slopes < 0).all() if strictly else (slopes <= 0).all())


@register_check(
    CHECKS, "outputs-unchanged", "loss", fix="avoid operations in place on the discriminator's outputs", needs=(BUILDS,)
)
def _outputs_unchanged(fixture: Fixture) -> None:
    """The discriminator's outputs stay unchanged."""
    loss = loss_of(fixture)
    real, fake = (
        output_of(fixture, torch.linspace(-1, 1, COUNT) + shift, number) for number, shift in ((1, 0.0), (2, 0.1))
    )
    before = [values.clone() for output in (real, fake) for values in tensors_of(output)]
    with torch.no_grad():
        both(loss, real, fake)
    after = [values for output in (real, fake) for values in tensors_of(output)]
    for old, new in zip(before, after, strict=True):
        unchanged(old, new, "the discriminator's outputs")


@register_check(
    CHECKS,
    "loss-low-precision",
    "loss",
    fix="build constants with zeros_like and full_like; add no tiny epsilons",
    needs=("loss-shape",),
)
def _loss_low_precision(fixture: Fixture) -> None:
    """With logits in bfloat16 both losses are finite, and near those in float32."""
    loss = loss_of(fixture)
    for value in (0.5, -3.0, 8.0):
        exact = both(loss, output_at(fixture, value, 1), output_at(fixture, -value, 2))
        low_real, low_fake = (output_at(fixture, sign * value, n, torch.bfloat16) for sign, n in ((1, 1), (-1, 2)))
        low = both(loss, low_real, low_fake)
        for side, values in exact.items():
            near = torch.allclose(low[side].float(), values, rtol=0.05, atol=0.05)
            require(near, f"its {side} loss at logits of ±{abs(value):g} differs in bfloat16 from float32")

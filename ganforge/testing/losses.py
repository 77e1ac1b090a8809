"""Checks of adversarial losses, as functions of two outputs of the discriminator."""

from __future__ import annotations

import torch
from torch import Tensor

from ganforge.components import DiscriminatorOutput, Loss
from ganforge.testing.checks import Checks, require, require_finite, skip, tensors_of, unchanged
from ganforge.testing.fixture import Fixture
from ganforge.testing.harness import COUNT, Harness

checks = Checks("loss", needs="loss-shape")
#: Logits farther from zero than any trained discriminator's.
FAR = 1e4
#: Logits per image of a discriminator with several.
SEVERAL = 4


class _Pair:
    """Outputs of a discriminator for real images and for fakes with given logits, and the losses of both networks.

    Class logits and features are those of the discriminator partner, or random ones; they have gradients as the logits.

    Raises:
        CheckSkipped: The loss is computed from a whole update.
    """

    def __init__(self, fixture: Fixture, real: Tensor, fake: Tensor, *, graph: bool = True) -> None:
        loss = fixture.make()
        if not isinstance(loss, Loss):
            skip("it is not a function of two outputs; it is examined in whole updates")
        self.loss = loss
        self.real, self.fake = _output_of(fixture, real, 1, graph=graph), _output_of(fixture, fake, 2, graph=graph)

    @classmethod
    def at(cls, fixture: Fixture, real: float, fake: float, dtype: torch.dtype = torch.float32) -> _Pair:
        """Return outputs whose logits all have one value."""
        return cls(fixture, *(torch.full((COUNT,), value, dtype=dtype) for value in (real, fake)))

    def losses(self) -> dict[str, Tensor]:
        """Return the discriminator's and the generator's loss."""
        return {
            "discriminator": self.loss.discriminator_loss(real=self.real, fake=self.fake),
            "generator": self.loss.generator_loss(real=self.real, fake=self.fake),
        }


def _output_of(fixture: Fixture, logits: Tensor, number: int, *, graph: bool) -> DiscriminatorOutput:
    rng = fixture.rng(number)
    if "disc" in fixture.partners:
        with torch.no_grad():
            output = Harness(fixture).step("disc", number).real_output
        classes, features = output.class_logits, output.features
    else:
        classes = torch.randn(COUNT, fixture.image.num_classes or 1, generator=rng)
        features = (torch.randn(COUNT, 8, generator=rng), torch.randn(COUNT, 4, 3, 3, generator=rng))
    output = DiscriminatorOutput(logits, fixture.batch(COUNT).condition, classes, features)
    return output.map(lambda values: values.detach().clone().requires_grad_(graph))


@checks.add("return one number per image, (N,), and leave the mean to the engine", needs="outputs-unchanged")
def loss_shape(fixture: Fixture) -> None:
    """Both losses return one number per image, `(N,)`, not reduced."""
    for side, values in _Pair.at(fixture, 0.3, -0.2).losses().items():
        require(isinstance(values, Tensor), f"its {side} loss is a {type(values).__name__}")
        shape = tuple(values.shape)
        require(shape == (COUNT,), f"its {side} loss has shape {shape} for {COUNT} images; ({COUNT},) is needed")


@checks.add("write the formula elementwise, or reduce over the last dimension only")
def several_logits(fixture: Fixture) -> None:
    """For several logits per image, `(N, K)`, both losses return `(N, K)` or `(N,)`, and read all of them."""
    logits = torch.linspace(-0.3, 0.3, COUNT * SEVERAL).view(COUNT, SEVERAL)
    pair = _Pair(fixture, logits, -logits)
    for side, values in pair.losses().items():
        shape = tuple(values.shape)
        require(
            shape in {(COUNT, SEVERAL), (COUNT,)},
            f"for logits of shape {(COUNT, SEVERAL)} its {side} loss has shape {shape}; {(COUNT, SEVERAL)} or "
            f"({COUNT},) is needed",
        )
        (slopes,) = _gradients(values, pair.fake.logits)
        unread, count = int((slopes == 0).sum()), slopes.numel()
        require(unread in {0, count}, f"its {side} loss does not depend on {unread} of {count} logits of fakes")


@checks.add("use softplus(x) for log(1 + exp(x)), and no log of a sigmoid")
def loss_finite(fixture: Fixture) -> None:
    """At logits of ±10,000 both losses and their gradients are finite."""
    for real, fake in ((FAR, -FAR), (-FAR, FAR), (FAR, FAR), (-FAR, -FAR)):
        pair = _Pair.at(fixture, real, fake)
        where = f"at real logits of {real:g} and fake ones of {fake:g}"
        for side, values in pair.losses().items():
            require_finite(values, f"{where} its {side} loss is")
            for slopes in _gradients(values, pair.real.logits, pair.fake.logits):
                require_finite(slopes, f"{where} the gradient of its {side} loss is")


@checks.add("real logits up and fake ones down for D, fake ones up for G: check the signs")
def gradient_signs(fixture: Fixture) -> None:
    """D's loss falls with real logits and rises with fakes' logits, G's falls with fakes' logits.

    A loss that reads no logits must have a gradient at class logits or features.
    """
    for value in (0.0, 2.0):  # at 0 no gradient may have the wrong sign; where D is wrong, all must have the right one
        strictly = value > 0
        pair = _Pair.at(fixture, -value, value)
        values = pair.losses()["discriminator"]
        down, up = _gradients(values, pair.real.logits, pair.fake.logits)
        if strictly and not bool(down.any()) and not bool(up.any()):
            _require_reaches(values, pair.real, pair.fake, side="D")
        else:
            require(_falls(down, strictly), f"D's loss does not fall with a real image's logit at {-value:g}")
            balanced = any(True for _ in pair.loss.buffers())  # BEGAN's factor of the fakes is 0 at first
            require(_falls(-up, strictly and not balanced), f"D's loss does not rise with a fake's logit at {value:g}")
        pair = _Pair.at(fixture, value, -value)
        values = pair.losses()["generator"]
        (down,) = _gradients(values, pair.fake.logits)
        if strictly and not bool(down.any()):
            _require_reaches(values, pair.fake, side="G")
        else:
            require(_falls(down, strictly), f"G's loss does not fall with a fake's logit at {-value:g}")


def _require_reaches(values: Tensor, *outputs: DiscriminatorOutput, side: str) -> None:
    for output in outputs:
        reached = any(bool(slopes.any()) for slopes in _gradients(values, *tensors_of(output).values()))
        require(reached, f"{side}'s loss has no gradient at any output of the discriminator")


def _gradients(values: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Return the gradients of a sum; zeros for inputs without one."""
    if not values.requires_grad:
        return tuple(torch.zeros_like(tensor) for tensor in inputs)
    return torch.autograd.grad(values.sum(), inputs, retain_graph=True, allow_unused=True, materialize_grads=True)


def _falls(slopes: Tensor, strictly: bool) -> bool:  # noqa: FBT001 - of a private helper
    return bool((slopes < 0).all() if strictly else (slopes <= 0).all())


@checks.add("avoid operations in place on the discriminator's outputs", needs="builds initialized-weights")
def outputs_unchanged(fixture: Fixture) -> None:
    """The discriminator's outputs stay unchanged."""
    logits = torch.linspace(-1, 1, COUNT)
    pair = _Pair(fixture, logits, logits + 0.1, graph=False)
    real, fake = (
        {f"{key} of {images}": values for key, values in tensors_of(output).items()}
        for images, output in (("real images", pair.real), ("fakes", pair.fake))
    )
    with torch.no_grad(), unchanged(real | fake):
        pair.losses()


@checks.add("build constants with zeros_like and full_like; add no tiny epsilons")
def loss_low_precision(fixture: Fixture) -> None:
    """With logits in bfloat16 both losses are finite, and near those in float32."""
    for value in (0.5, -3.0, 8.0):
        exact = _Pair.at(fixture, value, -value).losses()
        low = _Pair.at(fixture, value, -value, torch.bfloat16).losses()
        for side, values in exact.items():
            near = torch.allclose(low[side].float(), values, rtol=0.05, atol=0.05)
            require(near, f"its {side} loss at logits of ±{abs(value):g} differs in bfloat16 from float32")

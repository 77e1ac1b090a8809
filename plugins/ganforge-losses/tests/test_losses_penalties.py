"""Every penalty against analytic values, explicit gradients and finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from ganforge_losses.gradient_penalty import GradientPenalty
from ganforge_losses.r1 import R1
from ganforge_losses.r2 import R2
from torch import Tensor, nn

from ganforge import Discriminator, ImageSpec, Penalty

IMAGE = ImageSpec(2, 3, 2)
COUNT = 5
STEP = 1e-5
PENALTIES: dict[str, Penalty] = {
    "r1": R1(R1.Options()),
    "r2": R2(R2.Options()),
    "gradient-penalty": GradientPenalty(GradientPenalty.Options()),
    "one-sided": GradientPenalty(GradientPenalty.Options(one_sided=True)),
    "another target": GradientPenalty(GradientPenalty.Options(target=2.5)),
}

penalties = pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES.keys())


class Function(Discriminator):
    """Any function of weights and flat images as a discriminator, which keeps the images that it was given."""

    def __init__(self, judge: Callable[[Tensor, Tensor], Tensor], weight: Tensor) -> None:
        super().__init__(Discriminator.Options(), IMAGE)
        self.weight = nn.Parameter(weight)
        self.function = judge
        self.given: list[Tensor] = []

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return logits, `(N,)`."""
        self.given.append(images.detach().clone())
        return self.function(self.weight, images.flatten(1))


def linear(norm: float, dtype: torch.dtype = torch.float64) -> Function:
    """Return D(x) = ⟨w, x⟩ with |w| = norm."""
    weight = torch.linspace(-1, 2, IMAGE.numel, dtype=dtype)
    return Function(lambda w, x: x @ w, weight * (norm / weight.norm()))


def curved() -> Function:
    """Return D(x) = Σ tanh(Ax), whose slope is about 1 and differs from image to image."""
    weight = torch.randn(4, IMAGE.numel, generator=torch.Generator().manual_seed(5), dtype=torch.float64) / 3
    return Function(lambda w, x: (x @ w.T).tanh().sum(1), weight)


def pair(count: int = COUNT, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Return real and fake images in [-1, 1], `(N, C, H, W)`."""
    rng = torch.Generator().manual_seed(1)
    shape = (count, IMAGE.channels, IMAGE.height, IMAGE.width)
    real, fake = (torch.rand(shape, generator=rng, dtype=torch.float64) * 2 - 1 for _ in range(2))
    return real.to(dtype), fake.to(dtype)


def measure(penalty: Penalty, discriminator: Function, real: Tensor, fake: Tensor, seed: int = 0) -> Tensor:
    """Return the penalty, `(N,)`, as the engine asks for it."""
    rng = torch.Generator().manual_seed(seed)
    return penalty.measure(discriminator, real=real, fake=fake, labels=None, rng=rng)


def of_length(penalty: Penalty, length: Tensor) -> Tensor:
    """Return what the papers make of a gradient's length."""
    if isinstance(penalty, GradientPenalty):
        excess = length - penalty.options.target
        return excess.clamp(min=0) ** 2 if penalty.options.one_sided else excess**2
    return length**2


@penalties
@pytest.mark.parametrize("norm", [0.25, 1.0, 3.0])
def test_linear_discriminator(penalty: Penalty, norm: float) -> None:
    """For D(x) = ⟨w, x⟩ the value and its gradient in w are what calculus gives, at every image."""
    discriminator = linear(norm)
    values = measure(penalty, discriminator, *pair())
    expected = of_length(penalty, torch.tensor(norm, dtype=torch.float64))
    torch.testing.assert_close(values, expected.expand(COUNT))
    assert penalty.linear_value(norm) == pytest.approx(float(expected))
    (slope,) = torch.autograd.grad(values.mean(), discriminator.weight)
    length = torch.tensor(norm, dtype=torch.float64, requires_grad=True)
    (by_length,) = torch.autograd.grad(of_length(penalty, length), length)
    torch.testing.assert_close(slope, by_length * discriminator.weight.detach() / norm)


@penalties
def test_finite_differences(penalty: Penalty) -> None:
    """On a curved D each value is made of a slope that differences of D at nearby images give, pixel by pixel."""
    discriminator, (real, fake) = curved(), pair()
    values = measure(penalty, discriminator, real, fake).detach()
    (points,) = discriminator.given
    with torch.no_grad():
        slopes = torch.empty(COUNT, IMAGE.numel, dtype=torch.float64)
        for pixel in range(IMAGE.numel):
            moved = torch.zeros(IMAGE.numel, dtype=torch.float64)
            moved[pixel] = STEP
            shift = moved.view_as(points[0])
            slopes[:, pixel] = (discriminator(points + shift) - discriminator(points - shift)) / (2 * STEP)
    torch.testing.assert_close(values, of_length(penalty, slopes.norm(dim=1)), rtol=1e-6, atol=1e-8)
    assert values.std() > 1e-3


@penalties
def test_double_backward(penalty: Penalty) -> None:
    """Its gradient in D's weights is what differences of the penalty at nearby weights give."""
    discriminator, (real, fake) = curved(), pair()
    (gradient,) = torch.autograd.grad(measure(penalty, discriminator, real, fake).mean(), discriminator.weight)
    weights, differences = discriminator.weight.data, torch.empty_like(gradient)
    for row in range(len(weights)):
        for column in range(weights.shape[1]):
            kept, sides = float(weights[row, column]), []
            for step in (STEP, -STEP):
                weights[row, column] = kept + step
                sides.append(measure(penalty, discriminator, real, fake).mean().detach())
            weights[row, column] = kept
            differences[row, column] = (sides[0] - sides[1]) / (2 * STEP)
    assert gradient.abs().max() > 1e-3
    torch.testing.assert_close(gradient, differences, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(("name", "which"), [("r1", 0), ("r2", 1)])
def test_r1_and_r2_are_taken_at_their_own_images(name: str, which: int) -> None:
    """For D(x) = ½xᵀSx, whose gradient is Sx, R1 is |S·real|² and R2 is |S·fake|²."""
    root = torch.randn(IMAGE.numel, IMAGE.numel, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    symmetric = root + root.T
    discriminator = Function(lambda s, x: (x @ s * x).sum(1) / 2, symmetric)
    images = pair()
    expected = (images[which].flatten(1) @ symmetric).square().sum(1)
    torch.testing.assert_close(measure(PENALTIES[name], discriminator, *images), expected)


@pytest.mark.parametrize("name", ["r1", "r2"])
def test_each_image_by_itself(name: str) -> None:
    """A batch gives what its images give one after the other."""
    discriminator, (real, fake) = curved(), pair()
    together = measure(PENALTIES[name], discriminator, real, fake)
    alone = [measure(PENALTIES[name], discriminator, real[i : i + 1], fake[i : i + 1]) for i in range(COUNT)]
    torch.testing.assert_close(together, torch.cat(alone))


def test_points_lie_between_an_image_and_its_own_fake() -> None:
    """Each point is ε·real + (1 - ε)·fake of one pair, ε one number for all its pixels, uniform on [0, 1]."""
    discriminator, (real, fake) = curved(), pair(2000)
    measure(PENALTIES["gradient-penalty"], discriminator, real, fake)
    (points,) = discriminator.given
    shares = ((points - fake) / (real - fake)).flatten(1)
    share = shares.median(1, keepdim=True).values
    torch.testing.assert_close(shares, share.expand_as(shares), rtol=1e-4, atol=1e-6)
    ranks = (torch.arange(2000) + 0.5) / 2000
    torch.testing.assert_close(share.flatten().sort().values, ranks.double(), rtol=0, atol=0.05)  # Kolmogorov-Smirnov


def test_points_come_from_the_given_generator() -> None:
    """The same generator draws the same points, another one others; torch's own is not touched."""
    discriminator, images = curved(), pair()
    before = torch.get_rng_state()
    for seed in (0, 0, 1):
        measure(PENALTIES["gradient-penalty"], discriminator, *images, seed=seed)
    one, again, other = discriminator.given
    assert torch.equal(one, again)
    assert not torch.isclose(one, other).any()
    assert torch.equal(before, torch.get_rng_state())


@penalties
def test_a_flat_discriminator_has_a_finite_gradient(penalty: Penalty) -> None:
    """Where D's slope is exactly 0, as a length has no derivative there, nothing becomes NaN."""
    discriminator = linear(1.0)
    discriminator.weight.data.zero_()
    values = measure(penalty, discriminator, *pair())
    torch.testing.assert_close(values, of_length(penalty, torch.zeros(COUNT, dtype=torch.float64)))
    (gradient,) = torch.autograd.grad(values.mean(), discriminator.weight)
    assert gradient.isfinite().all()


@penalties
def test_images_are_left_alone_even_where_they_require_gradients(penalty: Penalty) -> None:
    """Neither values nor gradients of the images change, and nothing flows back into them."""
    real, fake = (images.requires_grad_() for images in pair())
    kept = real.detach().clone(), fake.detach().clone()
    measure(penalty, curved(), real, fake).mean().backward()
    assert torch.equal(real, kept[0])
    assert torch.equal(fake, kept[1])
    assert real.grad is None
    assert fake.grad is None


@penalties
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numbers_stay_in_the_images_precision(penalty: Penalty, dtype: torch.dtype) -> None:
    """Float32 images give float32 values, near those of float64."""
    values = measure(penalty, linear(1.7, dtype), *pair(dtype=dtype))
    assert values.dtype == dtype
    expected: Any = penalty.linear_value(1.7)
    torch.testing.assert_close(values.double(), torch.full((COUNT,), expected, dtype=torch.float64), rtol=1e-5, atol=0)

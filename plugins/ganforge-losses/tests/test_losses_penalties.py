"""Gradient penalties against analytic values, explicit gradients and finite differences."""

from __future__ import annotations

import pytest
import torch
from ganforge_losses.gradient_penalties import R1, R2, GradientPenalty
from losses_parts import IMAGE, Function, Linear, train_step
from torch import Tensor

from ganforge import Augmentation, Discriminator, GeneratorOutput, LossTerm, TrainStep

COUNT = 5
STEP = 1e-5
PENALTIES: dict[str, LossTerm] = {
    "r1": R1(R1.Options()),
    "r2": R2(R2.Options()),
    "gradient-penalty": GradientPenalty(GradientPenalty.Options()),
    "one-sided": GradientPenalty(GradientPenalty.Options(one_sided=True)),
    "another target": GradientPenalty(GradientPenalty.Options(target=2.5)),
}

penalties = pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES.keys())


def curved() -> Function:
    """Return D(x) = Σ tanh(Ax), whose gradient has a norm of about 1 and differs from image to image."""
    weight = torch.randn(4, IMAGE.numel, generator=torch.Generator().manual_seed(5), dtype=torch.float64) / 3
    return Function(lambda w, x: (x @ w.T).tanh().sum(1), weight)


def pair(count: int = COUNT, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Return real and fake images in [-1, 1], `(N, C, H, W)`."""
    rng = torch.Generator().manual_seed(1)
    real, fake = (torch.rand(count, *IMAGE.shape, generator=rng, dtype=torch.float64) * 2 - 1 for _ in range(2))
    return real.to(dtype), fake.to(dtype)


def measure(penalty: LossTerm, discriminator: Discriminator, real: Tensor, fake: Tensor, seed: int = 0) -> Tensor:
    """Return the penalty, `(N,)`."""
    values: Tensor = penalty(train_step(discriminator, real, fake, seed=seed))
    return values


def of_norm(penalty: LossTerm, norm: Tensor) -> Tensor:
    """Return the penalty of a gradient's norm, as in the papers."""
    if isinstance(penalty, GradientPenalty):
        excess = norm - penalty.options.target
        return excess.clamp(min=0) ** 2 if penalty.options.one_sided else excess**2
    return norm**2


@penalties
@pytest.mark.parametrize("norm", [0.25, 1.0, 3.0])
def test_linear_discriminator(penalty: LossTerm, norm: float) -> None:
    """For D(x) = ⟨w, x⟩, value and gradient in w are analytic: of_norm(|w|) at every image."""
    discriminator = Linear(norm)
    values = measure(penalty, discriminator, *pair())
    expected = of_norm(penalty, torch.tensor(norm, dtype=torch.float64))
    torch.testing.assert_close(values, expected.expand(COUNT))
    (gradient,) = torch.autograd.grad(values.mean(), discriminator.weight)
    variable = torch.tensor(norm, dtype=torch.float64, requires_grad=True)
    (by_norm,) = torch.autograd.grad(of_norm(penalty, variable), variable)
    torch.testing.assert_close(gradient, by_norm * discriminator.weight.detach() / norm)


@penalties
def test_finite_differences(penalty: LossTerm) -> None:
    """On a curved D, each value is that of a gradient by finite differences, pixel by pixel."""
    discriminator, (real, fake) = curved(), pair()
    values = measure(penalty, discriminator, real, fake).detach()
    points = discriminator.inputs[-1]
    with torch.no_grad():
        slopes = torch.empty(COUNT, IMAGE.numel, dtype=torch.float64)
        for pixel in range(IMAGE.numel):
            shift = torch.zeros(IMAGE.numel, dtype=torch.float64)
            shift[pixel] = STEP
            shift = shift.view_as(points[0])
            above, below = (discriminator(points + sign * shift).logits for sign in (1, -1))
            slopes[:, pixel] = (above - below) / (2 * STEP)
    torch.testing.assert_close(values, of_norm(penalty, slopes.norm(dim=1)), rtol=1e-6, atol=1e-8)
    assert values.std() > 1e-3


@penalties
def test_double_backward(penalty: LossTerm) -> None:
    """The gradient in D's weights is that of finite differences of the penalty."""
    discriminator, (real, fake) = curved(), pair()
    (gradient,) = torch.autograd.grad(measure(penalty, discriminator, real, fake).mean(), discriminator.weight)
    weights, differences = discriminator.weight.data, torch.empty_like(gradient)
    for row in range(len(weights)):
        for column in range(weights.shape[1]):
            kept, sides = float(weights[row, column]), []
            for shift in (STEP, -STEP):
                weights[row, column] = kept + shift
                sides.append(measure(penalty, discriminator, real, fake).mean().detach())
            weights[row, column] = kept
            differences[row, column] = (sides[0] - sides[1]) / (2 * STEP)
    assert gradient.abs().max() > 1e-3
    torch.testing.assert_close(gradient, differences, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(("name", "index"), [("r1", 0), ("r2", 1)])
def test_r1_and_r2_are_taken_at_their_own_images(name: str, index: int) -> None:
    """For D(x) = ½xᵀSx, whose gradient is Sx, R1 is |S·real|² and R2 is |S·fake|²."""
    root = torch.randn(IMAGE.numel, IMAGE.numel, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    symmetric = root + root.T
    discriminator = Function(lambda s, x: (x @ s * x).sum(1) / 2, symmetric)
    images = pair()
    expected = (images[index].flatten(1) @ symmetric).square().sum(1)
    torch.testing.assert_close(measure(PENALTIES[name], discriminator, *images), expected)


@pytest.mark.parametrize("name", ["r1", "r2"])
def test_each_image_by_itself(name: str) -> None:
    """Values of a batch are those of its images one by one."""
    discriminator, (real, fake) = curved(), pair()
    together = measure(PENALTIES[name], discriminator, real, fake)
    alone = [measure(PENALTIES[name], discriminator, real[i : i + 1], fake[i : i + 1]) for i in range(COUNT)]
    torch.testing.assert_close(together, torch.cat(alone))


@penalties
def test_several_logits_per_image(penalty: LossTerm) -> None:
    """The gradient is that of an image's mean logit: K equal logits have the penalty of one."""
    weight = Linear(1.7).weight.detach()
    repeated = Function(lambda w, x: (x @ w).unsqueeze(1).expand(-1, 3), weight)
    torch.testing.assert_close(measure(penalty, repeated, *pair()), measure(penalty, Linear(1.7), *pair()))
    uneven = Function(lambda w, x: torch.stack([x @ w, -x @ w, 4 * x @ w, 0 * x @ w], 1), weight)
    torch.testing.assert_close(measure(penalty, uneven, *pair()), measure(penalty, Linear(1.7), *pair()))


class Gain(Augmentation):
    """Images times 1, 2, 3, …: another number for each image and each draw."""

    def __init__(self) -> None:
        super().__init__(Augmentation.Options())
        self.draws: list[Tensor] = []

    def sample_parameters(self, images: Tensor, step: TrainStep, *, real: bool) -> Tensor:
        """Return the factors, `(N, 1, 1, 1)`."""
        begin = 1 + len(images) * len(self.draws)
        self.draws.append(torch.arange(begin, begin + len(images), dtype=images.dtype).view(-1, 1, 1, 1))
        return self.draws[-1]

    def forward(self, images: Tensor, parameters: Tensor) -> Tensor:
        """Return the products."""
        return images * parameters


@pytest.mark.parametrize("name", ["r1", "r2"])
def test_r1_and_r2_see_the_augmented_images_of_the_step(name: str) -> None:
    """D sees the images of `real_output` or `fake_output` again, and the gradient goes through the augmentation.

    For D = ⟨w, ·⟩ and images times a, the gradient is a·w at the images before the augmentation.
    """
    gain, discriminator = Gain(), Linear(2.0)
    step = train_step(discriminator, *pair(), augmentations={"gain": gain})
    outputs = (step.real_output, step.fake_output)
    values = PENALTIES[name](step)
    assert len(outputs) == len(gain.draws) == 2  # no new parameters
    index = ("r1", "r2").index(name)
    torch.testing.assert_close(values, 4 * gain.draws[index].flatten() ** 2)
    assert torch.equal(discriminator.inputs[-1], discriminator.inputs[index])


def test_gradient_penalty_draws_its_own_augmentation() -> None:
    """Points between real and fake images are augmented with parameters of their own."""
    gain = Gain()
    step = train_step(Linear(2.0), *pair(), augmentations={"gain": gain})
    assert step.real_output.logits.shape == step.fake_output.logits.shape == (COUNT,)
    values = PENALTIES["gradient-penalty"](step)
    torch.testing.assert_close(values, (2 * gain.draws[2].flatten() - 1) ** 2)


class Conditional(Function):
    """D(x, c) = c·⟨w, x⟩."""

    def __init__(self) -> None:
        super().__init__(lambda w, x: x @ w, Linear(1.0).weight.detach())

    @property
    def conditional(self) -> bool:
        """The condition is a factor of the logit."""
        return True

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return logits, `(N,)`."""
        assert condition is not None
        return super().forward(images) * condition


@pytest.mark.parametrize("name", ["r1", "r2", "gradient-penalty"])
def test_conditions_reach_the_discriminator(name: str) -> None:
    """Each image's gradient is taken under its own condition."""
    condition = torch.arange(COUNT)
    values = PENALTIES[name](train_step(Conditional(), *pair(), condition=condition))
    torch.testing.assert_close(values, of_norm(PENALTIES[name], condition.double()))


class TwoLevels(Discriminator):
    """D(x, y) = ⟨w, x⟩ + 2⟨w, y⟩ for two levels of an image."""

    def __init__(self) -> None:
        super().__init__(Discriminator.Options(), IMAGE)
        self.body = Linear(1.0)

    def forward(self, images: tuple[Tensor, Tensor], condition: Tensor | None = None) -> Tensor:
        """Return logits, `(N,)`."""
        return self.body.forward(images[0]) + 2 * self.body.forward(images[1])


def test_several_levels() -> None:
    """For a discriminator of several levels, the gradient has the numbers of all of them: |w|² + |2w|²."""
    real, _ = pair()
    step = train_step(TwoLevels(), real, GeneratorOutput(real, discriminator_input=(real, real / 2)))
    torch.testing.assert_close(PENALTIES["r2"](step), torch.full((COUNT,), 5.0, dtype=torch.float64))


def test_points_lie_between_an_image_and_its_own_fake() -> None:
    """Each point is ε·real + (1 - ε)·fake of one pair, ε one number for all its pixels, uniform on [0, 1]."""
    discriminator, (real, fake) = curved(), pair(2000)
    measure(PENALTIES["gradient-penalty"], discriminator, real, fake)
    (points,) = discriminator.inputs
    shares = ((points - fake) / (real - fake)).flatten(1)
    share = shares.median(1, keepdim=True).values
    torch.testing.assert_close(shares, share.expand_as(shares), rtol=1e-4, atol=1e-6)
    ranks = (torch.arange(2000) + 0.5) / 2000
    torch.testing.assert_close(share.flatten().sort().values, ranks.double(), rtol=0, atol=0.05)  # Kolmogorov-Smirnov


def test_points_come_from_the_given_generator() -> None:
    """Equal seeds draw equal points, another seed others; torch's global generator stays untouched."""
    discriminator, images = curved(), pair()
    before = torch.get_rng_state()
    for seed in (0, 0, 1):
        measure(PENALTIES["gradient-penalty"], discriminator, *images, seed=seed)
    one, again, other = discriminator.inputs
    assert torch.equal(one, again)
    assert not torch.isclose(one, other).any()
    assert torch.equal(before, torch.get_rng_state())


@penalties
def test_a_flat_discriminator_has_a_finite_gradient(penalty: LossTerm) -> None:
    """At a gradient of exactly 0, where a norm has no derivative, nothing becomes NaN."""
    discriminator = Linear(1.0)
    discriminator.weight.data.zero_()
    values = measure(penalty, discriminator, *pair())
    torch.testing.assert_close(values, of_norm(penalty, torch.zeros(COUNT, dtype=torch.float64)))
    (gradient,) = torch.autograd.grad(values.mean(), discriminator.weight)
    assert gradient.isfinite().all()


@penalties
def test_images_are_unchanged_even_if_they_require_gradients(penalty: LossTerm) -> None:
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
def test_numbers_stay_in_the_images_precision(penalty: LossTerm, dtype: torch.dtype) -> None:
    """Float32 images give float32 values, near those of float64."""
    values = measure(penalty, Linear(1.7, dtype), *pair(dtype=dtype))
    assert values.dtype == dtype
    expected = of_norm(penalty, torch.tensor(1.7, dtype=torch.float64)).expand(COUNT)
    torch.testing.assert_close(values.double(), expected, rtol=1e-5, atol=0)


@penalties
def test_penalties_belong_to_the_discriminator_s_phase(penalty: LossTerm) -> None:
    """They are part of the discriminator's updates only."""
    assert penalty.phases == ("disc",)

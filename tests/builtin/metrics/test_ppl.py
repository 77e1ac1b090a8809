"""Perceptual path length: analytic values, shared noise, conditions, unrounded images."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganforge.builtin.features.pixels import Pixels, Raw
from ganforge.builtin.metrics.ppl import PerceptualPathLength
from ganforge.components import ConditionSpec, FeatureExtractor, Generator, ImageSpec, LatentDistribution
from ganforge.errors import DataError
from tests.helpers.metric_contexts import GivenContext, Sized, result

DIM = 3
PAIRS = 4000
IMAGE = ImageSpec(1, 2, 4, dtype="float32")


class Normal(LatentDistribution):
    """Standard normal latents."""

    def sample(self, count: int, dim: int, rng: torch.Generator) -> Tensor:
        """Return latents, `(count, dim)`."""
        return torch.randn(count, dim, generator=rng)


class Sphere(Normal):
    """Latents uniform on the sphere."""

    def sample(self, count: int, dim: int, rng: torch.Generator) -> Tensor:
        """Return latents, `(count, dim)`."""
        return nn.functional.normalize(super().sample(count, dim, rng))


class Linear(Generator):
    """Generator whose images are a linear function of w, and w of z: w = 2 z."""

    def __init__(self, image: ImageSpec = IMAGE) -> None:
        super().__init__(Generator.Options(latent_dim=DIM), image)
        rng = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(image.numel, DIM, generator=rng) / 10)

    def style(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return w, `(N, Z)`."""
        return 2 * z

    def synthesis(self, w: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return images, `(N, C, H, W)`."""
        return (w @ self.weight.T).view(-1, *self.image.shape)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return images, `(N, C, H, W)`."""
        return self.synthesis(self.style(z))


def measure(
    generator: Generator,
    latent: LatentDistribution | None = None,
    *,
    extractor: FeatureExtractor | None = None,
    condition: Tensor | None = None,
    pairs: int = PAIRS,
    **options: Any,
) -> tuple[float, float]:
    """Return the score, and its standard error."""
    context = GivenContext(
        {"fake": torch.empty(pairs)},
        {},
        extractor=extractor or Raw(Raw.Options(), generator.image),
        generator=generator,
        latent=latent or Normal(LatentDistribution.Options()),
        condition=condition,
    )
    found = result(PerceptualPathLength, context, **options)
    return found.scores["ppl"], found.details["deviation"]


def test_ppl_in_w_of_a_linear_generator() -> None:
    """On a straight line the speed is |A (w₂ - w₁)|, so PPL is 2 · 2² · |A|² for w = 2 z, within sampling error."""
    generator = Linear()
    expected = 8 * float(generator.weight.detach().square().sum())
    value, error = measure(generator, space="w")
    assert abs(value - expected) < 4 * error
    assert error < 0.05 * expected


def test_ppl_in_z_of_a_linear_generator() -> None:
    """On a great circle of the sphere in three dimensions the speed is the angle ω, whose density is sin(ω)/2.

    So E ω² = (π² - 4)/2, and a generator that is 2·c times an isometry has 4·c² times that.
    """
    generator = Linear()
    with torch.no_grad():
        generator.weight.copy_(0.3 * torch.eye(8, DIM))
    value, error = measure(generator, Sphere(LatentDistribution.Options()))
    assert abs(value - 4 * 0.3**2 * (math.pi**2 - 4) / 2) < 4 * error


def test_ppl_does_not_depend_on_the_step() -> None:
    """For a linear generator every step gives the same, to the rounding of float32."""
    values = [measure(Linear(), space="w", epsilon=epsilon)[0] for epsilon in (1e-4, 1e-3, 0.1)]
    assert values == pytest.approx([values[-1]] * 3, rel=1e-3)


def test_pictures_are_not_rounded() -> None:
    """A step far below a level of a picture is measured: pixels in [0, 1] are half of images in [-1, 1]."""
    generator = Linear()
    with torch.no_grad():
        generator.weight.mul_(0.2)  # no image is clamped

    class Half(Pixels):
        def forward(self, images: Tensor) -> Any:
            assert images.dtype == torch.float32
            return super().forward(images.add(1).mul(127.5))

    half = measure(generator, extractor=Half(Half.Options(), IMAGE), space="w")[0]
    assert half == pytest.approx(measure(generator, space="w")[0] / 4, rel=1e-2)


class Noisy(Linear):
    """Linear generator with noise of its own, larger than any step."""

    def synthesis(self, w: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return images, `(N, C, H, W)`."""
        return super().synthesis(w) + torch.randn(len(w), *self.image.shape)


def test_both_images_of_a_pair_have_the_same_noise() -> None:
    """Noise between the layers does not count, and the global random numbers are left as they were."""
    before = torch.get_rng_state()
    noisy = measure(Noisy(), space="w", epsilon=1e-2)[0]
    assert noisy == pytest.approx(measure(Linear(), space="w", epsilon=1e-2)[0], rel=1e-3)
    assert torch.equal(torch.get_rng_state(), before)


class Conditional(Linear):
    """Linear generator without a mapping network whose images grow with the class."""

    @property
    def conditional(self) -> bool:
        """True."""
        return True

    def style(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return z."""
        return z

    def synthesis(self, w: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return images, `(N, C, H, W)`."""
        assert condition is not None
        return super().synthesis(w) * condition.view(-1, 1, 1, 1)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return images, `(N, C, H, W)`."""
        return self.synthesis(z, condition)


@pytest.mark.parametrize("space", ["z", "w"])
def test_both_images_of_a_pair_have_the_condition_of_a_fake(space: str) -> None:
    """Images twice as large are four times as far apart; conditions go through the fakes' in order."""
    generator = Conditional(ImageSpec(1, 2, 4, ConditionSpec.classes(3), "float32"))
    one, two = (
        measure(generator, condition=torch.full((600,), number), pairs=600, space=space)[0] for number in (1, 2)
    )
    assert two == pytest.approx(4 * one, rel=1e-3)
    mixed = measure(generator, condition=torch.arange(600) % 2, pairs=600, space=space)[0]
    assert 0.3 * one < mixed < 0.7 * one


def test_rounded_features_are_refused() -> None:
    """An extractor that takes bytes only is refused before anything is generated, with those that do not round."""
    metric = PerceptualPathLength(PerceptualPathLength.Options())
    with pytest.raises(DataError, match="ppl measures small steps, and Sized takes pictures rounded") as caught:
        metric.check(num_samples=10, extractor=Sized(4))
    assert caught.value.fix is not None
    assert "random-convolutions" in caught.value.fix
    with pytest.raises(DataError, match="no feature extractor"):
        metric.check(num_samples=10, extractor=None)
    metric.check(num_samples=10, extractor=Raw(Raw.Options(), IMAGE))

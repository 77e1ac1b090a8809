"""KID: unbiased, equal to a double loop and to other libraries, drawn from the evaluation's random numbers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ganforge.builtin.metrics.kid import Kid, mmd_squared
from ganforge.errors import DataError
from tests.helpers.metric_contexts import Sized, evaluation, normal, result, score, scores

HOW = "it is compared with; get it by: python -m pip install 'ganforge[test]'"


def by_loops(real: Tensor, fake: Tensor, *, biased: bool = False) -> float:
    """Return MMD² by plain double loops; biased: with each image compared with itself too."""

    def kernel(one: list[float], other: list[float]) -> float:
        return float((sum(a * b for a, b in zip(one, other, strict=True)) / len(one) + 1) ** 3)

    def mean(points: list[list[float]]) -> float:
        values = [kernel(a, b) for i, a in enumerate(points) for j, b in enumerate(points) if biased or i != j]
        return sum(values) / len(values)

    ours, theirs = real.tolist(), fake.tolist()
    mixed = [kernel(a, b) for a in ours for b in theirs]
    return mean(ours) + mean(theirs) - 2 * sum(mixed) / len(mixed)


def test_mmd_is_the_double_loops() -> None:
    """For samples of different counts, to 1e-9."""
    real, fake = normal(13, 5, 0), normal(17, 5, 1) + 0.3
    assert mmd_squared(real, fake) == pytest.approx(by_loops(real, fake), rel=1e-9)


def test_kid_is_unbiased() -> None:
    """Over 600 pairs of equal distributions its mean is 0 within 3 standard errors; the biased estimate's is not."""
    draws = [(normal(8, 3, 2 * seed), normal(8, 3, 2 * seed + 1)) for seed in range(600)]
    for biased in (False, True):
        values = torch.tensor(
            [by_loops(real, fake, biased=True) if biased else mmd_squared(real, fake) for real, fake in draws]
        )
        errors_away = float(values.mean() / (values.std() / math.sqrt(len(values))))
        assert (abs(errors_away) < 3) is not biased, errors_away


def test_kid_of_a_shift_is_its_expectation() -> None:
    """In one dimension, for N(0, 1) and N(m, 1), the mean over draws is MMD² by the moments, within 4 standard errors.

    With t = xy + 1, E t³ = 1 + 3 E x E y + 3 E x² E y² + E x³ E y³; so MMD² = 3 m² + 3 m⁴ + (m³ + 3m)².
    """
    shift, draws = 0.5, 300
    expected = 3 * shift**2 + 3 * shift**4 + (shift**3 + 3 * shift) ** 2
    values = torch.tensor(
        [mmd_squared(normal(400, 1, 2 * seed), normal(400, 1, 2 * seed + 1) + shift) for seed in range(draws)]
    )
    assert abs(float(values.mean()) - expected) < 4 * float(values.std()) / math.sqrt(draws)


def test_mmd_is_what_others_compute() -> None:
    """Within 1e-9 relative of torchmetrics' and of torch-fidelity's, in float64."""
    real, fake = normal(60, 16, 0).double(), normal(60, 16, 1).double() * 1.1
    theirs = pytest.importorskip("torchmetrics.image.kid", reason=f"no torchmetrics, which {HOW}")
    assert mmd_squared(real, fake) == pytest.approx(float(theirs.poly_mmd(real, fake)), rel=1e-9)
    theirs = pytest.importorskip("torch_fidelity.metric_kid", reason=f"no torch-fidelity, which {HOW}")
    options = {"kid_kernel": "poly", "kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None}
    found = theirs.kernel_mmd(real.numpy(), fake.numpy(), **options, kid_kernel_poly_coef0=1)
    assert mmd_squared(real, fake) == pytest.approx(float(found), rel=1e-9)


def test_kid_is_the_mean_over_subsets_with_their_deviation() -> None:
    """The mean is that of all images within 5 standard errors; larger subsets deviate less, one alone not at all."""
    real, fake = normal(300, 4, 0), normal(300, 4, 1) + 0.5
    whole, found = mmd_squared(real, fake), {}
    for size in (20, 80):
        answer = result(Kid, evaluation(real, fake), subsets=200, subset_size=size)
        found[size] = answer.details["deviation"]
        assert abs(answer.scores["kid"] - whole) < 5 * found[size] / math.sqrt(200)
    assert 1.5 < found[20] / found[80] < 4  # about √(80/20)
    assert result(Kid, evaluation(real, fake), subsets=1, subset_size=20).details["deviation"] == 0


def test_kid_draws_from_the_evaluation_alone() -> None:
    """The same generator gives the same subsets, another seed others; torch's own is not touched."""
    real, fake = normal(200, 4, 0), normal(200, 4, 1)
    before = torch.get_rng_state()
    one, two, other = (
        scores(Kid, evaluation(real, fake, seed=seed), subsets=5, subset_size=20)["kid"] for seed in (0, 0, 1)
    )
    assert one == two != other
    assert torch.equal(before, torch.get_rng_state())


def test_kid_needs_float64() -> None:
    """Large features make it a small difference of large numbers: it is the loops' to 1e-6, where float32 is not."""
    real, fake = normal(30, 6, 0) + 40, normal(30, 6, 1) + 40.01
    expected = by_loops(real, fake)
    assert mmd_squared(real, fake) == pytest.approx(expected, rel=1e-6)

    def mean(one: Tensor, other: Tensor) -> float:
        kernel = (one @ other.T / 6 + 1) ** 3
        return float((kernel.sum() - (kernel.trace() if one is other else 0)) / (30 * (29 if one is other else 30)))

    single = mean(real, real) + mean(fake, fake) - 2 * mean(real, fake)
    assert abs(single / expected - 1) > 1e-4


def test_kid_refuses_subsets_larger_than_half_of_what_there_is() -> None:
    """Before anything is drawn, and when it computes; the message names the option."""
    kid = Kid(Kid.Options(subset_size=64))
    kid.check(num_samples=128, extractor=Sized(500))
    with pytest.raises(DataError, match=r"kid needs 128 images or more, .*not 127: twice .* subset_size is 64"):
        kid.check(num_samples=127, extractor=Sized(500))
    with pytest.raises(DataError, match="kid needs 1000 images"):
        score(Kid, normal(1000, 4, 0), normal(999, 4, 1))
    with pytest.raises(DataError, match="no feature extractor"):
        kid.check(num_samples=128, extractor=None)

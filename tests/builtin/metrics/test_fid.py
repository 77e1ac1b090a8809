"""FID and FID-infinity: closed forms, other libraries, degenerate covariances, the bias that is taken away."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ganforge.builtin.metrics import fid as frechet
from ganforge.builtin.metrics.fid import Fid, FidInfinity, frechet_distance, gaussians, intercept
from ganforge.errors import DataError
from tests.helpers.metric_contexts import Sized, evaluation, exact, normal, result, score

HOW = "it is compared with; get it by: python -m pip install 'ganforge[test]'"


def distance(real: Tensor, fake: Tensor) -> float:
    """Return the distance of samples, `(N, D)`, at the precision that they have."""
    (one,), (other,) = gaussians(real, [len(real)]), gaussians(fake, [len(fake)])
    return frechet_distance(one, other)


def by_numpy(real: Tensor, fake: Tensor) -> float:
    """Return the distance as the paper writes it, with moments and a symmetric root by numpy."""
    one, other = real.double().numpy(), fake.double().numpy()
    apart = one.mean(0) - other.mean(0)
    first, second = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    values, vectors = np.linalg.eigh(first)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ second @ root).clip(0)).sum()
    return float(apart @ apart + np.trace(first) + np.trace(second) - 2 * shared)


def by_torchmetrics(real: Tensor, fake: Tensor) -> float:
    """Return torchmetrics' FID, with the features passed through."""
    fid = pytest.importorskip("torchmetrics.image.fid", reason=f"no torchmetrics, which {HOW}")
    through = nn.Identity()
    through.num_features = real.shape[1]  # type: ignore[assignment]
    metric = fid.FrechetInceptionDistance(feature=through)
    metric.update(real, real=True)
    metric.update(fake, real=False)
    return float(metric.compute())


def by_torch_fidelity(real: Tensor, fake: Tensor) -> float:
    """Return torch-fidelity's FID of the same features."""
    theirs = pytest.importorskip("torch_fidelity.metric_fid", reason=f"no torch-fidelity, which {HOW}")
    one, other = (theirs.fid_features_to_statistics(features) for features in (real, fake))
    (value,) = theirs.fid_statistics_to_metric(one, other, verbose=False).values()
    return float(value)


def usual() -> tuple[Tensor, Tensor]:
    """Return features as networks have them: not negative, not independent, of different spread."""
    mixture = normal(48, 48, 1) / 7
    real, fake = (normal(1500, 48, seed) @ mixture for seed in (2, 3))
    return real.relu(), (1.2 * fake + 0.1).relu()


@pytest.mark.parametrize("oracle", [by_numpy, by_torchmetrics, by_torch_fidelity])
def test_fid_is_what_others_compute(oracle: Callable[[Tensor, Tensor], float]) -> None:
    """Within 1e-4 relative of the formula by numpy, of torchmetrics and of torch-fidelity, for the same features."""
    real, fake = usual()
    assert score(Fid, real, fake) == pytest.approx(oracle(real, fake), rel=1e-4)


@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_fid_of_gaussians_on_the_same_axes(shift: float) -> None:
    """With covariances that commute it is Σ (μ - μ')² + (σ - σ')²; here to 1e-5 relative, in float32 features."""
    spread, other = torch.linspace(0.5, 3, 20), torch.linspace(2, 0.2, 20)
    turn = torch.linalg.qr(normal(20, 20, 5).double()).Q
    mean = normal(1, 20, 4)[0]
    real = exact(400, mean, spread.diag().double() @ turn, seed=1)
    fake = exact(300, mean + shift, other.diag().double() @ turn, seed=2)
    expected = 20 * shift**2 + float((spread - other).square().sum())
    assert score(Fid, real.float(), fake.float()) == pytest.approx(expected, rel=1e-5)


def test_fid_of_gaussians_that_lie_askew() -> None:
    """In two dimensions tr (ΣΣ')^½ = √(tr ΣΣ' + 2 √det ΣΣ'), whether or not they commute; here to 1e-10."""
    one, other = torch.tensor([[2.0, 0.5], [0.0, 1.0]]), torch.tensor([[0.3, -1.0], [0.0, 2.0]])
    product = (one.T @ one @ other.T @ other).double()
    shared = math.sqrt(float(product.trace()) + 2 * math.sqrt(float(product.det())))
    expected = 5 + float(one.square().sum() + other.square().sum()) - 2 * shared
    real, fake = exact(50, torch.zeros(2), one, seed=1), exact(70, torch.tensor([1.0, -2.0]), other, seed=2)
    assert distance(real, fake) == pytest.approx(expected, rel=1e-7)  # det in float32


def test_fid_where_features_depend_on_each_other() -> None:
    """In a subspace, a sample and itself times 1.001 differ by 1e-6·(|μ|² + tr Σ), to 1e-9 relative.

    Roots of the eigenvalues of Σ Σ' turn rounding of 1e-16 into 1e-8 in every direction without spread; the libraries
    that take these are off by 7% here, and below zero for equal samples.
    """
    sample = normal(2000, 8, 0).double() @ normal(8, 64, 1).double()
    expected = 1e-6 * float(sample.mean(0).square().sum() + sample.var(0).sum())
    assert distance(sample, sample * 1.001) == pytest.approx(expected, rel=1e-9)
    assert abs(by_numpy(sample, sample * 1.001) / expected - 1) > 1e-4


def test_fid_far_from_the_origin() -> None:
    """Means a million times the spread cost nothing: only differences count. Σ x xᵀ - N μ μᵀ would lose all digits."""
    real, fake = (features.double() for features in usual())
    assert distance(real + 1e6, fake + 1e6) == pytest.approx(distance(real, fake), rel=1e-7)


def test_fid_is_a_distance() -> None:
    """Zero for equal samples in any order, the same both ways round, not changed by a turn of the feature space."""
    real, fake = usual()
    extent = float(real.var(0).sum())
    assert 0 <= score(Fid, real, real) < 1e-12 * extent
    for seed in range(20):  # rounding alone would take some of them below zero
        order = torch.randperm(len(real), generator=torch.Generator().manual_seed(seed))
        assert 0 <= score(Fid, real, real[order]) < 1e-12 * extent
    assert score(Fid, real, fake) == pytest.approx(score(Fid, fake, real), rel=1e-12)
    turn = torch.linalg.qr(normal(48, 48, 9).double()).Q
    assert distance(real.double() @ turn, fake.double() @ turn) == pytest.approx(score(Fid, real, fake), rel=1e-9)


def test_fid_of_a_point() -> None:
    """A generator that makes one image has no covariance: |μ - x|² + tr Σ."""
    real, _ = usual()
    point = real[:1].expand(100, -1)
    expected = float((real.double().mean(0) - real[0]).square().sum() + real.double().var(0).sum())
    assert score(Fid, real, point) == pytest.approx(expected, rel=1e-9)


def test_moments_do_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decomposed 7 rows at a time, fewer than there are features, they are those of numpy; so are those of prefixes."""
    monkeypatch.setattr(frechet, "BLOCK", 7)
    sample = normal(100, 12, 0) + 5
    for count, found in zip((20, 55, 100), gaussians(sample, [20, 55, 100]), strict=True):
        part = sample[:count].double()
        torch.testing.assert_close(found.mean, part.mean(0), rtol=1e-12, atol=0)
        torch.testing.assert_close(found.factor.T @ found.factor, part.T.cov(), rtol=1e-10, atol=1e-12)


def test_fid_refuses_counts_that_are_not_above_the_feature_size() -> None:
    """Before anything is drawn, and again when it computes; the message names both numbers and the way out."""
    fid = Fid(Fid.Options())
    fid.check(num_samples=49, extractor=Sized(48))
    with pytest.raises(DataError, match=r"fid needs 49 images or more, .*not 48: .* covariance of its 48 features"):
        fid.check(num_samples=48, extractor=Sized(48))
    with pytest.raises(DataError, match="fid needs 49 images") as caught:
        score(Fid, normal(500, 48, 0), normal(48, 48, 1))
    assert caught.value.fix is not None
    assert "--num-samples" in caught.value.fix
    with pytest.raises(DataError, match="no feature extractor"):
        fid.check(num_samples=1000, extractor=None)


def test_fid_refuses_what_is_not_finite() -> None:
    """The message names the images and their number."""
    broken = normal(50, 8, 0)
    broken[3, 2] = torch.nan
    with pytest.raises(DataError, match="fid: the features of the fakes are not finite for 1 of 50 images"):
        score(Fid, normal(50, 8, 1), broken)


@pytest.mark.parametrize("spread", [1.0, 1.3])
def test_fid_infinity_takes_the_bias_away(spread: float) -> None:
    """Over 20 draws its mean is the true distance within 3 standard errors; FID's is 20 standard errors above."""
    size, count, draws = 16, 400, 20
    true = size * (spread - 1) ** 2
    found = []
    for seed in range(draws):
        real, fake = normal(count, size, 2 * seed), spread * normal(count, size, 2 * seed + 1)
        found.append([score(Fid, real, fake), score(FidInfinity, real, fake)])
    table = torch.tensor(found)
    errors = table.std(0) / math.sqrt(draws)
    biased, unbiased = ((table.mean(0) - true) / errors).tolist()
    assert abs(unbiased) < 3
    assert biased > 9 / spread**2


def test_fid_infinity_is_the_lines_value_at_zero() -> None:
    """For points on a line it is exact; its details hold the points, the last of which is FID of all images."""
    assert intercept([1, 2, 4], [5, 7, 11]) == pytest.approx(3)
    real, fake = usual()
    found = result(FidInfinity, evaluation(real, fake), points=5)
    value, said = found.scores["fid-infinity"], found.details
    assert said["counts"] == [240, 555, 870, 1185, 1500]  # from five for each of 48 features
    assert said["fids"][-1] == pytest.approx(score(Fid, real, fake), rel=1e-9)
    line = np.polyfit([1 / count for count in said["counts"]], said["fids"], 1)
    assert value == pytest.approx(line[1], rel=1e-6)
    assert value < said["fids"][-1]


def test_fid_infinity_refuses_too_few_images() -> None:
    """A line needs FIDs of different counts, each well above the feature size."""
    metric = FidInfinity(FidInfinity.Options())
    metric.check(num_samples=480, extractor=Sized(48))
    with pytest.raises(DataError, match=r"fid-infinity needs 480 images or more, .*not 479"):
        metric.check(num_samples=479, extractor=Sized(48))
    with pytest.raises(DataError, match="fid-infinity needs 480 images"):
        score(FidInfinity, normal(600, 48, 0), normal(400, 48, 1))

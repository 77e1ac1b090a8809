"""Precision, recall, density and coverage: plain loops, the authors' own code, ties, blocks, what is shared."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ganforge.builtin.metrics import pairwise as distances
from ganforge.builtin.metrics import prdc
from ganforge.builtin.metrics.data_copying import nearest
from ganforge.builtin.metrics.pairwise import squared_distances
from ganforge.builtin.metrics.prdc import Coverage, Density, NeighborMetric, Precision, Recall
from ganforge.errors import DataError
from tests.helpers.metric_contexts import Sized, evaluation, normal, score, scores

ALL: tuple[type[NeighborMetric], ...] = (Precision, Recall, Density, Coverage)
#: Scores of `fixed()` by compute_prdc of the package prdc 0.2 (Naeem et al., NAVER), by k.
RECORDED = {
    3: {"precision": 0.976, "recall": 0.7933333333333333, "density": 1.184, "coverage": 0.7766666666666666},
    5: {"precision": 0.988, "recall": 0.85, "density": 1.1608, "coverage": 0.8866666666666667},
    10: {"precision": 1.0, "recall": 0.9233333333333333, "density": 1.1768, "coverage": 0.9766666666666667},
}


def fixed() -> tuple[Tensor, Tensor]:
    """Return 300 and 250 points in four dimensions, the same on every machine and with every version."""
    drawn = random.Random(5)  # noqa: S311 - points, not secrets

    def points(count: int, scale: float) -> Tensor:
        rows = [[(drawn.random() + drawn.random() + drawn.random()) * scale for _ in range(4)] for _ in range(count)]
        return torch.tensor(rows, dtype=torch.float64)

    return points(300, 1.0), points(250, 0.8) + 0.4


def all_four(real: Tensor, fake: Tensor, **options: Any) -> dict[str, float]:
    """Return all four scores from one evaluation."""
    context = evaluation(real, fake)
    return {name: value for metric in ALL for name, value in scores(metric, context, **options).items()}


def by_numpy(real: Tensor, fake: Tensor, k: int) -> dict[str, float]:
    """Return all four by the papers' definitions, from whole matrices of exact distances."""
    one, other = real.double().numpy(), fake.double().numpy()

    def squared(rows: Any, columns: Any) -> Any:
        return np.square(rows[:, None] - columns[None]).sum(-1).round(9)

    def radii(points: Any) -> Any:
        among = squared(points, points)
        np.fill_diagonal(among, np.inf)
        return np.sort(among, axis=1)[:, k - 1]

    of_real, of_fake, between = radii(one), radii(other), squared(one, other)
    return {
        "precision": float((between <= of_real[:, None]).any(0).mean()),
        "recall": float((between <= of_fake[None]).any(1).mean()),
        "density": float((between < of_real[:, None]).sum() / (k * len(other))),
        "coverage": float((between < of_real[:, None]).any(1).mean()),
    }


@pytest.mark.parametrize("k", [3, 5, 10])
def test_all_four_are_what_their_authors_compute(k: int) -> None:
    """On fixed data they are the values of the authors' package, and those of plain numpy, exactly."""
    real, fake = fixed()
    found = all_four(real, fake, neighbors=k)
    assert found == pytest.approx(RECORDED[k], rel=1e-12)
    assert found == pytest.approx(by_numpy(real, fake, k), rel=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_ties_are_decided_as_in_the_papers(seed: int) -> None:
    """On a grid, where most distances are tied and many points double, all four are those of plain numpy, exactly.

    An edge belongs to a neighborhood in precision and recall (Kynkäänniemi et al., eq. 1), not in density and coverage
    (the code of Naeem et al.).
    """
    rng = torch.Generator().manual_seed(seed)
    real, fake = (torch.randint(0, 4, (count, 3), generator=rng).float() for count in (120, 90))
    for k in (3, 5):
        assert all_four(real, fake, neighbors=k) == pytest.approx(by_numpy(real, fake, k), rel=1e-12)


@pytest.mark.parametrize("scale", [1e5, 1e7])
def test_one_large_vector_makes_no_other_points_equal(scale: float) -> None:
    """Points are equal up to rounding of their own size: an outlier changes only its own neighborhoods."""
    real, fake = normal(200, 16, 0), normal(150, 16, 1) + 1
    fake[0] *= scale
    for k in (3, 5):
        assert all_four(real, fake, neighbors=k) == pytest.approx(by_numpy(real, fake, k), rel=1e-12)
    assert bool((nearest(fake[1:], torch.cat([real, fake[:1]])) > 0).all())


def test_fakes_that_are_the_real_images() -> None:
    """All four are 1; density too, since the farthest of an image and its k neighbors is on the edge."""
    real = normal(400, 6, 0)
    order = torch.randperm(400, generator=torch.Generator().manual_seed(1))
    assert all_four(real, real[order]) == {"precision": 1, "recall": 1, "density": 1, "coverage": 1}


@pytest.mark.parametrize(("reals", "fakes"), [(500, 500), (300, 900)])
def test_equal_distributions_have_the_papers_expectations(reals: int, fakes: int) -> None:
    """Coverage is 1 - ∏ (N - i)/(N + M - i) over i = 1 … k, whatever the distribution, and density is 1.

    As Naeem et al. 2020 prove; within four standard errors over 30 draws, in four and in twelve dimensions.
    """
    k = 5
    expected = 1 - math.prod((reals - i) / (reals + fakes - i) for i in range(1, k + 1))
    for size in (4, 12):
        draws = [all_four(normal(reals, size, 2 * seed), normal(fakes, size, 2 * seed + 1)) for seed in range(30)]
        for name, value in (("coverage", expected), ("density", 1.0)):
            found = torch.tensor([draw[name] for draw in draws], dtype=torch.float64)
            assert abs(float(found.mean()) - value) < 4 * float(found.std()) / math.sqrt(len(draws)), (name, size)


def test_the_defaults_are_the_papers() -> None:
    """Three neighbors for precision and recall, five for density and coverage."""
    assert [metric.Options().model_dump() for metric in ALL] == [{"neighbors": k} for k in (3, 3, 5, 5)]


def test_what_is_computed_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """All four of one evaluation go over all pairs three times, as one of them does; another evaluation repeats it."""
    passes = []

    def counted(rows: Tensor, columns: Tensor) -> Any:
        passes.append((len(rows), len(columns)))
        return squared_distances(rows, columns)

    monkeypatch.setattr(prdc, "squared_distances", counted)
    real, fake = normal(60, 4, 0), normal(50, 4, 1)
    found = all_four(real, fake)
    assert passes == [(60, 60), (50, 50), (60, 50)]
    assert found == {name: score(metric, real, fake) for metric in ALL for name in metric.higher_is_better}
    assert len(passes) == 3 + 4 * 3


def test_shared_results_belong_to_their_features() -> None:
    """Other features in a context that shares its findings, as a floor might, are not answered from what was there."""
    real, fake, other = normal(60, 4, 0), normal(60, 4, 1) + 1, normal(60, 4, 2)
    one, two = evaluation(real, fake), evaluation(real, other)
    scores(Precision, one)
    two.shared.update(one.shared)
    assert scores(Precision, two)["precision"] == score(Precision, real, other) != score(Precision, real, fake)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compared one row, or a few at a time, all four are the same; no block has more distances than it may."""
    real, fake = normal(120, 4, 0), normal(90, 4, 1)
    expected = all_four(real, fake)
    for block in (1, 1000):
        monkeypatch.setattr(distances, "BLOCK", block)
        assert all_four(real, fake) == expected
        assert max(part.numel() for _, part in squared_distances(real, fake)) <= max(block, 90)


def test_distances_are_exact_to_float32() -> None:
    """Far from the origin too, where |x|² + |y|² - 2⟨x, y⟩ in float32 has no digit left; equal points are 0 apart."""
    real = normal(50, 8, 0).double() + 1e6
    exact = (real[:, None] - real[None]).square().sum(-1)
    ((_, found),) = squared_distances(real, real)
    torch.testing.assert_close(found.double(), exact, rtol=1e-6, atol=0)
    assert float(found.diagonal().abs().max()) == 0


def test_collapse_and_invention() -> None:
    """A generator of one good image has precision 1 and no recall; one that makes what is not there, the opposite."""
    real = normal(300, 6, 0)
    collapsed = all_four(real, real.mean(0).expand(300, -1))
    assert collapsed["precision"] == 1
    assert collapsed["recall"] == 0
    assert collapsed["coverage"] < 0.5
    inventive = all_four(real, 3 * normal(300, 6, 1))
    assert inventive["precision"] < 0.5
    assert inventive["recall"] > 0.9


def test_outliers_raise_precision_but_not_density() -> None:
    """One real image far away makes a huge neighborhood: bad fakes in it count for precision, hardly for density."""
    real, fake = normal(300, 2, 0), normal(300, 2, 1) * 0.1 + 20
    real[0] = 40.0
    found = all_four(real, fake)
    assert found["precision"] == 1
    assert found["density"] < 0.3
    assert found["coverage"] < 0.01


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.__name__)
def test_too_few_images_are_refused(metric: type[NeighborMetric]) -> None:
    """An image that has fewer others than its neighborhood reaches to has no neighborhood."""
    made = metric(metric.Options(neighbors=7))
    made.check(num_samples=8, extractor=Sized(500))
    with pytest.raises(DataError, match=r"needs 8 images or more, .*not 7: an image's neighborhood reaches to 7"):
        made.check(num_samples=7, extractor=Sized(500))
    with pytest.raises(DataError, match=r"needs 8 images or more, .*not 7"):
        score(metric, normal(20, 3, 0), normal(7, 3, 1), neighbors=7)
    with pytest.raises(DataError, match="no feature extractor"):
        made.check(num_samples=8, extractor=None)

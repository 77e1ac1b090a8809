"""Laws of means over seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ganforge.runs.statistics import Estimate, estimate, two_sided_t

#: Student's t for 95%, two-sided: Fisher & Yates 1963, table III, and one degree more exactly: tan(0.475 π).
TABLE = {2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 9: 2.262, 10: 2.228, 29: 2.045, 30: 2.042, 120: 1.980}


@pytest.mark.parametrize("degrees", TABLE)
def test_the_quantile_is_that_of_the_table(degrees: int) -> None:
    """Odd and even degrees of freedom agree with the printed table."""
    assert round(two_sided_t(0.95, degrees), 3) == TABLE[degrees]


def test_the_quantile_at_its_ends() -> None:
    """One degree is Cauchy's distribution, two have a closed form, and very many are the normal distribution."""
    assert two_sided_t(0.95, 1) == pytest.approx(math.tan(0.475 * math.pi), rel=1e-12)
    assert two_sided_t(0.95, 2) == pytest.approx(0.95 * math.sqrt(2 / (1 - 0.95**2)), rel=1e-12)
    assert two_sided_t(0.95, 100_000) == pytest.approx(1.959964, rel=1e-4)


def test_an_estimate_by_hand() -> None:
    """1, 2, 3 have the mean 2 and the deviation 1; the margin is t / √3. Moved and stretched, it follows."""
    found = estimate([1.0, 2.0, 3.0])
    assert found is not None
    assert found.mean == 2.0
    assert found.margin == pytest.approx(4.302652729749 / math.sqrt(3), rel=1e-9)
    moved = estimate([107.0, 117.0, 127.0])
    assert moved is not None
    assert found.margin is not None
    assert moved.mean == pytest.approx(117.0)
    assert moved.margin == pytest.approx(10 * found.margin)


def test_one_value_has_no_interval_and_none_has_no_mean() -> None:
    """A single seed has no spread."""
    found = estimate([5.0])
    assert found is not None
    assert (found.mean, found.low, found.high, found.margin, found.count) == (5.0, None, None, None, 1)
    assert estimate([]) is None


@pytest.mark.parametrize("value", [0.7, 12.34, 1 / 3, 0.0, -1e200])
def test_equal_values_have_no_spread(value: float) -> None:
    """Not even that of rounding."""
    found = estimate([value] * 3)
    assert found is not None
    assert (found.mean, found.low, found.high, found.margin) == (value, value, value, 0)
    assert "±" not in found.format()


def test_huge_values_have_a_mean() -> None:
    """Their squares would be no numbers any more."""
    found = estimate([1e200, 2e200])
    assert found is not None
    assert found.mean == pytest.approx(1.5e200)
    assert (found.low, found.high) == (1e200, 2e200)
    found = estimate([1e200, 2e200, 3e200])
    assert found is not None
    assert found.margin == pytest.approx(4.302653 * 1e200 / math.sqrt(3), rel=1e-4)


@pytest.mark.parametrize(
    ("values", "bounds", "shown"),
    [
        ([0.1, 0.2, 3.0], (0.0, math.inf), "1.100 [0, 5.189]"),
        ([0.99, 0.98, 0.8], (0.0, 1.0), "0.9233 [0.6577, 1]"),
        ([10.0, 10.2, 10.4], (0.0, math.inf), "10.20 ± 0.50"),
        ([-0.1, -0.3, 0.5], (-math.inf, math.inf), "0.0 ± 1.0"),
    ],
)
def test_an_interval_is_cut_at_the_bounds_of_its_score(
    values: list[float], bounds: tuple[float, float], shown: str
) -> None:
    """No FID below 0 and no precision above 1; a cut interval is shown with its ends."""
    found = estimate(values, bounds)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert bounds[0] <= found.low < found.mean < found.high <= bounds[1]
    assert found.format() == shown


@pytest.mark.parametrize("count", [3, 5])
def test_confidence_interval_has_its_nominal_coverage(count: int) -> None:
    """95% of 4,000 intervals around draws from a normal distribution hold its mean, within four standard errors."""
    held = 0
    for values in np.random.default_rng(count).normal(3.0, 2.0, (4000, count)).tolist():
        found = estimate(values)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 3.0 <= found.high
    assert abs(held / 4000 - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 4000)


def test_two_values_have_a_range_and_no_confidence_interval() -> None:
    """Student's margin of two precisions near 1 would exceed 1; the range of values is always possible."""
    found = estimate([0.9, 1.0])
    assert found is not None
    assert found.mean == pytest.approx(0.95)
    assert (found.low, found.high, found.margin) == (0.9, 1.0, None)
    assert found.format() == "0.9500 [0.9000, 1]"


@pytest.mark.parametrize(
    ("one", "other", "undecided"),
    [
        ([1.0, 1.1, 1.2], [1.1, 1.2, 1.3], True),
        ([1.0, 1.1, 1.2], [9.0, 9.1, 9.2], False),
        ([1.0, 1.1], [9.0, 9.1, 9.2], True),
        ([1.0], [9.0], True),
    ],
)
def test_means_are_decided_by_disjoint_confidence_intervals(
    one: list[float], other: list[float], undecided: object
) -> None:
    """Either way around; fewer than three values decide nothing."""
    first, second = estimate(one), estimate(other)
    assert first is not None
    assert second is not None
    assert first.overlaps(second) == second.overlaps(first) == undecided


@pytest.mark.parametrize(
    ("mean", "margin", "text"),
    [
        (12.3456, 0.4211, "12.35 ± 0.42"),
        (12.3456, 4.1, "12.3 ± 4.1"),
        (1234.5, 56.0, "1,234 ± 56"),
        (0.0001234, 0.0000012, "0.0001234 ± 0.0000012"),
        (0.5, 0.0, "0.5000"),
        (3.0, None, "3"),
        (12345.6, None, "12,350"),
    ],
)
def test_a_mean_has_the_decimals_of_its_margin(mean: float, margin: float | None, text: str) -> None:
    """Two digits of the margin, and the mean with as many decimals."""
    low, high = (None, None) if margin is None else (mean - margin, mean + margin)
    assert Estimate(mean, low, high, 3).format() == text

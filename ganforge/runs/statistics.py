"""Statistics over seeds: mean and confidence interval."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from ganforge.utils.format import format_number

CONFIDENCE = 0.95
#: Fewer values have no confidence interval that helps: Student's t for two is 12.7, which leaves the range of a score.
MIN_INTERVAL_COUNT = 3
#: Significant digits of a margin.
MARGIN_DIGITS = 2


@dataclass(frozen=True, slots=True)
class Estimate:
    """Mean of `count` values with its interval: the range of two values, and None for a single one."""

    mean: float
    low: float | None
    high: float | None
    count: int

    @property
    def margin(self) -> float | None:
        """Half the width of the confidence interval; None for fewer than MIN_INTERVAL_COUNT values, or if it is cut."""
        if self.low is None or self.high is None or self.count < MIN_INTERVAL_COUNT:
            return None
        below, above = self.mean - self.low, self.high - self.mean
        return above if math.isclose(below, above, rel_tol=1e-6, abs_tol=1e-12 * abs(self.mean)) else None

    def overlaps(self, other: Estimate) -> bool:
        """Return whether two means are undecided: their intervals overlap, or one is not a confidence interval."""
        if self.low is None or self.high is None or other.low is None or other.high is None:
            return True
        few = min(self.count, other.count) < MIN_INTERVAL_COUNT
        return few or (self.low <= other.high and other.low <= self.high)

    def as_dict(self) -> dict[str, Any]:
        """Return the document that `--json` prints."""
        return asdict(self)

    def format(self) -> str:
        """Return `12.34 ± 0.56`, with the two leading digits of the margin; `12 [11, 13]` without one."""
        if self.margin is None and self.low is not None and self.low != self.high:
            return f"{format_number(self.mean)} [{format_number(self.low)}, {format_number(self.high)}]"
        if not self.margin or not math.isfinite(self.margin):
            return format_number(self.mean)
        decimals = max(MARGIN_DIGITS - 1 - math.floor(math.log10(self.margin)), 0)
        return f"{self.mean:,.{decimals}f} ± {self.margin:,.{decimals}f}"


def estimate(values: Sequence[float], bounds: tuple[float, float] = (-math.inf, math.inf)) -> Estimate | None:
    """Return the mean of finite values and its 95% interval, or None without values.

    The interval of two values is their range. Otherwise it is Student's: mean ± t(0.975, n - 1) · s / √n, with s² the
    sum of squared deviations over n - 1. Scores of several seeds are assumed to be normally distributed. The interval
    is cut at the bounds, the smallest and largest possible value, which costs no confidence: no mean lies beyond them.
    """
    count = len(values)
    if count == 0:
        return None
    if count == 1:
        return Estimate(values[0], None, None, 1)
    if min(values) == max(values):  # the formula would leave rounding errors
        return Estimate(values[0], values[0], values[0], count)
    mean = math.fsum(value / count for value in values)
    if count < MIN_INTERVAL_COUNT:
        return Estimate(mean, min(values), max(values), count)
    deviation = math.hypot(*(value - mean for value in values)) / math.sqrt(count - 1)
    margin = two_sided_t(CONFIDENCE, count - 1) * deviation / math.sqrt(count)
    low, high = max(bounds[0], -sys.float_info.max), min(bounds[1], sys.float_info.max)  # JSON lacks infinities
    return Estimate(mean, min(mean, max(mean - margin, low)), max(mean, min(mean + margin, high)), count)


@cache
def two_sided_t(confidence: float, degrees: int) -> float:
    """Return the t with P(|T| ≤ t) = `confidence` for Student's T with `degrees` of freedom, at least 1.

    Bisection of the angle atan(t/√degrees); the distribution has a closed form in it.
    """
    low, high = 0.0, math.pi / 2
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if _within(middle, degrees) < confidence else (low, middle)
    return math.tan(high) * math.sqrt(degrees)


def _within(angle: float, degrees: int) -> float:
    """Return P(|T| ≤ √degrees · tan(angle)): Abramowitz & Stegun 1964, 26.7.3 and 26.7.4."""
    odd = degrees % 2
    square = math.cos(angle) ** 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0
    for k in range(odd, degrees - 1, 2):  # powers of the cosine
        total += term
        term *= square * (k + 1) / (k + 2)
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total

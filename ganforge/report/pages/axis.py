"""A chart's axis: the range that it shows, and round values in it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

TICKS = 5
NEAR_ZERO = 0.3  # of an axis' end: an axis that begins that near begins at 0


@dataclass(frozen=True, slots=True)
class Axis:
    """Hold the range that an axis shows."""

    low: float
    high: float

    @classmethod
    def over(cls, values: Sequence[float], padding: float) -> Axis:
        """Return the axis that shows all values, with a share of their range as space around; never an empty one."""
        low, high = min(values), max(values)
        space = (high - low) * padding
        if high <= low:
            space = abs(low) * 0.5 or 0.5
        return cls(low - space, high + space)

    def from_zero(self) -> Axis:
        """Return the axis that begins at 0, where it nearly does."""
        return Axis(0, self.high) if 0 <= self.low < NEAR_ZERO * self.high else self

    def share(self, value: float) -> float:
        """Return where a value lies, from 0 at the axis' beginning to 1 at its end."""
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> Iterator[tuple[float, str]]:
        """Yield a few round values in the range, with their labels."""
        rough = (self.high - self.low) / TICKS
        magnitude = 10.0 ** math.floor(math.log10(rough))
        step = magnitude * next(factor for factor in (1, 2, 5, 10) if factor * magnitude >= rough * 0.999)
        decimals = max(-math.floor(math.log10(step) + 1e-9), 0)
        large = max(abs(self.low), abs(self.high))
        for index in range(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1):
            value = index * step
            plain = large < 1e6 and decimals <= 4  # noqa: PLR2004 - what fits beside a plot
            yield value, f"{value:,.{decimals}f}" if plain else f"{value:.3g}"

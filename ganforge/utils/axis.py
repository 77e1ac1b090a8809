"""Axis of a chart: its range, and round values in it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

TICKS = 5
#: Share of its end below which the start of an axis is moved to 0.
NEAR_ZERO = 0.3


@dataclass(frozen=True, slots=True)
class Axis:
    """Range of an axis."""

    low: float
    high: float

    @classmethod
    def over(cls, values: Sequence[float], padding: float) -> Axis:
        """Return an axis over all values; its range is never empty.

        Args:
            values: At least one value.
            padding: Space on either side, as a share of the range.
        """
        low, high = min(values), max(values)
        space = (high - low) * padding
        if high <= low:
            space = abs(low) * 0.5 or 0.5
        return cls(low - space, high + space)

    def from_zero(self) -> Axis:
        """Return the axis, started at 0 if it nearly starts there."""
        return Axis(0, self.high) if 0 <= self.low < NEAR_ZERO * self.high else self

    def share(self, value: float) -> float:
        """Return the position of a value, from 0 at the start of the axis to 1 at its end."""
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
            plain = large < 1e6 and decimals <= 4  # noqa: PLR2004 - the width of the labels
            yield value, f"{value:,.{decimals}f}" if plain else f"{value:.3g}"

"""Numbers and times as people read them."""

from __future__ import annotations

import math

MINUTE, HOUR, DAY = 60, 3600, 86400
KIBIBYTE, STEPS_OF_SIZE = 1024, ("bytes", "KiB", "MiB", "GiB", "TiB")
WHOLE = 1e15  # beyond, a float has no ones any more
SMALL, TINY, LARGE = 1e-3, 1e-5, 1e6
DIGITS = 4


def number(value: float | None) -> str:
    """Return a number with four digits that count, whole ones in full; None is what a score is that is not finite."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "not finite"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < WHOLE else "huge"
    return _digits(value)


def _digits(value: float) -> str:
    value = float(f"{value:.{DIGITS - 1}e}")  # rounded first: 0.99996 is 1.000
    if value.is_integer() and abs(value) < LARGE:
        return f"{value:,.0f}"
    if TINY <= abs(value) < SMALL:
        return f"{value:.{DIGITS}g}"
    if not SMALL <= abs(value) < LARGE:
        return f"{value:.{DIGITS - 1}e}"
    decimals = max(DIGITS - 1 - math.floor(math.log10(abs(value))), 0)
    return f"{value:,.{decimals}f}"


def duration(seconds: float) -> str:
    """Return seconds as `850 ms`, `12.3 s`, `4 min 05 s`, `3 h 20 min` or `2 d 4 h`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if round(seconds) < MINUTE:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE:02d} s"
    if whole < DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE:02d} min"
    return f"{whole // DAY} d {whole % DAY // HOUR} h"


def size(count: float) -> str:
    """Return bytes as `23.5 GiB`."""
    unit = 0
    while count >= KIBIBYTE and unit < len(STEPS_OF_SIZE) - 1:
        count, unit = count / KIBIBYTE, unit + 1
    return f"{count:.0f} {STEPS_OF_SIZE[unit]}" if unit == 0 else f"{count:.1f} {STEPS_OF_SIZE[unit]}"

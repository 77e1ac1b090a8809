"""Formatting of numbers, durations, sizes and settings for readers."""

from __future__ import annotations

import json
import math

MINUTE, HOUR, DAY = 60, 3600, 86400
KIBIBYTE, SIZE_UNITS = 1024, ("bytes", "KiB", "MiB", "GiB", "TiB")
#: Larger integers are not exact as floats.
MAX_INTEGER = 1e15
MIN_DECIMAL, MIN_PLAIN, MAX_PLAIN = 1e-3, 1e-5, 1e6
DIGITS = 4


def format_number(value: float | None) -> str:
    """Return a number with four significant digits, integers in full; None as "missing", infinities as "not finite"."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "missing" if value is None else "not finite"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < MAX_INTEGER else "huge"
    value = float(f"{value:.{DIGITS - 1}e}")  # rounded first: 0.99996 is 1.000
    if value.is_integer() and abs(value) < MAX_PLAIN:
        return f"{value:,.0f}"
    if MIN_PLAIN <= abs(value) < MIN_DECIMAL:
        return f"{value:.{DIGITS}g}"
    if not MIN_DECIMAL <= abs(value) < MAX_PLAIN:
        return f"{value:.{DIGITS - 1}e}"
    decimals = max(DIGITS - 1 - math.floor(math.log10(abs(value))), 0)
    return f"{value:,.{decimals}f}"


def format_loss(value: float) -> str:
    """Return a loss in a width that stays the same while it changes: 0.712, 12.30, 431.8, 1.2e+04."""
    for limit, pattern in ((10, "{:.3f}"), (100, "{:.2f}"), (1000, "{:.1f}")):
        if abs(value) < limit:
            return pattern.format(value)
    return f"{value:.1e}"


def format_duration(seconds: float) -> str:
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


def format_clock(seconds: float) -> str:
    """Return seconds as `00:02:10` or `1d 06:00:00`."""
    days, rest = divmod(math.ceil(seconds), DAY)
    hours, rest = divmod(rest, HOUR)
    return (f"{days}d " if days else "") + f"{hours:02}:{rest // MINUTE:02}:{rest % MINUTE:02}"


def format_bytes(count: float) -> str:
    """Return a number of bytes as `23.5 GiB`."""
    unit = 0
    while count >= KIBIBYTE and unit < len(SIZE_UNITS) - 1:
        count, unit = count / KIBIBYTE, unit + 1
    return f"{count:.0f} {SIZE_UNITS[unit]}" if unit == 0 else f"{count:.1f} {SIZE_UNITS[unit]}"


def format_count(number: int, noun: str) -> str:
    """Return a number with its noun, as `1 run` or `2,000 runs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def format_value(value: object) -> str:
    """Return the value of a setting as the command line takes it."""
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)

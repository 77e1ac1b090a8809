"""Filters of runs: `loss=hinge`, `steps>=1000`, `fid<20`."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ganforge.components.spec import SECTIONS
from ganforge.errors import UsageError

#: Keys of times in ISO 8601, all in UTC, which are compared as text. A date matches all times of the day.
TIMES = frozenset({"created", "updated"})
TIME = re.compile(r"\d{4}(-\d\d(-\d\d(T\d\d(:\d\d(:\d\d)?)?)?)?)?")
FILTER = re.compile(r"\s*([\w./-]+)\s*(!=|<=|>=|=|<|>)(.*)", re.DOTALL)
COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class Filter:
    """Condition on a value of a run.

    Attributes:
        key: Key of run.json, setting, or score.
        sign: `=`, `!=`, `<`, `<=`, `>` or `>=`.
        value: Right side: a TOML value, or text.
    """

    key: str
    sign: str
    value: Any

    @classmethod
    def parse(cls, text: str) -> Filter:
        """Parse a filter. Raises UsageError for another text, and for a comparison with an invalid value."""
        from ganforge.config.dotted import literal  # noqa: PLC0415 - a plain list needs no models

        match = FILTER.fullmatch(text)
        if match is None:
            raise UsageError(f"invalid filter {text!r}", fix="write loss=hinge, loss!=hinge, steps>=1000 or fid<20")
        key, sign, right = match[1], match[2], match[3].strip()
        if key in TIMES:
            time = right.replace(" ", "T", 1)
            if TIME.fullmatch(time) is None or not _is_time(time):
                raise UsageError(
                    f"invalid filter {text!r}: {right!r} is not a time",
                    fix="write 2026-11-26, or 2026-11-26 14:30; times are in UTC",
                )
            return cls(key, sign, time)
        if right.startswith(("<", ">", "=")):
            meant = sign if right.startswith("=") else f"{right[0]}="
            raise UsageError(f"invalid filter {text!r}", fix=f"write {key}{meant}{right.lstrip('<>=')}")
        value = literal(right)
        is_nan = isinstance(value, float) and math.isnan(value)
        if is_nan or (sign in COMPARISONS and not _is_number(value)):
            raise UsageError(f"invalid filter {text!r}: {right!r} is not a number")
        return cls(key, sign, value)

    def check(self, values: Iterable[object]) -> None:
        """Raise UsageError if values of these types can never satisfy the condition."""
        present = [value for value in values if value is not None]
        if not present or self.key in TIMES:
            return
        if self.sign in COMPARISONS:
            impossible = not any(map(_is_number, present))
        else:
            types = {bool if isinstance(value, bool) else type(value) for value in present}
            impossible = (
                not isinstance(self.value, bool)
                if types == {bool}
                else (types <= {int, float} and not _is_number(self.value))
            )
        if impossible:
            raise UsageError(
                f"invalid filter {self.key}{self.sign}{self.value}: values of {self.key} are like {present[0]!r}",
                fix=f"a score of this name is score.{self.key}" if self.sign in COMPARISONS else None,
            )

    def matches(self, value: object) -> bool:
        """Return whether the value of a run satisfies the condition; None never does."""
        if value is None:
            return False
        if self.key in TIMES:
            value = str(value)[: len(self.value)]
        if self.sign in COMPARISONS:
            comparable = self.key in TIMES or _is_number(value)
            return comparable and COMPARISONS[self.sign](value, self.value)
        return self._equals(value) == (self.sign == "=")

    def _equals(self, value: object) -> bool:
        if self.key in SECTIONS:  # a section may have several components
            names = value if isinstance(value, list) else [value, *str(value).split(",")]
            return self.value in names or str(self.value) in names
        if isinstance(value, str):
            return value == str(self.value)
        return isinstance(value, bool) == isinstance(self.value, bool) and value == self.value


def _is_time(text: str) -> bool:
    """Return whether the first parts of a time, such as its year and month, are possible."""
    try:
        datetime.fromisoformat(text + "0001-01-01T00:00:00"[len(text) :])
    except ValueError:
        return False
    return True


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

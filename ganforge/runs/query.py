"""What runs are chosen by: `loss=hinge`, `steps>=1000`, `fid<20`."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ganforge.components.spec import SECTIONS
from ganforge.errors import UsageError

#: Times in ISO 8601, all in UTC: their order is that of their letters. A day is all of its seconds.
TIMES = frozenset({"created", "updated"})
TIME = re.compile(r"\d{4}(-\d\d(-\d\d(T\d\d(:\d\d(:\d\d)?)?)?)?)?")
CONDITION = re.compile(r"\s*([\w./-]+)\s*(!=|<=|>=|=|<|>)(.*)", re.DOTALL)
ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """Hold what a run's value must be. sign: `=`, `!=`, or one of `ORDER`. wanted: as TOML reads it, else text."""

    key: str
    sign: str
    wanted: Any

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read a condition. Raises UsageError."""
        from ganforge.config.dotted import literal  # noqa: PLC0415 - a plain list needs no models

        match = CONDITION.fullmatch(text)
        if match is None:
            raise UsageError(f"{text!r} is no condition", fix="write loss=hinge, loss!=hinge, steps>=1000 or fid<20")
        key, sign, value = match[1], match[2], match[3].strip()
        if key in TIMES:
            moment = value.replace(" ", "T", 1)
            if TIME.fullmatch(moment) is None:
                told = f"{text!r} compares with {value!r}, which is no time"
                raise UsageError(told, fix="write 2026-11-26, or 2026-11-26 14:30; times are in UTC")
            return cls(key, sign, moment)
        wanted = literal(value)
        if sign in ORDER and (not _is_number(wanted) or math.isnan(wanted)):
            raise UsageError(f"{text!r} compares with {value!r}, which is no number")
        return cls(key, sign, wanted)

    def holds(self, value: object) -> bool:
        """Return whether a run's value is as wanted; a run that has none fulfils no condition."""
        if value is None:
            return False
        if self.key in TIMES:
            value = str(value)[: len(self.wanted)]
        if self.sign in ORDER:
            alike = _is_number(value) if _is_number(self.wanted) else isinstance(value, str)
            return alike and ORDER[self.sign](value, self.wanted)
        return self._equals(value) == (self.sign == "=")

    def _equals(self, value: object) -> bool:
        if self.key in SECTIONS:  # it may name several
            names = value if isinstance(value, list) else [value, *str(value).split(",")]
            return self.wanted in names or str(self.wanted) in names
        if isinstance(value, str):
            return value == str(self.wanted)
        return isinstance(value, bool) == isinstance(self.wanted, bool) and value == self.wanted


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

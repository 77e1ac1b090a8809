"""What a check is: a name, the kinds it is for, what it demands, and what helps where that is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from ganforge.components.spec import KINDS, Kind
from ganforge.testing.fixture import Subject

Examine = Callable[[Subject], None]


class Failed(Exception):  # noqa: N818 - a verdict, not an error
    """Say why a component does not keep what a check demands."""


class NotApplicable(Exception):  # noqa: N818 - as above
    """Say why a check has nothing to examine in a component."""


@dataclass(frozen=True, slots=True)
class Check:
    """Hold one demand of an interface. `examine` raises Failed, NotApplicable, or whatever the component raises."""

    name: str
    kinds: tuple[Kind, ...]
    demand: str
    fix: str
    examine: Examine


def define(checks: list[Check], name: str, *kinds: Kind, fix: str) -> Callable[[Examine], Examine]:
    """Add the decorated function to a module's checks; its docstring says what is demanded. No kinds means all."""

    def add(examine: Examine) -> Examine:
        demand = " ".join((examine.__doc__ or "").split())
        checks.append(Check(name, kinds or KINDS, demand, fix, examine))
        return examine

    return add


def require(condition: object, reason: str) -> None:
    """Raise Failed with the reason unless the condition holds."""
    if not condition:
        raise Failed(reason)


def does_not_apply(reason: str) -> NoReturn:
    """Raise NotApplicable."""
    raise NotApplicable(reason)

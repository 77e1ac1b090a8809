"""Checks of the conformance kit: one requirement of an interface each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from ganforge.components.spec import KINDS, Kind
from ganforge.testing.fixture import Fixture

Examine = Callable[[Fixture], None]


class CheckFailed(Exception):  # noqa: N818 - a verdict, not an error
    """Verdict that a component does not meet a requirement, with the reason."""


class CheckSkipped(Exception):  # noqa: N818 - as above
    """Verdict that a check does not apply to a component, with the reason."""


@dataclass(frozen=True, slots=True)
class Check:
    """One requirement of an interface.

    Attributes:
        name: Name, such as `loss-shape`.
        kinds: Kinds of components that it applies to.
        requirement: The requirement in one or two sentences.
        fix: How to meet it.
        examine: Raises CheckFailed, CheckSkipped, or any exception of the component.
        needs: Checks without which this one is meaningless; it is not run if one of them fails.
    """

    name: str
    kinds: tuple[Kind, ...]
    requirement: str
    fix: str
    examine: Examine
    needs: tuple[str, ...] = ()


def register_check(
    checks: list[Check], name: str, *kinds: Kind, fix: str, needs: tuple[str, ...] = ()
) -> Callable[[Examine], Examine]:
    """Add the decorated function to a module's checks; its docstring is the requirement. No kinds means all kinds."""

    def add(examine: Examine) -> Examine:
        requirement = " ".join((examine.__doc__ or "").split())
        checks.append(Check(name, kinds or KINDS, requirement, fix, examine, needs))
        return examine

    return add


def require(condition: object, reason: str) -> None:
    """Raise CheckFailed with the reason unless the condition holds."""
    if not condition:
        raise CheckFailed(reason)


def skip(reason: str) -> NoReturn:
    """Raise CheckSkipped."""
    raise CheckSkipped(reason)

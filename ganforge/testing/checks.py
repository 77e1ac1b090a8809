"""Checks of the conformance kit: one requirement of an interface each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from ganforge.components.spec import KINDS, Kind
from ganforge.testing.fixture import Fixture

Examine = Callable[[Fixture], None]
#: Checks without which no update is possible.
UPDATES = (
    "image-shape generator-output logits-shape discriminator-input term-shape inputs-unchanged reweight-shape "
    "logs-numbers same-shape latents-shape"
)


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


class Checks(list[Check]):
    """Checks of one module, in the order in which they run.

    Args:
        kinds: Kinds that they apply to.
        needs: Names of the checks that each of them needs, separated by spaces.
    """

    def __init__(self, *kinds: Kind, needs: str = "") -> None:
        self._kinds, self._needs = kinds, needs

    def add(self, fix: str, *, kinds: tuple[Kind, ...] = (), needs: str | None = None) -> Callable[[Examine], Examine]:
        """Add the decorated function: its name is that of the check, its docstring the requirement."""

        def register(examine: Examine) -> Examine:
            name = examine.__name__.replace("_", "-")
            requirement = " ".join((examine.__doc__ or "").split())
            names = self._needs if needs is None else needs
            self.append(Check(name, kinds or self._kinds or KINDS, requirement, fix, examine, tuple(names.split())))
            return examine

        return register


def require(condition: object, reason: str) -> None:
    """Raise CheckFailed with the reason unless the condition holds."""
    if not condition:
        raise CheckFailed(reason)


def skip(reason: str) -> NoReturn:
    """Raise CheckSkipped."""
    raise CheckSkipped(reason)

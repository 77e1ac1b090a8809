"""A plugin's names: that of its distribution, and those that follow from it."""

from __future__ import annotations

import keyword
import re
import sys
import unicodedata
from dataclasses import dataclass
from typing import Self

from ganforge.components.spec import RESERVED_NAMES
from ganforge.errors import UsageError

DISTRIBUTION = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
#: Lines of the project hold the name three times, and stay within 120 columns.
LONGEST = 32
#: Plugins are often called so; their components are not.
PREFIX = "ganforge-"
#: The project's package would hide what it uses itself.
USED = frozenset({"ganforge", "pydantic", "pytest", "tests", "torch"})


@dataclass(frozen=True, slots=True)
class Names:
    """Hold the names of a project that is called `distribution`, such as `ganforge-my-gan`.

    package: as it is imported, `ganforge_my_gan`. component: as it is typed, `my-gan`. prefix: what its classes' names
    begin with, `MyGan`.
    """

    distribution: str
    package: str
    component: str
    prefix: str

    @classmethod
    def of(cls, distribution: str) -> Self:
        """Return the names that follow from a distribution's. Raises UsageError, with the nearest that is possible."""
        reason = _objection(distribution)
        if reason is not None:
            raise UsageError(
                f"a plugin cannot be called {distribution!r}: {reason}; did you mean {nearest_name(distribution)!r}?"
            )
        short = distribution.removeprefix(PREFIX)
        component = short if DISTRIBUTION.fullmatch(short) and short not in RESERVED_NAMES else distribution
        prefix = "".join(word.capitalize() for word in component.split("-"))
        return cls(distribution, _package(distribution), component, prefix)


def nearest_name(text: str) -> str:
    """Return the possible name that is nearest to a text; a possible one itself."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", plain)  # MyGan
    name = re.sub(r"[^a-z0-9]+", "-", apart.lower()).strip("-")
    if not name[:1].isalpha():
        name = f"my-{name or 'gan'}"
    name = name[:LONGEST].rstrip("-")
    return name if _objection(name) is None else f"{name[: LONGEST - 4]}-gan"


def _package(distribution: str) -> str:
    return distribution.replace("-", "_")


def _objection(name: str) -> str | None:
    """Say why a distribution cannot have a name, or return None where it can."""
    package = _package(name)
    shape = "that is not lower-case letters and digits, joined by single dashes, with a letter first"
    objections = (
        (DISTRIBUTION.fullmatch(name) is None, shape),
        (len(name) > LONGEST, f"it has {len(name)} characters, and {LONGEST} are the most"),
        (keyword.iskeyword(package), "it is a word of Python itself"),
        (package in sys.stdlib_module_names, f"it would hide Python's own module {package}"),
        (name in USED, f"it would hide the {package} that it uses itself"),
        (name in RESERVED_NAMES, "it is a word of the configuration"),
    )
    return next((reason for holds, reason in objections if holds), None)

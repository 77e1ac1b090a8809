"""Names of a plugin: its distribution's, and those derived from it."""

from __future__ import annotations

import keyword
import re
import sys
import unicodedata
from dataclasses import dataclass
from typing import Self

from ganforge.components.spec import RESERVED_BY_KIND, RESERVED_NAMES
from ganforge.errors import UsageError

DISTRIBUTION = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
#: Limit of a name, since lines of the project hold it three times within 120 columns.
MAX_LENGTH = 32
#: Usual prefix of plugins, which their components do not have.
PREFIX = "ganforge-"
#: Packages that the project uses, which its own package would hide.
USED = frozenset({"ganforge", "pydantic", "pytest", "tests", "torch"})
#: Names that a component of some kind cannot have.
RESERVED = RESERVED_NAMES.union(*RESERVED_BY_KIND.values())


@dataclass(frozen=True, slots=True)
class Names:
    """Names of a project.

    Attributes:
        distribution: Name of the distribution, such as `ganforge-my-gan`.
        package: Name of the package, `ganforge_my_gan`.
        component: Name of its components, `my-gan`.
        prefix: Prefix of its classes, `MyGan`.
    """

    distribution: str
    package: str
    component: str
    prefix: str

    @classmethod
    def of(cls, distribution: str) -> Self:
        """Return the names derived from a distribution's. Raises UsageError, with the nearest valid name."""
        reason = _objection(distribution)
        if reason is not None:
            raise UsageError(
                f"invalid name {distribution!r} of a plugin: {reason}; did you mean {nearest_name(distribution)!r}?"
            )
        short = distribution.removeprefix(PREFIX)
        component = short if DISTRIBUTION.fullmatch(short) and short not in RESERVED else distribution
        prefix = "".join(part.capitalize() for part in component.split("-"))
        return cls(distribution, _package(distribution), component, prefix)


def nearest_name(text: str) -> str:
    """Return the valid name that is nearest to a text."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", plain)  # MyGan
    name = re.sub(r"[^a-z0-9]+", "-", apart.lower()).strip("-")
    if not name[:1].isalpha():
        name = f"my-{name or 'gan'}"
    name = name[:MAX_LENGTH].rstrip("-")
    return name if _objection(name) is None else f"{name[: MAX_LENGTH - 4]}-gan"


def _package(distribution: str) -> str:
    return distribution.replace("-", "_")


def _objection(name: str) -> str | None:
    """Return the reason why a distribution's name is invalid, or None."""
    package = _package(name)
    shape = "it must be lower-case letters and digits, joined by single dashes, with a letter first"
    objections = (
        (DISTRIBUTION.fullmatch(name) is None, shape),
        (len(name) > MAX_LENGTH, f"it has {len(name)} characters; the maximum is {MAX_LENGTH}"),
        (keyword.iskeyword(package), "it is a keyword of Python"),
        (package in sys.stdlib_module_names, f"it would hide the standard module {package}"),
        (name in USED, f"it would hide {package}, which it uses"),
        (name in RESERVED, "it is a word of the configuration"),
    )
    return next((reason for holds, reason in objections if holds), None)

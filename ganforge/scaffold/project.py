"""Project of a plugin: its names, the texts of its files, and the folder that they are written to."""

from __future__ import annotations

import keyword
import re
import sys
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Self

from ganforge.components.spec import KINDS, RESERVED_BY_KIND, RESERVED_NAMES, Kind
from ganforge.errors import UsageError
from ganforge.scaffold.parts import EVALUATED, PARTS, SCORING
from ganforge.utils.files import error_reason

#: Files of a project by template; each kind adds a module.
FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "gitignore": ".gitignore",
    "__init__.py": "$package/__init__.py",
    "test_conformance.py": "tests/test_conformance.py",
}
MODULE = "$package/$kind.py"
CONTINUED = " \\\n    "
README_COLUMNS = 110

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
    """Names of a project."""

    distribution: str  # ganforge-my-gan
    package: str  # ganforge_my_gan
    component: str  # my-gan
    prefix: str  # of its classes, MyGan

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


@dataclass(frozen=True, slots=True)
class Project:
    """Project of a plugin: its names, and the kinds of its components in the order of `KINDS`."""

    names: Names
    kinds: tuple[Kind, ...]

    @classmethod
    def of(cls, distribution: str, kinds: Iterable[Kind]) -> Project:
        """Return a project of a distribution's name and kinds. Raises UsageError for an invalid name."""
        chosen = frozenset(kinds)
        assert chosen, "a project has components"  # noqa: S101
        return cls(Names.of(distribution), tuple(kind for kind in KINDS if kind in chosen))

    @property
    def provided(self) -> str:
        """Its components in a sentence: `a generator and a loss`."""
        nouns = [PARTS[kind].noun for kind in self.kinds]
        return " and ".join(filter(None, (", ".join(nouns[:-1]), nouns[-1])))

    @property
    def run(self) -> tuple[str, ...]:
        """Flags of a run with all of its components, in groups by kind."""
        flags = [PARTS[kind].chosen if kind in self.kinds else PARTS[kind].otherwise for kind in KINDS]
        flags += [EVALUATED] if SCORING & {*self.kinds} else []
        return tuple(Template(text).substitute(component=self.names.component) for text in flags if text)

    def write(self, parent: Path) -> list[str]:
        """Write the project into a new folder of its name; return the sorted paths of its files within that.

        Raises:
            UsageError: The folder exists, or cannot be written.
        """
        texts = dict(self._texts())
        folder = parent / self.names.distribution
        try:
            folder.mkdir(parents=True)
            for place, text in texts.items():
                file = folder / place
                file.parent.mkdir(exist_ok=True)
                file.write_text(text, encoding="utf-8", newline="\n")
        except FileExistsError as error:
            raise UsageError(
                f"{error.filename or folder} already exists", fix="choose another name, or another folder with --out"
            ) from None
        except OSError as error:
            raise UsageError(f"{folder} cannot be written: {error_reason(error)}") from None
        return sorted(texts)

    def _texts(self) -> Iterator[tuple[str, str]]:
        """Yield the path and the text of each file."""
        values: dict[str, str] = asdict(self.names)
        texts = {**values, **self._shared_texts()}
        for template, place in FILES.items():
            yield Template(place).substitute(values), _filled(template, texts)
        for kind in self.kinds:
            yield Template(MODULE).substitute(values, kind=kind), _filled(f"{kind}.py", values)

    def _shared_texts(self) -> dict[str, str]:
        """Return the texts about all kinds."""
        component, package = self.names.component, self.names.package
        commands = {
            command: "\n".join(f"ganforge {command} {kind} {component}" for kind in self.kinds)
            for command in ("describe", "check")
        }
        rows = (f"| {kind} `{component}` | {PARTS[kind].summary} | `{package}/{kind}.py` |" for kind in self.kinds)
        return {
            **commands,
            "description": f"A ganforge plugin: {self.provided}.",
            "provided": self.provided,
            "trained_on": "its own images" if "dataset" in self.kinds else "a sample of MNIST that ships with ganforge",
            "table": "\n".join(rows),
            "notes": "\n".join(f"- {PARTS[kind].note}" for kind in self.kinds),
            "flags": textwrap.indent("\n".join(self.run), "    "),
            "run": CONTINUED.join(_lines(" ".join(("ganforge run", *self.run, "--epochs 2")))),
            "components": textwrap.indent("\n".join(map(self._component, self.kinds)), " " * 8),
        }

    def _component(self, kind: Kind) -> str:
        """Return the lines of the hook for one component."""
        part = PARTS[kind]
        fields = {
            "kind": kind,
            "name": self.names.component,
            "target": f"{self.names.package}.{kind}:{self.names.prefix}{kind.capitalize()}",
            "summary": part.summary,
            "paper": part.paper,
        }
        lines = (f'    {name}="{value}",' for name, value in fields.items() if value is not None)
        return "\n".join(("Component(", *lines, "),"))


def _filled(template: str, values: Mapping[str, str]) -> str:
    """Return a template with every placeholder replaced."""
    source = files("ganforge.scaffold") / "templates" / f"{template}.template"
    return Template(source.read_text(encoding="utf-8")).substitute(values)


def _lines(command: str) -> list[str]:
    """Return the lines of a command, broken between arguments."""
    return textwrap.wrap(command, README_COLUMNS, break_long_words=False, break_on_hyphens=False)

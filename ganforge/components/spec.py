"""Description of a component as data, available before anything heavy is imported."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal[
    "generator",
    "discriminator",
    "loss",
    "term",
    "augmentation",
    "latent",
    "optimizer",
    "schedule",
    "dataset",
    "features",
    "metric",
]

KINDS: tuple[Kind, ...] = get_args(Kind)

#: Flag and configuration table of a kind: `--gen dcgan`, `[gen] name = "dcgan"`.
Section = Literal["gen", "disc", "loss", "data", "latent", "term", "augment", "features", "metric"]
SECTIONS: dict[Section, Kind] = {
    "gen": "generator",
    "disc": "discriminator",
    "loss": "loss",
    "data": "dataset",
    "latent": "latent",
    "term": "term",
    "augment": "augmentation",
    "features": "features",
    "metric": "metric",
}

#: Flag of every kind. Optimizers are chosen for all phases or for one (`--optimizer.gen adam`), schedules for the
#: learning rate or for another option (`--schedules.term.r1.weight cosine`).
FLAGS: dict[str, Kind] = {str(section): kind for section, kind in SECTIONS.items()}
FLAGS |= {"optimizer": "optimizer", "optimizer.schedule": "schedule"}

#: Version of the interfaces that this ganforge offers. A component that needs a newer one is skipped.
API = 1

#: Name that users type. A dot would read as a path to an option, a slash as a distribution.
NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
#: Name of a phase that `optimized_in` adds; it becomes a key, a column and a file.
PHASE = re.compile(r"[a-z][a-z0-9_]*")

#: Characters that end a line or control a terminal.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

#: Words of the configuration that share a table with component names: `[gen] name = "dcgan"`, `[gen.dcgan]`.
RESERVED_NAMES = frozenset({"name", "names", "none"})
#: Words that share a table, or a mapping of modules, with the names of one kind.
RESERVED_BY_KIND: dict[str, frozenset[str]] = {
    "optimizer": frozenset({"all", "gen", "disc", "schedule"}),
    "term": frozenset({"generator", "discriminator", "loss", "latent"}),
    "augmentation": frozenset({"generator", "discriminator", "loss", "latent"}),
}
#: Words that no phase is named: the networks' own phases are `gen` and `disc`.
RESERVED_PHASES = frozenset({"all", "discriminator", "generator", "name", "names", "none", "options", "schedule"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """Description of one component as data, so that `list` and `--help` need not import torch.

    Attributes:
        kind: One of `KINDS`.
        name: Name that users type, such as `dcgan`.
        target: `"package.module:Class"`, imported when the component is described or built, or the class itself.
        summary: One line.
        paper: Citation or address.
        tags: Words to search by.
        requires: Distributions that must be installed, as in `pip install`.
        api: Version of the interfaces that it was written for.

    Raises:
        ValueError: A field is malformed.
    """

    kind: Kind
    name: str
    target: str | type
    summary: str = ""
    paper: str | None = None
    tags: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    api: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.api, int) or isinstance(self.api, bool) or self.api < 1:
            raise ValueError(f"api of {self.name!r} is not the number of an interface version, such as 1: {self.api!r}")
        if self.kind not in KINDS and self.api <= API:  # a newer interface may have more kinds; it is skipped whole
            raise ValueError(f"invalid component kind {self.kind!r} (available: {', '.join(KINDS)})")
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise ValueError(
                f"component name {self.name!r} is not lower-case letters and digits joined by single dashes"
            )
        if self.name in RESERVED_NAMES | RESERVED_BY_KIND.get(self.kind, frozenset()):
            raise ValueError(f"component name {self.name!r} is a word of the configuration; choose another")
        if not isinstance(self.target, type) and not (isinstance(self.target, str) and TARGET.fullmatch(self.target)):
            raise ValueError(f"target {self.target!r} of {self.name!r} is neither 'package.module:Class' nor a class")
        self._check_texts()

    def _check_texts(self) -> None:
        """Refuse texts that would fail later in a table, on a terminal, or in JSON."""
        for field in ("summary", "paper"):
            text = getattr(self, field)
            if not is_line(text) and not (field == "paper" and text is None):
                raise ValueError(f"{field} of {self.name!r} is not one line of text: {text!r}")
        for field in ("tags", "requires"):
            value = getattr(self, field)
            words = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else None
            if words is None or not all(map(is_line, words)):
                raise ValueError(f"{field} of {self.name!r} is not a sequence of words: {value!r}")
            object.__setattr__(self, field, words)

    @property
    def target_text(self) -> str:
        """Target as `"package.module:Class"`."""
        if isinstance(self.target, str):
            return self.target
        return f"{self.target.__module__}:{self.target.__qualname__}"


def is_line(text: object) -> bool:
    """Return whether a value is text of one line."""
    return isinstance(text, str) and not CONTROL.search(text)

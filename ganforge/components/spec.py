"""What a plugin says about a component before anything heavy is imported."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["generator", "discriminator", "loss", "dataset", "penalty", "features", "metric", "augmentation"]

KINDS: tuple[Kind, ...] = get_args(Kind)

#: What a kind is called in flags and in configuration: `--gen dcgan`, `[gen] name = "dcgan"`.
Section = Literal["gen", "disc", "loss", "data", "penalty", "augment", "features", "metric"]
SECTIONS: dict[Section, Kind] = {
    "gen": "generator",
    "disc": "discriminator",
    "loss": "loss",
    "data": "dataset",
    "penalty": "penalty",
    "augment": "augmentation",
    "features": "features",
    "metric": "metric",
}

#: The version of the interfaces that this ganforge offers. A component that needs a newer one is set aside.
API = 1

#: `name` is what a person types. A dot would read as a path to an option, a slash as a distribution.
NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")

#: What ends a line or commands a terminal.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

#: Words of the configuration that share a table with component names: `[gen] name = "dcgan"`, `[gen.dcgan]`.
RESERVED_NAMES = frozenset({"name", "names"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """Describe one component as data, so that `list` and `--help` know it without importing torch.

    kind: one of `KINDS`. name: what a person types, such as `dcgan`. target: "package.module:Class", imported only
    when the component is described or built, or the class itself. summary: one line. paper: a citation or an address.
    tags: words to search by. requires: distributions that must be installed, as in `pip install`. api: the interface
    version it was written for. Raises ValueError where a field is malformed.
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
        if self.kind not in KINDS and self.api <= API:  # a newer interface may have more kinds; it is set aside whole
            raise ValueError(f"component kind {self.kind!r} is none of {', '.join(KINDS)}")
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise ValueError(
                f"component name {self.name!r} is not lower-case letters and digits joined by single dashes"
            )
        if self.name in RESERVED_NAMES:
            raise ValueError(f"component name {self.name!r} is a word of the configuration; choose another")
        if not isinstance(self.target, type) and not (isinstance(self.target, str) and TARGET.fullmatch(self.target)):
            raise ValueError(f"target {self.target!r} of {self.name!r} is neither 'package.module:Class' nor a class")
        self._check_texts()

    def _check_texts(self) -> None:
        """Refuse what would fail later, far from its author's line: in a table, on a terminal, in JSON."""
        for field in ("summary", "paper"):
            text = getattr(self, field)
            if not _is_line(text) and not (field == "paper" and text is None):
                raise ValueError(f"{field} of {self.name!r} is not one line of text: {text!r}")
        for field in ("tags", "requires"):
            given = getattr(self, field)
            words = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else None
            if words is None or not all(map(_is_line, words)):
                raise ValueError(f"{field} of {self.name!r} is not a sequence of words: {given!r}")
            object.__setattr__(self, field, words)

    @property
    def target_text(self) -> str:
        """The target as "package.module:Class", whether it was given as text or as a class."""
        if isinstance(self.target, str):
            return self.target
        return f"{self.target.__module__}:{self.target.__qualname__}"


def _is_line(text: object) -> bool:
    return isinstance(text, str) and not CONTROL.search(text)

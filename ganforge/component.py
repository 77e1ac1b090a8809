"""What a plugin says about a component before anything heavy is imported."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["generator", "discriminator", "loss", "dataset", "penalty", "metric", "augmentation"]

KINDS: tuple[Kind, ...] = get_args(Kind)

#: The version of the interfaces that this ganforge offers. A component that needs a newer one is set aside.
API = 1

#: `name` is what a person types. A dot would read as a path to an option, a slash as a distribution.
NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")

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
        if self.kind not in KINDS:
            raise ValueError(f"component kind {self.kind!r} is none of {', '.join(KINDS)}")
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name) or self.name in RESERVED_NAMES:
            raise ValueError(
                f"component name {self.name!r} is not lower-case letters and digits joined by single dashes"
            )
        if not isinstance(self.target, type) and not (isinstance(self.target, str) and TARGET.fullmatch(self.target)):
            raise ValueError(f"target {self.target!r} of {self.name!r} is neither 'package.module:Class' nor a class")
        for field in ("tags", "requires"):
            words = getattr(self, field)
            if isinstance(words, str) or not all(isinstance(word, str) for word in words):
                raise ValueError(f"{field} of {self.name!r} is not a sequence of words: {words!r}")
            object.__setattr__(self, field, tuple(words))

    @property
    def target_text(self) -> str:
        """The target as "package.module:Class", whether it was given as text or as a class."""
        if isinstance(self.target, str):
            return self.target
        return f"{self.target.__module__}:{self.target.__qualname__}"

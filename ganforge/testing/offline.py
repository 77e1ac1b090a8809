"""What a component that reads data or weights must keep where there is no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from ganforge.components.spec import Kind
from ganforge.errors import DataError
from ganforge.testing.checks import Check, define, require
from ganforge.testing.fixture import SHAPED, Subject
from ganforge.testing.sandbox import without_network

CHECKS: list[Check] = []
READING: tuple[Kind, ...] = ("dataset", "features")


def offline(subject: Subject, options: dict[str, Any], *, load: bool) -> dict[str, Any]:
    """Describe a subject, and read what it reads where asked for, in a process without a network or any files."""
    image = subject.image if subject.kind in SHAPED else None
    return without_network(subject.entry, options, load=load, image=image)


@define(CHECKS, "no-network", *READING, fix="ask the network where data or weights are read, never before")
def _no_network(subject: Subject) -> None:
    """Importing and describing it, and building a data set, asks for no network."""
    found = offline(subject, subject.options.model_dump(mode="json"), load=False)
    require(not found["asked"], f"it wanted to reach {', '.join(found['asked'][:2])}")
    require(found["error"] is None, f"without a network it raises {found['error']}: {found['message']}")


@define(
    CHECKS, "missing-data", *READING, fix="raise ganforge.errors.DataError(message, fix=…) that says where to put it"
)
def _missing_data(subject: Subject) -> None:
    """Where its data or weights are missing, and there is no network, it says what to do; with its own, it works."""
    options = subject.options.model_dump(mode="json")
    for name, item in type(subject.options).model_fields.items():
        if Path in (item.annotation, *get_args(item.annotation)):
            options[name] = "."  # the process works in an empty folder
    found = offline(subject, options, load=True)
    if found["error"] is None:
        return
    reason = f"without its data it raises {found['error']}: {found['message'][:200]}"
    require(found["error"] == DataError.__name__, f"{reason}; a DataError is needed")
    require(found["fix"], f"{reason}; it must say how to fix it")

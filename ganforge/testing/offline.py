"""Checks of components that read data or weights, without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from ganforge.errors import DataError
from ganforge.testing.checks import Checks, require
from ganforge.testing.fixture import Fixture
from ganforge.testing.sandbox import Request, without_network

checks = Checks("dataset", "features", needs="builds")


def offline(fixture: Fixture, *, load: bool) -> dict[str, Any]:
    """Describe a component, or read its data or weights from an empty folder, in a process without a network."""
    options = fixture.options.model_dump(mode="json")
    for name, item in type(fixture.options).model_fields.items():
        if load and Path in (item.annotation, *get_args(item.annotation)):
            options[name] = "."
    image = fixture.image if fixture.kind == "features" else None
    source = fixture.entry.source
    return without_network(Request(fixture.kind, fixture.entry.qualified_name, source.path, options, image, load))


@checks.add("connect to the network where data or weights are read, not before")
def no_network(fixture: Fixture) -> None:
    """Importing and describing it, and building a dataset, does not connect to a network."""
    result = offline(fixture, load=False)
    require(not result["addresses"], f"it connects to {', '.join(result['addresses'][:2])}")
    require(result["error"] is None, f"without a network it raises {result['error']}: {result['message']}")


@checks.add("raise ganforge.errors.DataError(message, fix=…) with the place where the user puts it")
def missing_data(fixture: Fixture) -> None:
    """If its data or weights are missing, and there is no network, it raises a DataError with a fix."""
    result = offline(fixture, load=True)
    if result["error"] is not None:
        reason = f"without its data it raises {result['error']}: {result['message'][:200]}"
        require(result["error"] == DataError.__name__, f"{reason}; a DataError is needed")
        require(result["fix"], f"{reason}; a fix is required")

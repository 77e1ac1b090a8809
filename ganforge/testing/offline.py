"""Checks of components that read data or weights, without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from ganforge.components.spec import Kind
from ganforge.errors import DataError
from ganforge.testing.checks import Check, register_check, require
from ganforge.testing.common import BUILDS
from ganforge.testing.fixture import Fixture
from ganforge.testing.sandbox import without_network

CHECKS: list[Check] = []
READING: tuple[Kind, ...] = ("dataset", "features")


def offline(fixture: Fixture, options: dict[str, Any], *, load: bool) -> dict[str, Any]:
    """Describe a component, and read its data or weights if requested, in a process without network and files."""
    return without_network(fixture.entry, options, load=load, image=fixture.image if fixture.shaped else None)


@register_check(
    CHECKS,
    "no-network",
    *READING,
    fix="connect to the network where data or weights are read, not before",
    needs=(BUILDS,),
)
def _no_network(fixture: Fixture) -> None:
    """Importing and describing it, and building a dataset, does not connect to a network."""
    result = offline(fixture, fixture.options.model_dump(mode="json"), load=False)
    require(not result["addresses"], f"it connects to {', '.join(result['addresses'][:2])}")
    require(result["error"] is None, f"without a network it raises {result['error']}: {result['message']}")


@register_check(
    CHECKS,
    "missing-data",
    *READING,
    fix="raise ganforge.errors.DataError(message, fix=…) with the place where the user puts it",
    needs=(BUILDS,),
)
def _missing_data(fixture: Fixture) -> None:
    """If its data or weights are missing, and there is no network, it raises a DataError with a fix."""
    options = fixture.options.model_dump(mode="json")
    for name, item in type(fixture.options).model_fields.items():
        if Path in (item.annotation, *get_args(item.annotation)):
            options[name] = "."  # the process works in an empty folder
    result = offline(fixture, options, load=True)
    if result["error"] is None:
        return
    reason = f"without its data it raises {result['error']}: {result['message'][:200]}"
    require(result["error"] == DataError.__name__, f"{reason}; a DataError is needed")
    require(result["fix"], f"{reason}; a fix is required")

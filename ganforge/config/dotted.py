"""Dotted keys and TOML values of settings. Imports no models."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import date, time
from typing import Any

#: Keys of a section's table that name its components.
COMPONENT_NAMES = frozenset({"name", "names"})

#: Names that users try, and the right ones.
RENAMED = {"penalty": "term"}

#: Word for None, which TOML does not have.
NOTHING = "none"


def literal(text: str) -> Any:  # noqa: ANN401 - a TOML literal has any of TOML's types
    """Return the value of a TOML literal, or the text itself if it is not one."""
    try:
        document = tomllib.loads(f"value = {text}")
        str(document)  # a hexadecimal number may have more digits than can be printed
    except (ValueError, RecursionError):  # not TOML, or more digits or brackets than can be read
        return text
    value = document.get("value", text)
    # A date, or a number in another form such as 2_024, may be a folder's name.
    is_name = isinstance(value, date | time) or (type(value) is int and str(value) != text)
    return text if len(document) > 1 or is_name else value


def flatten(document: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return a document's dotted keys and values, named as flags are.

    Options in a component's own table become those of the section: `gen.dcgan.base_channels` is `gen.base_channels`.
    """
    pairs: list[tuple[str, Any]] = []
    for key, value in document.items():
        if isinstance(value, Mapping):
            named = document.get("name") == key
            pairs += flatten(value, prefix if named else f"{prefix}{key}.")
        elif key not in COMPONENT_NAMES:
            pairs.append((f"{prefix}{key}", value))
        elif key == "name" and prefix.startswith(("optimizer.", "schedules.")):
            pairs.append((prefix.removesuffix("."), value))
    return pairs

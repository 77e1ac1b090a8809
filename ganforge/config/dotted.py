"""Settings as people write them: dotted keys, and values as TOML has them. Imports no models."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import date, time
from typing import Any

#: The keys of a section's table that name its components.
COMPONENT_NAMES = frozenset({"name", "names"})


def literal(text: str) -> Any:  # noqa: ANN401 - a TOML literal has any of TOML's types
    """Return a TOML literal's value, and any other text as it stands."""
    try:
        value = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # no TOML, or more digits or brackets than can be read
        return text
    found = value.get("value", text)
    return text if len(value) > 1 or isinstance(found, date | time) else found  # a date may be a folder's name


def flatten(document: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return a document's dotted keys and values, as options are called: a component's own table as its section's."""
    pairs: list[tuple[str, Any]] = []
    for key, value in document.items():
        if isinstance(value, Mapping):
            named = document.get("name") == key
            pairs += flatten(value, prefix if named else f"{prefix}{key}.")
        elif key not in COMPONENT_NAMES or prefix.startswith("optimizer."):
            pairs.append((f"{prefix}{key}", value))
    return pairs

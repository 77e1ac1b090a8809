"""A run's settings, each with where its value came from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from ganforge.components.spec import SECTIONS
from ganforge.config.dotted import flatten
from ganforge.report.record import table, text

DEFAULT = "default"


class Setting(NamedTuple):
    """Hold a setting's key, its value as it is written on the command line, and where it came from."""

    key: str
    value: str
    origin: str


def settings(document: Mapping[str, Any], manifest: Mapping[str, Any]) -> tuple[list[Setting], list[Setting]]:
    """Return the settings that somebody or something chose, components first, and those that are defaults.

    document: run.toml. manifest: run.json, whose `origins` has all values that are not defaults.
    """
    origins = table(manifest.get("origins"))
    components = [
        Setting(section, text(table(document.get(section)).get("name", _names(document, section))) or "none", "")
        for section in SECTIONS
        if section in document
    ]
    options = [Setting(key, _written(value), "") for key, value in sorted(flatten(document), key=lambda pair: pair[0])]
    known = [item._replace(origin=text(origins.get(item.key)) or DEFAULT) for item in [*components, *options]]
    return [item for item in known if item.origin != DEFAULT], [item for item in known if item.origin == DEFAULT]


def _names(document: Mapping[str, Any], section: str) -> str:
    names = table(document.get(section)).get("names")
    return ", ".join(map(str, names)) if isinstance(names, list) else ""


def _written(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)

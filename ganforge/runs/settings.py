"""Settings of runs as dotted keys, and differences between runs."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from ganforge.components.spec import SECTIONS
from ganforge.config.dotted import flatten

#: Setting that differs within a group of runs.
SEED = "seed"
FINGERPRINT = "fingerprint of the data"
SHORT_HASH = 12
#: Start of a section in the form that `write_document` writes; the tables of its components are part of it.
SECTION = re.compile(r"\n(?=\[\w+\])")
#: Delimiters of texts that may contain lines like the start of a section.
LONG_TEXTS = ('"""', "'''")

Settings = Mapping[str, Any]
#: Top-level keys and settings of a part of a document.
Part = tuple[frozenset[str], Settings]


def settings_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return run.toml as one level: `gen`, `term`, then `gen.base_channels`, `term.r1.weight`, `batch_size`."""
    tables = {section: document[section] for section in SECTIONS if isinstance(document.get(section), Mapping)}
    names = {section: table.get("name", table.get("names")) for section, table in tables.items()}
    return names | dict(flatten(document))


def settings_in(text: str) -> dict[str, Any]:
    """Return `settings_of` the text of a run.toml.

    Runs share most of their lines: each distinct part is parsed once, which is fifty times as fast for thousands of
    runs. A text with parts that cannot be parsed alone, such as a hand-written one, is parsed as a whole.

    Raises:
        TOMLDecodeError: The text is not TOML.
    """
    top, mark, rest = text.partition("\n[")
    return _merged((*map(_part, top.split("\n")), _sections(mark + rest))) or settings_of(tomllib.loads(text))


def _merged(parts: Iterable[Part | None]) -> dict[str, Any] | None:
    """Return the settings of parts without common keys, or None."""
    settings: dict[str, Any] = {}
    seen: set[str] = set()
    for part in parts:
        if part is None or not seen.isdisjoint(part[0]):
            return None
        seen |= part[0]
        settings |= part[1]
    return settings


@lru_cache(maxsize=1 << 14)
def _sections(text: str) -> Part | None:
    """Return all sections of a text that starts with the first one."""
    parts = [_part(part) for part in SECTION.split(text)]
    settings = _merged(parts)
    return None if settings is None else (frozenset().union(*(part[0] for part in parts if part)), settings)


@lru_cache(maxsize=1 << 16)
def _part(text: str) -> Part | None:
    """Return the keys and settings of a part, or None if it cannot be parsed alone."""
    head_alone = text.lstrip().startswith("[") and "\n" not in text
    if head_alone or any(mark in text for mark in LONG_TEXTS):
        return None
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None
    return frozenset(document), settings_of(document)


def provenance(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return the fingerprint of the data, and the version and hash of each plugin, from run.json."""
    settings = {}
    data, plugins = manifest.get("data"), manifest.get("plugins")
    if isinstance(data, dict) and data.get("fingerprint"):
        settings[FINGERPRINT] = str(data["fingerprint"])[:SHORT_HASH]
    for plugin in plugins if isinstance(plugins, list) else []:
        if isinstance(plugin, dict):
            parts = [plugin.get("version"), str(plugin.get("sha256") or "")[:SHORT_HASH]]
            settings[f"plugin {plugin.get('distribution')}"] = " ".join(str(part) for part in parts if part)
    return settings


def canonical(value: object) -> str:
    """Return a value as text that is equal for equal values only."""
    return json.dumps(value, sort_keys=True, default=str)


def differing(runs: Sequence[Settings]) -> list[str]:
    """Return the keys in which runs differ, except the seed, in the order of run.toml.

    An option of a component that only some runs use is returned if it differs among these runs. Otherwise the name of
    the component is enough.
    """
    keys = dict.fromkeys(key for run in runs for key in run)
    return [key for key in keys if key != SEED and _differs(key, runs)]


def _differs(key: str, runs: Sequence[Settings]) -> bool:
    present = [run for run in runs if key in run]
    if key == FINGERPRINT:  # other data always has another fingerprint
        return any(len(_values(key, same)) > 1 for same in _by_data(present))
    if len(_values(key, present)) > 1:
        return True
    if len(present) == len(runs) or key.startswith("plugin "):
        return False
    components = {_component(key, run) for run in present}
    return any(_component(key, run) in components for run in runs if key not in run)


def _values(key: str, runs: Iterable[Settings]) -> set[str]:
    return {canonical(run[key]) for run in runs}


def _by_data(runs: Iterable[Settings]) -> Iterable[list[Settings]]:
    groups: dict[str, list[Settings]] = {}
    for run in runs:
        data = {key: value for key, value in run.items() if key.partition(".")[0] == "data"}
        groups.setdefault(canonical(data), []).append(run)
    return groups.values()


def _component(key: str, run: Settings) -> str | None:
    """Return the component of an option in a run: `dcgan` of `gen.base_channels`; None for a setting of the run."""
    section, _, option = key.partition(".")
    if section in {"optimizer", "schedules"}:
        return canonical(run.get(key.rpartition(".")[0]))
    if not option or section not in SECTIONS:
        return None
    chosen, name = run.get(section), option.partition(".")[0]
    return canonical(name in chosen if isinstance(chosen, list) else chosen)


def format_setting(value: object) -> str:
    """Return the value of a setting as users write it, or an empty text if a run does not have it."""
    if value is None:
        return ""
    if isinstance(value, list):
        all_text = all(isinstance(item, str) for item in value)
        return ",".join(map(format_setting, value)) if all_text else canonical(value)
    return value if isinstance(value, str) else canonical(value)

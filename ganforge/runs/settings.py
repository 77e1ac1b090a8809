"""What decides a run's result, as dotted keys; and which of them tell runs apart."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from ganforge.components.spec import SECTIONS
from ganforge.config.dotted import flatten

#: What runs of one group differ in.
SEED = "seed"
FINGERPRINT = "fingerprint of the data"
SHORT_HASH = 12
#: Where a section begins in the form that `write_document` writes; the tables of its components are a part of it.
SECTION = re.compile(r"\n(?=\[\w+\])")
#: Within these, what looks like the beginning of a section is text.
LONG_TEXTS = ('"""', "'''")

Settings = Mapping[str, Any]
#: Keys of the highest level, and settings.
Part = tuple[frozenset[str], Settings]


def settings_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return run.toml as one level: `gen`, `penalty`, then `gen.base_channels`, `penalty.r1.weight`, `batch_size`."""
    tables = {section: document[section] for section in SECTIONS if isinstance(document.get(section), Mapping)}
    names = {section: table.get("name", table.get("names")) for section, table in tables.items()}
    return names | dict(flatten(document))


def settings_in(text: str) -> dict[str, Any]:
    """Return `settings_of` the text of a run.toml. Raises TOMLDecodeError.

    Of thousands of runs most have most of their lines in common: each part is read once, fifty times as fast as all of
    each run. A text whose parts say nothing alone, since somebody wrote it by hand, is read as a whole.
    """
    top, mark, rest = text.partition("\n[")
    return _merged((*map(_part, top.split("\n")), _sections(mark + rest))) or settings_of(tomllib.loads(text))


def _merged(parts: Iterable[Part | None]) -> dict[str, Any] | None:
    """Return the settings of parts that have no key in common, or None where they have, or one of them is none."""
    found: dict[str, Any] = {}
    seen: set[str] = set()
    for part in parts:
        if part is None or not seen.isdisjoint(part[0]):
            return None
        seen |= part[0]
        found |= part[1]
    return found


@lru_cache(maxsize=1 << 14)
def _sections(text: str) -> Part | None:
    """Return all sections of a text, which begins with the first of them."""
    parts = [_part(part) for part in SECTION.split(text)]
    found = _merged(parts)
    return None if found is None else (frozenset().union(*(part[0] for part in parts if part)), found)


@lru_cache(maxsize=1 << 16)
def _part(text: str) -> Part | None:
    """Return a part's keys of the highest level and its settings; None where it is no part."""
    head_alone = text.lstrip().startswith("[") and "\n" not in text
    if head_alone or any(mark in text for mark in LONG_TEXTS):
        return None
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None
    return frozenset(document), settings_of(document)


def provenance(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return what run.json adds: the data's fingerprint, and the version and hash of each plugin that was used."""
    found = {}
    data, plugins = manifest.get("data"), manifest.get("plugins")
    if isinstance(data, dict) and data.get("fingerprint"):
        found[FINGERPRINT] = str(data["fingerprint"])[:SHORT_HASH]
    for plugin in plugins if isinstance(plugins, list) else []:
        if isinstance(plugin, dict):
            words = [plugin.get("version"), str(plugin.get("sha256") or "")[:SHORT_HASH]]
            found[f"plugin {plugin.get('distribution')}"] = " ".join(str(word) for word in words if word)
    return found


def canonical(value: object) -> str:
    """Return a value as text that is equal for equal values only."""
    return json.dumps(value, sort_keys=True, default=str)


def differing(runs: Sequence[Settings]) -> list[str]:
    """Return the keys that tell runs apart, seeds aside, in the order of run.toml.

    An option of a component that not all runs use is among them where runs with it differ in it; else the component's
    name says as much.
    """
    keys = dict.fromkeys(key for run in runs for key in run)
    return [key for key in keys if key != SEED and _tells_apart(key, runs)]


def _tells_apart(key: str, runs: Sequence[Settings]) -> bool:
    having = [run for run in runs if key in run]
    if key == FINGERPRINT:  # other data has another one; that would not be worth a column
        return any(len(_values(key, same)) > 1 for same in _by_data(having))
    if len(_values(key, having)) > 1:
        return True
    if len(having) == len(runs) or key.startswith("plugin "):
        return False
    used = {_component(key, run) for run in having}
    return any(_component(key, run) in used for run in runs if key not in run)


def _values(key: str, runs: Iterable[Settings]) -> set[str]:
    return {canonical(run[key]) for run in runs}


def _by_data(runs: Iterable[Settings]) -> Iterable[list[Settings]]:
    found: dict[str, list[Settings]] = {}
    for run in runs:
        data = {key: value for key, value in run.items() if key.partition(".")[0] == "data"}
        found.setdefault(canonical(data), []).append(run)
    return found.values()


def _component(key: str, run: Settings) -> str | None:
    """Return what has this option in a run, or would: `dcgan` of `gen.base_channels`; None for a setting of the run."""
    section, _, option = key.partition(".")
    if section == "optimizer":
        return canonical(run.get(f"{key.rpartition('.')[0]}.name"))
    if not option or section not in SECTIONS:
        return None
    named, name = run.get(section), option.partition(".")[0]
    return canonical(name in named if isinstance(named, list) else named)


def in_words(value: object) -> str:
    """Return a setting's value as people write it; an empty text where a run has no such setting."""
    if value is None:
        return ""
    if isinstance(value, list):
        return ",".join(map(in_words, value)) if all(isinstance(item, str) for item in value) else canonical(value)
    return value if isinstance(value, str) else canonical(value)

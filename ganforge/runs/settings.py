"""Settings of runs as dotted keys, and differences between runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ganforge.components.spec import SECTIONS
from ganforge.config.dotted import flatten
from ganforge.schemas.manifest import Manifest

#: Settings that may differ within a group of runs: the seed, and the score at a run's end, which a sweep turns off.
FREE = frozenset({"seed", "evaluate"})
FINGERPRINT = "fingerprint of the data"
SHORT_HASH = 12

Settings = Mapping[str, Any]


def settings_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return run.toml as one level: `gen`, `term`, then `gen.base_channels`, `term.r1.weight`, `batch_size`."""
    tables = {section: document[section] for section in SECTIONS if isinstance(document.get(section), Mapping)}
    names = {section: table.get("name", table.get("names")) for section, table in tables.items()}
    settings = names | dict(flatten(document))
    if "init.source" in settings:  # a run without initial weights has `init`, too: none
        settings["init"] = settings.pop("init.source")
    return settings


def provenance(manifest: Manifest) -> dict[str, str]:
    """Return the fingerprint of the data, and the version and hash of each plugin, from run.json."""
    plugins = {
        f"plugin {plugin.distribution}": " ".join(filter(None, [plugin.version, (plugin.sha256 or "")[:SHORT_HASH]]))
        for plugin in manifest.plugins
    }
    return {FINGERPRINT: manifest.data.fingerprint[:SHORT_HASH]} | plugins


def canonical(value: object) -> str:
    """Return a value as text that is equal for equal values only."""
    return json.dumps(value, sort_keys=True, default=str)


def differing(runs: Sequence[Settings]) -> list[str]:
    """Return the keys in which runs differ, except those that are free within a group, in the order of run.toml.

    An option that only some runs have counts if it differs among these; otherwise the component's name is enough.
    """
    keys = dict.fromkeys(key for run in runs for key in run)
    return [key for key in keys if key not in FREE and _differs(key, runs)]


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
    if section in {"optimizer", "schedules", "init"}:
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

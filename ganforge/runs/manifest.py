"""Manifest of a run (run.json): initial content, dataset record, checks on resume."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ganforge.components import DatasetInfo
from ganforge.config import SECTIONS
from ganforge.config.resolved import ResolvedConfig
from ganforge.errors import RunDirectoryError
from ganforge.plugins.registry import Registry
from ganforge.runs.provenance import command, git_commit, hardware, versions
from ganforge.runs.setup import Prepared
from ganforge.training.callbacks import Callback
from ganforge.training.run_directory import RunDirectory, now

#: Packages whose versions a resumed run needs for the same bits.
EXACT_PACKAGES = ("torch", "python", "ganforge")
_DATASET_RECORD = TypeAdapter(DatasetInfo)


def first_manifest(prepared: Prepared) -> dict[str, Any]:
    """Return the content of run.json at the start of a run."""
    resolved = prepared.resolved
    return {
        "status": "running",
        "command": command(),
        "created": now(),
        "components": _component_names(resolved),
        "qualified": {
            key: [item.entry.qualified_name for item in items] for key, items in resolved.components().items()
        },
        "seed": resolved.experiment.seed,
        "device": str(prepared.device),
        "precision": prepared.precision,
        "data": dataset_record(prepared.gan.info, resolved.experiment.data.name),
        "plugins": sources_used(prepared.registry, resolved),
        "origins": resolved.origins,
        "versions": versions(),
        "hardware": hardware(prepared.device),
        "git_commit": git_commit(Path.cwd()),
        "summary": {},
    }


def _component_names(resolved: ResolvedConfig) -> dict[str, str]:
    names = {section: ",".join(item.entry.component.name for item in resolved.chosen[section]) for section in SECTIONS}
    return {section: name for section, name in names.items() if name}


def dataset_record(info: DatasetInfo, name: str) -> dict[str, Any]:
    """Return the record of a dataset for run.json; `name` is the component's name in the configuration."""
    record: dict[str, Any] = _DATASET_RECORD.dump_python(dataclasses.replace(info, name=name), mode="json")
    return record


def read_dataset_record(manifest: Mapping[str, Any], source: Path) -> DatasetInfo:
    """Return the dataset's metadata in run.json, with the file's path for messages. Raises RunDirectoryError."""
    try:
        info = _DATASET_RECORD.validate_python(manifest.get("data"))
    except ValidationError:
        info = None
    if info is None or min(info.image.shape) < 1:
        raise RunDirectoryError(f"{source} is damaged: the record of the dataset (data) is missing or invalid")
    return info


def check_same(run: RunDirectory, manifest: dict[str, Any], prepared: Prepared, callback: Callback) -> list[str]:
    """Return and report the changes since the start that break exact resumption.

    Raises:
        RunDirectoryError: The data has changed.
    """
    data, info = manifest.get("data") or {}, prepared.gan.info
    if data.get("fingerprint") != info.fingerprint:
        raise RunDirectoryError(
            f"{run.path} was trained on other data: {data.get('source') or data.get('name')} "
            f"(fingerprint {str(data.get('fingerprint'))[:12]}); here is {info.source or info.name} "
            f"({info.fingerprint[:12]})",
            fix="provide the original data, or start a new run",
        )
    current = versions()
    changed = [
        f"{name} {was} → {current[name]}"
        for name, was in (manifest.get("versions") or {}).items()
        if name in EXACT_PACKAGES and was != current.get(name)
    ]
    recorded, machine = manifest.get("hardware") or {}, hardware(prepared.device)
    if manifest.get("device") != str(prepared.device):
        changed.append(f"device {manifest.get('device')} → {prepared.device}")
    changed += [
        f"{key} {recorded.get(key)} → {machine[key]}"
        for key in ("processor", "threads")
        if recorded.get(key) != machine[key]
    ]
    plugins = {plugin["distribution"]: plugin for plugin in manifest.get("plugins") or []}
    changed += [
        f"plugin {plugin['distribution']}"
        for plugin in sources_used(prepared.registry, prepared.resolved)
        if any(plugins.get(plugin["distribution"], {}).get(key) != plugin[key] for key in ("sha256", "version"))
    ]
    if changed:
        callback.on_message(f"changed since this run started: {', '.join(changed)}; the results may have other bits")
    return changed


def sources_used(registry: Registry, resolved: ResolvedConfig) -> list[dict[str, Any]]:
    """Return the provenance of all plugins of a run: version, and path and SHA-256 of local ones."""
    used = {item.entry.source for items in resolved.components().values() for item in items} | set(
        registry.plugins.listeners
    )
    return [
        {
            "distribution": source.distribution,
            "version": source.version,
            "path": None if source.path is None else str(source.path),
            "sha256": source.sha256,
        }
        for source in sorted(used, key=str)
    ]

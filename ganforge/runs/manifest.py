"""run.json: what it says when a run starts, and whether a run that goes on still agrees with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ganforge.config import SECTIONS
from ganforge.config.resolved import ResolvedConfig
from ganforge.errors import RunDirectoryError
from ganforge.plugins.registry import Registry
from ganforge.runs.provenance import command, git_commit, hardware, versions
from ganforge.runs.setup import Prepared
from ganforge.training.callbacks import Observer
from ganforge.training.run_directory import RunDirectory, now

#: What must be the same for a resumed run to be exact, and is only said where it is not.
EXACTNESS = ("torch", "python", "ganforge")


def first_manifest(prepared: Prepared) -> dict[str, Any]:
    """Return run.json as it is when a run starts."""
    resolved, info = prepared.resolved, prepared.gan.info
    return {
        "status": "running",
        "command": command(),
        "created": now(),
        "components": _component_names(resolved),
        "qualified": {
            section: [item.entry.qualified_name for item in items] for section, items in resolved.chosen.items()
        },
        "seed": resolved.experiment.seed,
        "device": str(prepared.device),
        "precision": prepared.precision,
        "data": {
            "name": resolved.experiment.data.name,
            "fingerprint": info.fingerprint,
            "sizes": info.sizes,
            "image": str(info.image),
            "classes": info.class_names,
            "source": info.source,
        },
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


def check_same(run: RunDirectory, manifest: dict[str, Any], prepared: Prepared, observer: Observer) -> list[str]:
    """Refuse other data; return, and say, what else has changed that exactness depends on. Raises RunDirectoryError."""
    before, info = manifest.get("data") or {}, prepared.gan.info
    if before.get("fingerprint") != info.fingerprint:
        raise RunDirectoryError(
            f"{run.path} was trained on other data: {before.get('source') or before.get('name')} "
            f"(fingerprint {str(before.get('fingerprint'))[:12]}); here is {info.source or info.name} "
            f"({info.fingerprint[:12]})",
            fix="give it the data it had, or start a new run",
        )
    current = versions()
    changed = [
        f"{name} {was} → {current[name]}"
        for name, was in (manifest.get("versions") or {}).items()
        if name in EXACTNESS and was != current.get(name)
    ]
    was, here = manifest.get("hardware") or {}, hardware(prepared.device)
    if manifest.get("device") != str(prepared.device):
        changed.append(f"device {manifest.get('device')} → {prepared.device}")
    changed += [f"{key} {was.get(key)} → {here[key]}" for key in ("processor", "threads") if was.get(key) != here[key]]
    plugins = sources_used(prepared.registry, prepared.resolved)
    recorded = {plugin["distribution"]: plugin for plugin in manifest.get("plugins") or []}
    changed += [
        f"plugin {plugin['distribution']}"
        for plugin in plugins
        if recorded.get(plugin["distribution"], {}).get("sha256") != plugin["sha256"]
        or recorded.get(plugin["distribution"], {}).get("version") != plugin["version"]
    ]
    if changed:
        observer.noticed(f"changed since this run began: {', '.join(changed)}; it may go on to other bits")
    return changed


def sources_used(registry: Registry, resolved: ResolvedConfig) -> list[dict[str, Any]]:
    """Return the provenance of every plugin that a run uses: its version, and for a local one its path and SHA-256."""
    used = {item.entry.source for items in resolved.chosen.values() for item in items} | set(registry.plugins.listeners)
    return [
        {
            "distribution": source.distribution,
            "version": source.version,
            "path": None if source.path is None else str(source.path),
            "sha256": source.sha256,
        }
        for source in sorted(used, key=str)
    ]

"""Manifest of a run (run.json): initial content, dataset record, checks on resume."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ganforge.config import SECTIONS
from ganforge.config.resolved import ResolvedConfig
from ganforge.errors import RunDirectoryError
from ganforge.plugins.registry import Registry
from ganforge.plugins.sources import Source
from ganforge.runs.provenance import command, git_commit, hardware, versions
from ganforge.runs.setup import Prepared
from ganforge.schemas.manifest import Manifest, PluginRecord
from ganforge.training.callbacks import Callback
from ganforge.training.run_directory import RunDirectory, now

#: Packages whose versions a resumed run needs for the same bits.
EXACT_PACKAGES = ("torch", "python", "ganforge")


def first_manifest(prepared: Prepared) -> Manifest:
    """Return the content of run.json at the start of a run."""
    resolved = prepared.resolved
    return Manifest(
        status="running",
        command=command(),
        created=now(),
        components={
            section: ",".join(item.entry.component.name for item in resolved.chosen[section])
            for section in SECTIONS
            if resolved.chosen[section]
        },
        qualified={key: [item.entry.qualified_name for item in items] for key, items in resolved.components().items()},
        seed=resolved.experiment.seed,
        device=str(prepared.device),
        precision=prepared.precision,
        data=dataclasses.replace(prepared.gan.info, name=resolved.experiment.data.name),
        plugins=plugins_used(prepared.registry, resolved),
        origins=resolved.origins,
        versions=versions(),
        hardware=hardware(prepared.device),
        git_commit=git_commit(Path.cwd()),
        init=prepared.init,
    )


def check_same(run: RunDirectory, manifest: Manifest, prepared: Prepared, callback: Callback) -> list[str]:
    """Return and report changes since the start that break exact resumption.

    Raises RunDirectoryError for other data.
    """
    if (difference := manifest.data_difference(prepared.gan.info)) is not None:
        raise RunDirectoryError(f"{run.path} {difference}", fix="provide the original data, or start a new run")
    current, machine = versions(), hardware(prepared.device)
    facts = [(name, manifest.versions.get(name), current[name]) for name in EXACT_PACKAGES]
    facts.append(("device", manifest.device, str(prepared.device)))
    facts += [(key, getattr(manifest.hardware, key), getattr(machine, key)) for key in ("processor", "threads")]
    changed = [f"{name} {before} → {after}" for name, before, after in facts if before != after]
    recorded = {plugin.distribution: (plugin.version, plugin.sha256) for plugin in manifest.plugins}
    changed += [
        f"plugin {plugin.distribution}"
        for plugin in plugins_used(prepared.registry, prepared.resolved)
        if recorded.get(plugin.distribution) != (plugin.version, plugin.sha256)
    ]
    if changed:
        callback.on_message(f"changed since this run started: {', '.join(changed)}; the results may have other bits")
    return changed


def component_sources(resolved: ResolvedConfig) -> set[Source]:
    """Return the sources of all components."""
    return {item.entry.source for items in resolved.components().values() for item in items}


def plugins_used(registry: Registry, resolved: ResolvedConfig) -> list[PluginRecord]:
    """Return the provenance of all plugins of a run: version, and path and SHA-256 of local ones."""
    used = component_sources(resolved) | set(registry.plugins.listeners)
    return [
        PluginRecord(
            distribution=source.distribution,
            version=source.version,
            path=source.distribution if source.text is not None else None if source.path is None else str(source.path),
            sha256=source.sha256,
        )
        for source in sorted(used, key=str)
    ]

"""Find a run's components again, from its own experiment and what run.json says of where they came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ganforge.config import SECTIONS, ComponentRef, Experiment, Layer, Section, to_document
from ganforge.config.experiment import SEVERAL
from ganforge.config.resolve import Resolver, validate_options
from ganforge.config.resolved import ResolvedComponent, ResolvedConfig
from ganforge.errors import UnknownComponentError
from ganforge.plugins.registry import Registry

#: What an evaluation may choose anew for a run that was trained.
SCORING: tuple[Section, ...] = ("features", "metric")


def reload(
    experiment: Experiment,
    registry: Registry,
    manifest: Mapping[str, Any],
    sections: Iterable[Section] = tuple(SECTIONS),
) -> ResolvedConfig:
    """Find a run's components again, by its experiment and what run.json says of where they came from.

    A component is looked for under its distribution first: a plugin that was installed since, and gives the same name,
    is not mistaken for it. Raises UnknownComponentError, which names the local plugins that are needed, PluginError or
    ConfigError.
    """
    chosen: dict[Section, tuple[ResolvedComponent, ...]] = {}
    for section in sections:
        kind = SECTIONS[section]
        selected = getattr(experiment, section)
        items = []
        selections = selected if section in SEVERAL else (selected,)
        for selection, name in zip(selections, _recorded(manifest, section, selections), strict=True):
            try:
                entry = registry.get(kind, name) or registry.find(kind, selection.name)
            except UnknownComponentError as error:
                raise UnknownComponentError(error.message, fix=_with_local(manifest) or error.fix) from None
            cls = registry.load(entry)
            items.append(ResolvedComponent(entry, cls, validate_options(section, entry, cls, selection.options, {})))
        chosen[section] = tuple(items)
    return ResolvedConfig(experiment, chosen)


def _recorded(manifest: Mapping[str, Any], section: Section, selections: Sequence[ComponentRef]) -> list[str]:
    """Return the qualified names that run.json has for a section's components; their own where it has no such ones."""
    names = [selection.name for selection in selections]
    qualified = manifest.get("qualified")
    found = qualified.get(section) if isinstance(qualified, Mapping) else None
    if not isinstance(found, list) or [_short(name) for name in found] != [_short(name) for name in names]:
        return names
    return found


def _short(name: object) -> str:
    return str(name).rpartition("/")[2]


def _with_local(manifest: Mapping[str, Any]) -> str | None:
    """Say which local plugins a run needs, or None where it used none."""
    plugins = manifest.get("plugins")
    told = [plugin for plugin in plugins if isinstance(plugin, Mapping)] if isinstance(plugins, list) else []
    local = " ".join(f"--plugin {plugin['path']}" for plugin in told if plugin.get("path"))
    return f"this run used a local plugin: pass {local}" if local else None


def reload_for_scoring(
    experiment: Experiment, registry: Registry, manifest: Mapping[str, Any], layers: Sequence[Layer]
) -> ResolvedConfig:
    """Find a run's generator and data again, with the metrics and the features that `layers` name, lowest first.

    Options that the run has for them hold where the layers do not say otherwise. A run that is older than features has
    those that its data recommends. Raises as `reload` and `resolve` do.
    """
    kept = reload(experiment, registry, manifest, ("gen", "data"))
    document = to_document(experiment)
    told: dict[str, Any] = {key: document[key] for key in SCORING if key in experiment.model_fields_set}
    resolver = Resolver([Layer("the run", told, advisory=True), *layers], registry)
    if "features" not in told:
        data = kept.one("data")
        resolver.entries["data"], resolver.classes[data.entry] = (data.entry,), data.cls
        resolver.recommend(("data",))
    try:
        for section in SCORING:
            resolver.choose(section)
    except UnknownComponentError as error:
        raise UnknownComponentError(error.message, fix=_with_local(manifest) or error.fix) from None
    chosen = kept.chosen | {section: resolver.chosen(section) for section in SCORING}
    named = {section: tuple(resolver.selection(item) for item in chosen[section]) for section in SCORING}
    update: dict[str, Any] = {key: items if key in SEVERAL else items[0] for key, items in named.items()}
    resolver.check_unused(resolver.layers[1:], SCORING)
    return ResolvedConfig(experiment.model_copy(update=update), chosen, resolver.origins, resolver.notices)

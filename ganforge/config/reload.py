"""Components of a run, found again by its experiment and run.json."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ganforge.components.spec import Kind
from ganforge.config import SECTIONS, ComponentRef, Experiment, Layer, Section, to_document
from ganforge.config.choice import validate_options
from ganforge.config.references import SEVERAL
from ganforge.config.resolve import Resolver, ordered_phases, phases_of
from ganforge.config.resolved import ResolvedComponent, ResolvedConfig
from ganforge.errors import ConfigError, UnknownComponentError
from ganforge.plugins.registry import Registry
from ganforge.schemas.manifest import Manifest
from ganforge.utils.text import shell_command

#: Sections that an evaluation may choose again for a trained run.
SCORING: tuple[Section, ...] = ("features", "metric")
#: Options of a dataset that only state where it is.
LOCATIONS = ("path", "root")
#: Sections that sampling needs.
SAMPLING: tuple[Section, ...] = ("gen", "data", "latent")


def reload(
    experiment: Experiment,
    registry: Registry,
    manifest: Manifest | None,
    sections: Iterable[Section] = tuple(SECTIONS),
) -> ResolvedConfig:
    """Return a run's components, found by its experiment and run.json, or by the experiment alone.

    A component is searched under its distribution first, so that a plugin of the same name that was installed later is
    not mistaken for it. Optimizers, schedules and phases are found if all sections are requested.

    Raises:
        UnknownComponentError: A component is missing; the message names the local plugins that are needed.
        PluginError: A component cannot be loaded.
        ConfigError: Options no longer fit a component.
    """

    def find(key: str, kind: Kind, refs: Sequence[ComponentRef]) -> tuple[ResolvedComponent, ...]:
        """Return the components that a key of the configuration refers to."""
        items = []
        for ref, name in zip(refs, _recorded(manifest, key, refs), strict=True):
            try:
                entry = registry.get(kind, name) or registry.find(kind, ref.name)
            except UnknownComponentError as error:
                raise UnknownComponentError(error.message, fix=_with_local(manifest) or error.fix) from None
            cls = registry.load(entry)
            items.append(ResolvedComponent(entry, cls, validate_options(key, entry, cls.Options, ref.options, {})))
        return tuple(items)

    chosen: dict[Section, tuple[ResolvedComponent, ...]] = {}
    for section in sections:
        selected = getattr(experiment, section)
        chosen[section] = find(section, SECTIONS[section], selected if section in SEVERAL else (selected,))
    if len(chosen) < len(SECTIONS):
        return ResolvedConfig(experiment, chosen)
    optimizers = {
        phase: find(f"optimizer.{phase}", "optimizer", (ref,))[0] for phase, ref in experiment.optimizer.items()
    }
    schedules = {
        target: find(f"schedules.{target}", "schedule", (ref,))[0] for target, ref in experiment.schedules.items()
    }
    entries = {section: tuple(item.entry for item in items) for section, items in chosen.items()}
    classes = {item.entry: item.cls for items in chosen.values() for item in items}
    phases = ordered_phases(phases_of(entries, classes), experiment.phase_order, {})
    return ResolvedConfig(experiment, chosen, optimizers, schedules, phases)


def relocate(resolved: ResolvedConfig, options: Mapping[str, Any]) -> ResolvedConfig:
    """Return a run's configuration with data that has moved; its fingerprint remains to be compared.

    Args:
        resolved: Components, those of the data included.
        options: New values of `LOCATIONS`.

    Raises:
        ConfigError: An option does more than name the place of the data, or the dataset has no such option.
    """
    if not options:
        return resolved
    if others := sorted(options.keys() - set(LOCATIONS)):
        raise ConfigError(
            f"data.{others[0]} of a run cannot change", fix="data.path and data.root may, if the data has moved"
        )
    data = resolved.one("data")
    ref = resolved.experiment.data.model_copy(update={"options": {**resolved.experiment.data.options, **options}})
    moved = replace(data, options=validate_options("data", data.entry, data.cls.Options, ref.options, {}))
    experiment = resolved.experiment.model_copy(update={"data": ref})
    return replace(resolved, experiment=experiment, chosen=resolved.chosen | {"data": (moved,)})


def _recorded(manifest: Manifest | None, key: str, refs: Sequence[ComponentRef]) -> list[str]:
    """Return the qualified names that run.json has for a key's components, or their own if it has none."""
    names = [ref.name for ref in refs]
    recorded = [] if manifest is None else manifest.qualified.get(key, [])
    same = [name.rpartition("/")[2] for name in recorded] == [name.rpartition("/")[2] for name in names]
    return recorded if same else names


def _with_local(manifest: Manifest | None) -> str | None:
    """Return a hint about the local plugins that a run needs, or None if it used none."""
    local = [] if manifest is None else manifest.plugin_arguments
    return (
        f"this run used a local plugin: pass {shell_command(*local)}; in Python, plugins={local[1::2]}"
        if local
        else None
    )


def reload_for_scoring(
    experiment: Experiment, registry: Registry, manifest: Manifest, layers: Sequence[Layer]
) -> ResolvedConfig:
    """Return a run's generator, latents and data, with the metrics and features that `layers` name, lowest first.

    The run's options for them hold unless the layers override them. Raises as `reload` and `resolve` do.
    """
    kept = reload(experiment, registry, manifest, SAMPLING)
    document = to_document(experiment)
    of_run: dict[str, Any] = {key: document[key] for key in SCORING}
    resolver = Resolver([Layer("the run", of_run, advisory=True), *layers], registry)
    try:
        for section in SCORING:
            resolver.choose(section)
    except UnknownComponentError as error:
        raise UnknownComponentError(error.message, fix=_with_local(manifest) or error.fix) from None
    chosen = kept.chosen | {section: resolver.chosen(section) for section in SCORING}
    named = {section: tuple(resolver.selection(item) for item in chosen[section]) for section in SCORING}
    update: dict[str, Any] = {key: items if key in SEVERAL else items[0] for key, items in named.items()}
    resolver.check_unused(resolver.layers[1:], SCORING)
    return ResolvedConfig(
        experiment.model_copy(update=update), chosen, origins=resolver.origins, notices=resolver.notices
    )

"""Classes in place of names in an experiment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ganforge.components.spec import SECTIONS, Kind
from ganforge.config.experiment import Experiment
from ganforge.config.references import SEVERAL, SINGLE, ComponentRef
from ganforge.plugins.class_source import GivenClass, plugin_source
from ganforge.plugins.local import CLASSES_FILE
from ganforge.plugins.registry import Registry


def name_classes(experiments: Sequence[Experiment], registry: Registry) -> tuple[list[Experiment], Registry]:
    """Return experiments with names in place of classes, and a registry that has these.

    A class that a plugin provides gets its name there. Others become a plugin, whose source the run directory gets.

    Raises:
        UsageError: The source of a class, or something that it needs, cannot be saved.
        PluginError: The source cannot be loaded.
    """
    given: dict[GivenClass, None] = {}

    def collect(kind: Kind, ref: ComponentRef) -> ComponentRef:
        if ref.cls is not None and registry.entry_of(kind, ref.cls) is None:
            given[GivenClass(kind, ref.name, ref.cls)] = None
        return ref

    for experiment in experiments:
        _map_references(experiment, collect)
    if given:
        registry = registry.with_classes(plugin_source(tuple(given)))

    def named(kind: Kind, ref: ComponentRef) -> ComponentRef:
        if ref.cls is None:
            return ref
        entry = registry.entry_of(kind, ref.cls)
        name = f"{CLASSES_FILE}/{ref.name}" if entry is None else entry.qualified_name
        return ref.model_copy(update={"name": name, "cls": None})

    return [_map_references(experiment, named) for experiment in experiments], registry


def _map_references(experiment: Experiment, change: Callable[[Kind, ComponentRef], ComponentRef]) -> Experiment:
    """Return an experiment whose references were changed; settings that were not set stay so."""
    update: dict[str, Any] = {}
    for key in (key for key in Experiment.model_fields if key in experiment.model_fields_set):
        value = getattr(experiment, key)
        if key in SINGLE:
            update[key] = change(SECTIONS[key], value)
        elif key in SEVERAL:
            update[key] = tuple(change(SECTIONS[key], ref) for ref in value)
        elif key in {"optimizer", "schedules"}:
            kind: Kind = "optimizer" if key == "optimizer" else "schedule"
            references: Mapping[str, ComponentRef] = value
            update[key] = {target: change(kind, ref) for target, ref in references.items()}
    return experiment.model_copy(update=update)

"""Optimizers by phase: `optimizer.lr` sets an option in every phase, `optimizer.gen.lr` in one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ganforge.config import Layer
from ganforge.config.choice import Choice, choose_component, misplaced_option, unused_tables
from ganforge.config.layers import Settings, named_table
from ganforge.errors import ConfigError
from ganforge.plugins.registry import Entry, Registry
from ganforge.utils.suggest import did_you_mean

DEFAULT_OPTIMIZER = "adam"
#: Key of a table of optimizers for the schedule of the learning rate.
SCHEDULE = "schedule"


def choose_optimizers(
    layers: Sequence[Settings], phases: Sequence[str], registry: Registry
) -> dict[str, tuple[Choice, list[Layer]]]:
    """Return each phase's optimizer, and the settings for it.

    Raises ConfigError for a table of an unknown phase, and for an option that no optimizer has.
    """
    choices: dict[str, tuple[Choice, list[Layer]]] = {}
    for phase in phases:
        tables = [_phase_table(layer, phase, phases) for layer in layers]
        choice = choose_component(registry, "optimizer", f"optimizer.{phase}", tables, default=DEFAULT_OPTIMIZER)
        choices[phase] = (choice, tables)
    for index, layer in enumerate(layers):
        if not layer.advisory:
            current = [choice.entry for choice, _ in choices.values() if index >= choice.first]
            _check_shared(layer, phases, [entry for entry in current if entry is not None], registry)
    return choices


def _check_shared(layer: Settings, phases: Sequence[str], entries: Sequence[Entry], registry: Registry) -> None:
    """Refuse settings of every phase that belong to no phase and no optimizer."""
    options = {option for entry in entries for option in registry.load(entry).Options.model_fields}
    for key, value in layer.optimizer.items():
        option = key.replace("-", "_")
        if key in {"name", SCHEDULE, *phases} or (isinstance(value, Mapping) and registry.get("optimizer", key)):
            continue
        if isinstance(value, Mapping) and option not in options:
            raise ConfigError(
                f"optimizer.{key} ({layer.origin}): no such phase{did_you_mean(key, phases)}",
                fix=f"phases of this GAN: {', '.join(phases)}",
            )
        if not layer.loose and not isinstance(value, Mapping):
            name = entries[0].component.name if entries else DEFAULT_OPTIMIZER
            raise misplaced_option("optimizer", key, layer, name)
        if entries and option not in options:
            names = ", ".join(dict.fromkeys(entry.component.name for entry in entries))
            raise ConfigError(
                f"optimizer is {names}, which has no option {key!r} ({layer.origin})"
                f"{did_you_mean(key, {*options, *phases})}"
            )


def shared_and_own(layer: Settings, phase: str, phases: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a layer's settings of every phase's optimizer, and those of one phase."""
    shared = {key: value for key, value in layer.optimizer.items() if key not in phases}
    return shared, named_table(layer.optimizer.get(phase, {}), f"optimizer.{phase}", layer.origin)


def _phase_table(layer: Settings, phase: str, phases: Sequence[str]) -> Layer:
    values = _deep_merge(*shared_and_own(layer, phase, phases))
    values.pop(SCHEDULE, None)
    return layer.part(values)


def _deep_merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _deep_merge(merged[key], value) if both else value
    return merged


def unused_optimizers(layers: Iterable[Settings], choices: Mapping[str, Choice], registry: Registry) -> Iterator[str]:
    """Yield notices about tables of optimizers that no phase uses."""
    for layer in layers:
        if layer.advisory:
            continue
        used = [choice.entry for choice in choices.values()]
        yield from unused_tables(layer.part(layer.optimizer), "optimizer", "optimizer", used, registry)
        for phase, choice in choices.items():
            table = layer.optimizer.get(phase)
            if isinstance(table, Mapping):
                yield from unused_tables(layer.part(table), f"optimizer.{phase}", "optimizer", [choice.entry], registry)

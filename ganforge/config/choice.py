"""Choice of one component across layers of settings, for optimizers and schedules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from ganforge.components import ComponentOptions
from ganforge.components.spec import Kind
from ganforge.config import Layer
from ganforge.config.dotted import NOTHING
from ganforge.config.resolved import ResolvedComponent
from ganforge.errors import ConfigError
from ganforge.plugins.registry import Entry, Registry
from ganforge.utils.schema import validation_message
from ganforge.utils.suggest import did_you_mean


@dataclass(frozen=True, slots=True)
class Choice:
    """Component that a key names.

    Attributes:
        entry: The component, or None for "none".
        first: Index of the layer that last changed the component. Options of lower layers belong to the one before;
            they apply only if they stand in the component's own table.
        origin: Origin of the name, or None for the default.
    """

    entry: Entry | None
    first: int = 0
    origin: str | None = None


def choose_component(
    registry: Registry, kind: Kind, key: str, tables: Sequence[Layer], *, default: str | None
) -> Choice:
    """Return the component that the last table with a name chooses, lowest layer first.

    Without a default, "none" is permitted and chooses no component.
    """
    choice = Choice(None if default is None else registry.find(kind, default))
    for index, table in enumerate(tables):
        name = table.values.get("name")
        if name is None:
            continue
        if not isinstance(name, str):
            raise ConfigError(f"{key} = {name!r} ({table.origin}) is not the name of a component")
        entry = None if default is None and name == NOTHING else registry.find(kind, name)
        choice = Choice(entry, choice.first if entry == choice.entry else index, table.origin)
    return choice


def component_options(
    registry: Registry, key: str, choice: Choice, tables: Sequence[Layer], origins: dict[str, str]
) -> ResolvedComponent:
    """Return a chosen component with its options, and add their origins.

    Raises ConfigError for an option that is unknown, invalid, or misplaced.
    """
    assert choice.entry is not None, "only a chosen component has options"  # noqa: S101
    component = resolve_options(registry, key, choice.entry, _options(registry, key, choice, tables), origins)
    if choice.origin is not None:
        origins[key] = choice.origin
    return component


def _options(registry: Registry, key: str, choice: Choice, tables: Sequence[Layer]) -> Iterator[tuple[Layer, str, Any]]:
    """Yield the options of a chosen component; tables from the first on may have them outside of its own table."""
    assert choice.entry is not None  # noqa: S101 - as above
    fields = registry.load(choice.entry).Options.model_fields
    for index, table in enumerate(tables):
        options: dict[str, Any] = {}
        for name, value in table.values.items():
            named = registry.get(choice.entry.component.kind, name) if isinstance(value, Mapping) else None
            if named == choice.entry:
                options |= value
            elif name == "name" or named is not None:
                continue
            elif not (table.loose or table.advisory or isinstance(value, Mapping)):
                raise misplaced_option(key, name, table, choice.entry.component.name)
            elif index >= choice.first:
                options[name] = value
        for option, value in options.items():
            if option.replace("-", "_") not in fields and not table.advisory:
                raise ConfigError(
                    f"{key} is {registry.name_of(choice.entry)!r}, which has no option {option!r} ({table.origin})"
                    f"{did_you_mean(option, fields)}"
                )
            yield table, option, value


def unused_tables(
    layer: Layer, key: str, kind: Kind, used: Sequence[Entry | None], registry: Registry
) -> Iterator[str]:
    """Yield a notice for each component's table in a layer of a key's settings that has no use."""
    for name, value in layer.values.items():
        entry = registry.get(kind, name) if isinstance(value, Mapping) else None
        if entry is not None and entry not in used:
            names = ", ".join(dict.fromkeys(item.component.name for item in used if item is not None)) or "none"
            yield f"[{key}.{name}] ({layer.origin}) is kept but not used: {key} is {names}"


def misplaced_option(key: str, option: str, layer: Layer, component: str) -> ConfigError:
    """Return the error for an option that a file has outside of its component's table."""
    return ConfigError(
        f"[{key}] {option} ({layer.origin}): in a file an option belongs in its component's own table",
        fix=f"write it under [{key}.{component}]",
    )


def resolve_options(
    registry: Registry, key: str, entry: Entry, options: Iterable[tuple[Layer, str, Any]], origins: dict[str, str]
) -> ResolvedComponent:
    """Return a component with options, of which later ones win, and add their origins; unknown advice is skipped.

    Raises ConfigError, with the origin of each invalid value.
    """
    cls = registry.load(entry)
    model: type[ComponentOptions] = cls.Options
    merged: dict[str, Any] = {}
    for layer, option, value in options:
        name = option.replace("-", "_")
        if name in model.model_fields or not layer.advisory:
            merged[name], origins[f"{key}.{name}"] = value, layer.origin
    return ResolvedComponent(entry, cls, validate_options(key, entry, model, merged, origins))


def validate_options(
    key: str, entry: Entry, model: type[ComponentOptions], values: Mapping[str, Any], origins: Mapping[str, str]
) -> ComponentOptions:
    """Return a component's validated options. Raises ConfigError, with the origin of each invalid value."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(f"{entry}: {validation_message(key, error, model, origins)}") from None

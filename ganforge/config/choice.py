"""Choice of one component across layers of settings, for optimizers and schedules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from ganforge.components import ComponentOptions
from ganforge.components.spec import Kind
from ganforge.config.dotted import NOTHING
from ganforge.config.resolved import ResolvedComponent
from ganforge.config.sections import validation_message
from ganforge.errors import ConfigError
from ganforge.plugins.registry import Entry, Registry
from ganforge.utils.suggest import did_you_mean


@dataclass(frozen=True, slots=True)
class Table:
    """Settings that one layer has for one component.

    Attributes:
        origin: Origin of the layer.
        loose: Whether options may stand outside the component's own table.
        advisory: Whether settings that do not apply are skipped.
        values: `name`, options, and tables of options by component.
    """

    origin: str
    loose: bool
    advisory: bool
    values: Mapping[str, Any]


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
    registry: Registry, kind: Kind, key: str, tables: Sequence[Table], *, default: str | None
) -> Choice:
    """Return the component that the last table with a name chooses.

    Args:
        registry: All components.
        kind: Kind of the component.
        key: Key of the configuration, for messages.
        tables: Settings, lowest layer first.
        default: Name used if no table has one. None permits "none", which chooses no component.
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
    registry: Registry, key: str, choice: Choice, tables: Sequence[Table], origins: dict[str, str]
) -> ResolvedComponent:
    """Return a chosen component with its options, and add their origins.

    Raises:
        ConfigError: An option is unknown, invalid, or misplaced.
    """
    entry = choice.entry
    assert entry is not None, "only a chosen component has options"  # noqa: S101
    cls = registry.load(entry)
    merged: dict[str, Any] = {}
    option_origins: dict[str, str] = {}
    for index, table in enumerate(tables):
        for option, value in _options(registry, key, entry, cls, table, current=index >= choice.first):
            if option not in cls.Options.model_fields:
                if table.advisory:
                    continue
                name = registry.name_of(entry)
                raise ConfigError(
                    f"{key} is {name!r}, which has no option {option!r} ({table.origin})"
                    f"{did_you_mean(option, cls.Options.model_fields)}"
                )
            merged[option] = value
            option_origins[option] = table.origin
    options = validate_options(key, entry, cls, merged, option_origins)
    if choice.origin is not None:
        origins[key] = choice.origin
    origins |= {f"{key}.{option}": origin for option, origin in option_origins.items()}
    return ResolvedComponent(entry, cls, options)


def _options(
    registry: Registry, key: str, entry: Entry, cls: type[Any], table: Table, *, current: bool
) -> Iterator[tuple[str, Any]]:
    """Yield a table's options of a component.

    Args:
        registry: All components.
        key: Key of the configuration.
        entry: The component.
        cls: Its class.
        table: Settings of one layer.
        current: Whether options outside of a component's table belong to this component.
    """
    for name, value in table.values.items():
        option = name.replace("-", "_")
        if option == "name":
            continue
        named = registry.get(entry.component.kind, name) if isinstance(value, Mapping) else None
        if named == entry:
            yield from ((inner.replace("-", "_"), item) for inner, item in value.items())
        elif named is None and not (table.loose or table.advisory) and not isinstance(value, Mapping):
            raise ConfigError(
                f"[{key}] {name} ({table.origin}): in a file an option belongs in its component's own table",
                fix=f"write it under [{key}.{entry.component.name}]",
            )
        elif named is None and current:
            yield option, value


def validate_options(
    prefix: str, entry: Entry, cls: type[Any], values: Mapping[str, Any], origins: Mapping[str, str]
) -> ComponentOptions:
    """Return a component's validated options. Raises ConfigError, with the origin of each invalid value."""
    model: type[ComponentOptions] = cls.Options
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        named = {f"{prefix}.{key}": origin for key, origin in origins.items()}
        raise ConfigError(f"{entry}: {validation_message(prefix, error, model, named)}") from None

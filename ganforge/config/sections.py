"""Layers of settings, split into sections, and messages about invalid values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from ganforge.config import SECTIONS, Layer, Section
from ganforge.config.dotted import NOTHING
from ganforge.config.experiment import SEVERAL
from ganforge.errors import ConfigError
from ganforge.utils.suggest import did_you_mean


class Leaf(NamedTuple):
    """Key and value of one option."""

    key: str
    value: Any


@dataclass(frozen=True, slots=True)
class SectionSettings:
    """Settings of one layer in one section.

    Attributes:
        origin: Origin of the layer.
        loose: Whether options may stand outside their component's own table.
        advisory: Whether settings that do not apply are skipped.
        names: Components that the layer names, or None.
        values: Options, and tables of options by component.
    """

    origin: str
    loose: bool
    advisory: bool
    names: list[str] | None
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Settings:
    """One layer, split into its sections, its optimizers, its schedules, and all other keys.

    Attributes:
        origin: Origin of the layer.
        loose: Whether options may stand outside their component's own table.
        advisory: Whether settings that do not apply are skipped.
        sections: Settings of each section.
        optimizer: Table of optimizers: options of all phases, and tables by phase.
        schedule_names: Targets whose schedules of lower layers are kept, or None for all.
        schedules: Table of schedules by target.
        plain: Keys that belong to no component.
    """

    origin: str
    loose: bool
    advisory: bool
    sections: Mapping[Section, SectionSettings]
    optimizer: Mapping[str, Any]
    schedule_names: list[str] | None
    schedules: Mapping[str, Any]
    plain: Mapping[str, Any]

    @classmethod
    def read(cls, layer: Layer) -> Settings:
        """Split a layer. Raises ConfigError if a section has the wrong form."""
        plain = {key.replace("-", "_"): value for key, value in layer.values.items()}
        sections = {section: _section(layer, section, plain.pop(section, None)) for section in SECTIONS}
        optimizer = named_table(plain.pop("optimizer", {}), "optimizer", layer.origin)
        names, schedules = _schedules(layer, plain.pop("schedules", {}))
        return cls(layer.origin, layer.loose, layer.advisory, sections, optimizer, names, schedules, plain)

    def section(self, section: Section) -> SectionSettings:
        """Return the layer's settings in a section."""
        return self.sections[section]


def named_table(content: object, key: str, origin: str) -> dict[str, Any]:
    """Return a table in which a name alone, such as "sgd", is `{"name": "sgd"}`. Raises ConfigError for other forms."""
    if isinstance(content, str):
        return {"name": content}
    if not isinstance(content, Mapping):
        raise ConfigError(f"{key} = {content!r} ({origin}): it must be a name, or a table of options")
    return dict(content)


def _section(layer: Layer, section: Section, content: object) -> SectionSettings:
    key = "names" if section in SEVERAL else "name"
    if not isinstance(content, Mapping):
        content = {} if content is None else {key: content}
    values = dict(content)
    value = values.pop(key, None)
    names: list[str] | None
    if value is None:
        names = None
    elif section not in SEVERAL:
        names = [value]
    else:
        names = _name_list(value)
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise ConfigError(f"{section} = {value!r} ({layer.origin}) is not the name of a component")
    return SectionSettings(layer.origin, layer.loose, layer.advisory, names, values)


def _schedules(layer: Layer, content: object) -> tuple[list[str] | None, dict[str, Any]]:
    values = dict(content) if isinstance(content, Mapping) else {"names": content}
    value = values.pop("names", None)
    names = _name_list(value)
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise ConfigError(
            f"schedules = {value!r} ({layer.origin}): name the option, such as schedules.optimizer.gen.lr = 'cosine'"
        )
    return names, values


def _name_list(value: Any) -> Any:  # noqa: ANN401 - checked by the caller
    if value == NOTHING:
        return []
    return [name.strip() for name in value.split(",")] if isinstance(value, str) else value


def validation_message(prefix: str, error: ValidationError, model: type[BaseModel], origins: Mapping[str, str]) -> str:
    """Return pydantic's errors as one line: the key, its origin, the problem, and the nearest valid key."""
    messages = []
    for finding in error.errors(include_url=False):
        path = [str(part) for part in finding["loc"]]
        key = ".".join([prefix, *path] if prefix else path)
        origin = origins.get(key) or next((origins[name] for name in origins if key.startswith(f"{name}.")), None)
        suffix = f" ({origin})" if origin else ""
        if finding["type"] == "extra_forbidden":
            messages.append(f"no option {path[-1]!r}{suffix}{did_you_mean(path[-1], model.model_fields)}")
        elif finding["type"] == "missing":
            messages.append(f"{key} must be given, such as --{key} VALUE")
        else:
            reason = finding["msg"].removeprefix("Value error, ")
            messages.append(
                f"{key} = {finding['input']!r}{suffix}: {reason[:1].lower()}{reason[1:]}" if key else reason
            )
    return "; ".join(messages)

"""Layers of settings, split into sections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ganforge.config import SECTIONS, Layer, Section
from ganforge.config.dotted import NOTHING
from ganforge.config.references import SEVERAL
from ganforge.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionSettings(Layer):
    """Settings of one layer in one section: options, and tables of options by component.

    Attributes:
        names: Components that the layer names, or None.
    """

    names: list[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Layer):
    """One layer, split into its parts; `values` are the keys that belong to no component.

    Attributes:
        sections: Settings of each section.
        optimizer: Table of optimizers: options of all phases, and tables by phase.
        schedule_names: Targets whose schedules of lower layers are kept, or None for all.
        schedules: Table of schedules by target.
    """

    sections: Mapping[Section, SectionSettings]
    optimizer: Mapping[str, Any]
    schedule_names: list[str] | None
    schedules: Mapping[str, Any]

    @classmethod
    def read(cls, layer: Layer) -> Settings:
        """Split a layer. Raises ConfigError if a section has the wrong form."""
        plain = {key.replace("-", "_"): value for key, value in layer.values.items()}
        sections = {section: _section(layer, section, plain.pop(section, None)) for section in SECTIONS}
        optimizer = named_table(plain.pop("optimizer", {}), "optimizer", layer.origin)
        names, schedules = _schedules(layer, plain.pop("schedules", {}))
        return cls(
            layer.origin,
            plain,
            layer.loose,
            layer.advisory,
            sections=sections,
            optimizer=optimizer,
            schedule_names=names,
            schedules=schedules,
        )


def named_table(content: object, key: str, origin: str) -> dict[str, Any]:
    """Return a table in which a name alone, such as "sgd", is `{"name": "sgd"}`. Raises ConfigError for other forms."""
    if isinstance(content, str):
        return {"name": content}
    if not isinstance(content, Mapping):
        raise ConfigError(f"{key} = {content!r} ({origin}): it must be a name, or a table of options")
    return dict(content)


def _section(layer: Layer, section: Section, content: object) -> SectionSettings:
    key = "names" if section in SEVERAL else "name"
    values = dict(content) if isinstance(content, Mapping) else {key: content}
    value = values.pop(key, None)
    names: Any = _names(value) if section in SEVERAL or value is None else [value]
    if not _is_names(names):
        raise ConfigError(f"{section} = {value!r} ({layer.origin}) is not the name of a component")
    return SectionSettings(layer.origin, values, layer.loose, layer.advisory, names=names)


def _schedules(layer: Layer, content: object) -> tuple[list[str] | None, dict[str, Any]]:
    values = dict(content) if isinstance(content, Mapping) else {"names": content}
    value = values.pop("names", None)
    names = _names(value)
    if not _is_names(names):
        raise ConfigError(
            f"schedules = {value!r} ({layer.origin}): name the option, such as schedules.optimizer.gen.lr = 'cosine'"
        )
    return names, values


def _names(value: Any) -> Any:  # noqa: ANN401 - checked by the caller
    if value == NOTHING:
        return []
    return [name.strip() for name in value.split(",")] if isinstance(value, str) else value


def _is_names(names: object) -> bool:
    return names is None or (isinstance(names, list) and all(isinstance(name, str) for name in names))

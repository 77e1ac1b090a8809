"""Layers of settings with their origins, of which later ones win, and their parts by section."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ganforge.components.spec import SECTIONS, Section
from ganforge.config.document import ref_table, refs_table
from ganforge.config.dotted import NOTHING, literal
from ganforge.config.experiment import Experiment
from ganforge.config.references import ALL_PHASES, SEVERAL, SINGLE
from ganforge.errors import ConfigError
from ganforge.plugins.registry import Registry


@dataclass(frozen=True, slots=True)
class Layer:
    """Settings from one source.

    Attributes:
        origin: Name of the source, for the plan and for messages.
        values: Settings, nested as in TOML.
        loose: Whether `gen.base_channels` may mean the chosen generator's option, as on the command line; a file names
            the component.
        advisory: Whether settings that do not apply are skipped instead of being errors, as recommended ones are.
    """

    origin: str
    values: Mapping[str, Any]
    loose: bool = False
    advisory: bool = False

    def part(self, values: Mapping[str, Any]) -> Layer:
        """Return a part of the settings, as a layer of the same source."""
        return Layer(self.origin, values, self.loose, self.advisory)


def preset_layer(name: str, registry: Registry) -> Layer:
    """Return a preset's settings. Raises UnknownComponentError for an unknown name, PluginError for invalid TOML."""
    entry = registry.find_preset(name)
    return Layer(entry.origin, entry.settings(), advisory=True)


def command_line_layer(settings: Iterable[str]) -> Layer:
    """Return `key=value` settings as one layer; later ones win. Raises ConfigError for invalid settings."""
    pairs: list[tuple[str, Any]] = []
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.strip(". "):
            raise ConfigError(f"invalid setting {setting!r}", fix="write key=value, such as gen.base_channels=64")
        pairs.append((key.strip(), literal(text)))
    return Layer("command line", nested(pairs), loose=True)


def nested(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return dotted keys and their values as nested tables; later ones win. Raises ConfigError if they collide."""
    values: dict[str, Any] = {}
    for key, value in pairs:
        _assign(values, key.split("."), value)
    return values


def _assign(values: dict[str, Any], path: list[str], value: Any) -> None:  # noqa: ANN401
    """Put one setting into the nested values; several terms add up, anything else is replaced."""
    section, *rest = (part if "/" in part else part.replace("-", "_") for part in path)
    if section in {*SINGLE, *SEVERAL}:
        key = "names" if section in SEVERAL else "name"
        table = values.setdefault(section, {})
        if not rest and section in SEVERAL:
            table[key] = [] if value == NOTHING else [*table.get(key, []), *_names(value)]
            return
        if not rest:
            table[key] = value
            return
    elif section == "schedules" and not rest:
        values[section] = {"names": _names(value)}
        return
    else:
        table = values
        rest = [section, *rest]
    for part in rest[:-1]:
        child = table.setdefault(part, {})
        if isinstance(child, str):
            child = table[part] = {"name": child}  # --optimizer sgd --optimizer.momentum 0.9
        if not isinstance(child, dict):
            raise ConfigError(f"{'.'.join(path)} cannot be set: {part} has the value {child!r} already")
        table = child
    if isinstance(table.get(rest[-1]), dict) and isinstance(value, str):
        table[rest[-1]]["name"] = value
    else:
        table[rest[-1]] = value
    if section in {"epochs", "steps"}:
        values.pop("steps" if section == "epochs" else "epochs", None)  # left to right: the last one counts


def _names(value: object) -> list[str]:
    """Return the names of a list: "r1,r2", ["r1", "r2"], or "none" for an empty one."""
    names = (
        value.split(",") if isinstance(value, str) else list(value) if isinstance(value, list | tuple) else [str(value)]
    )
    return [name for name in (str(name).strip() for name in names) if name and name != NOTHING]


def _split_names(text: str) -> list[str]:
    """Return the names of a list in a file; empty ones stay and are refused."""
    return [] if text == NOTHING else [name.strip() for name in text.split(",")]


def experiment_layer(experiment: Experiment) -> Layer:
    """Return the settings of an Experiment created in Python, without its defaults."""
    explicit = experiment.model_dump(mode="python", exclude_unset=True)
    values: dict[str, Any] = {}
    for key, value in explicit.items():
        if key == "optimizer":
            shared = value.get(ALL_PHASES, {})
            values[key] = _loose_table(shared) | {
                phase: _loose_table(ref) for phase, ref in value.items() if phase != ALL_PHASES
            }
        elif key == "schedules":
            values[key] = {target: _loose_table(ref) for target, ref in value.items()}
        elif key in SINGLE:
            values[key] = ref_table(value)
        elif key in SEVERAL:
            values[key] = refs_table(value)
        else:
            values[key] = value
    return Layer("Python", values, loose=True)


def _loose_table(ref: Mapping[str, Any]) -> dict[str, Any]:
    """Return a component's name, if it is set, and its options in one table."""
    return {**ref.get("options", {}), **({"name": ref["name"]} if "name" in ref else {})}


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionSettings(Layer):
    """Settings of one layer in one section: named components, or None, options, and tables of options by component."""

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
        sections: dict[Section, SectionSettings] = {}
        for section in SECTIONS:
            problem, content = " is not the name of a component", plain.pop(section, None)
            names, values = _named(layer, content, section, several=section in SEVERAL, problem=problem)
            sections[section] = SectionSettings(layer.origin, values, layer.loose, layer.advisory, names=names)
        optimizer = named_table(plain.pop("optimizer", {}), "optimizer", layer.origin)
        problem = ": name the option, such as schedules.optimizer.gen.lr = 'cosine'"
        names, schedules = _named(layer, plain.pop("schedules", {}), "schedules", several=True, problem=problem)
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


def _named(
    layer: Layer, content: object, key: str, *, several: bool, problem: str
) -> tuple[list[str] | None, dict[str, Any]]:
    """Return the names in a table of components, or None, and the rest of it. Raises ConfigError with the problem."""
    named = "names" if several else "name"
    values = dict(content) if isinstance(content, Mapping) else {named: content}
    value = values.pop(named, None)
    if several:
        names: Any = _split_names(value) if isinstance(value, str) else value
    else:
        names = None if value is None else [value]
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise ConfigError(f"{key} = {value!r} ({layer.origin}){problem}")
    return names, values

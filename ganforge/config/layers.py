"""Layers of settings with their origins; later ones win."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

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
            name = value["name"]
            values[key] = {"name": name} | ({name: value["options"]} if value.get("options") else {})
        elif key in SEVERAL:
            options = {item["name"]: item["options"] for item in value if item.get("options")}
            values[key] = {"names": [item["name"] for item in value]} | options
        else:
            values[key] = value
    return Layer("Python", values, loose=True)


def _loose_table(ref: Mapping[str, Any]) -> dict[str, Any]:
    """Return a component's name, if it is set, and its options in one table."""
    return {**ref.get("options", {}), **({"name": ref["name"]} if "name" in ref else {})}

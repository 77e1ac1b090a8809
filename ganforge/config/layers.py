"""Layers of settings, each with its origin; later ones win."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ganforge.config.dotted import literal
from ganforge.config.experiment import SEVERAL, SINGLE, Experiment
from ganforge.config.optimizers import NOTHING
from ganforge.errors import ConfigError
from ganforge.utils.suggest import did_you_mean

#: Exactly the textbook's training; every value is set, so that nothing recommended changes it.
PRESETS: dict[str, dict[str, Any]] = {
    "textbook": {
        "epochs": 100,
        "batch_size": 60,
        "critic_steps": 1,
        "generator_steps": 1,
        "reuse_fakes": False,
        "gradient_accumulation": 1,
        "compile": "off",
        "sync_batch_norm": False,
        "on_nan": "stop",
        "ema_halflife_images": NOTHING,
        "precision": "fp32",
        "optimizer": {
            "name": "adam",
            "lr": 2e-4,
            "betas": [0.5, 0.999],
            "eps": 1e-8,
            "weight_decay": 0.0,
            "warmup_steps": 0,
            "schedule": "constant",
            "decay_from": 0.0,
            "clip_norm": NOTHING,
        },
        "penalty": [],
        "augment": [],
    }
}


@dataclass(frozen=True, slots=True)
class Layer:
    """Hold settings from one place.

    origin: in words, as the plan shows it. values: nested as in TOML. loose: whether `gen.base_channels` may mean the
    chosen generator's option, as on the command line; a file names the component. advisory: whether settings that do
    not apply are left out instead of being errors, as with what a component recommends.
    """

    origin: str
    values: Mapping[str, Any]
    loose: bool = False
    advisory: bool = False


def preset_layer(name: str) -> Layer:
    """Return a preset's settings. Raises ConfigError for an unknown name."""
    if name not in PRESETS:
        raise ConfigError(f"no preset {name!r}{did_you_mean(name, PRESETS)}")
    return Layer(f"preset {name}", PRESETS[name], advisory=True)


def command_line_layer(settings: Iterable[str]) -> Layer:
    """Return `key=value` settings as one layer, later ones winning. Raises ConfigError for what is no setting."""
    pairs: list[tuple[str, Any]] = []
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.strip(". "):
            raise ConfigError(f"{setting!r} is no setting", fix="write key=value, such as gen.base_channels=64")
        pairs.append((key.strip(), literal(text)))
    return Layer("command line", nested(pairs), loose=True)


def nested(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return dotted keys and their values as nested tables; later ones win. Raises ConfigError where they collide."""
    values: dict[str, Any] = {}
    for key, value in pairs:
        _assign(values, key.split("."), value)
    return values


def _assign(values: dict[str, Any], path: list[str], value: Any) -> None:  # noqa: ANN401
    """Put one setting into the nested values; naming several penalties adds them up, anything else replaces."""
    section, *rest = (part if "/" in part else part.replace("-", "_") for part in path)
    if section in {*SINGLE, *SEVERAL}:
        key = "names" if section in SEVERAL else "name"
        table = values.setdefault(section, {})
        if not rest and section in SEVERAL:
            table[key] = [] if value == NOTHING else [*table.get(key, []), *_words(value)]
            return
        if not rest:
            table[key] = value
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


def _words(value: object) -> list[str]:
    """Return a list setting's names: "r1,r2", ["r1", "r2"], and "none" for an empty one."""
    words = (
        value.split(",") if isinstance(value, str) else list(value) if isinstance(value, list | tuple) else [str(value)]
    )
    return [word for word in (word.strip() for word in words) if word and word != NOTHING]


def experiment_layer(experiment: Experiment) -> Layer:
    """Return what was set on an Experiment made in Python, and nothing of its defaults."""
    explicit = experiment.model_dump(mode="python", exclude_unset=True)
    values: dict[str, Any] = {}
    for key, value in explicit.items():
        if isinstance(value, dict) and key != "optimizer":
            name = value["name"]
            values[key] = {"name": name} | ({name: value["options"]} if value.get("options") else {})
        elif key in SEVERAL:
            options = {item["name"]: item["options"] for item in value if item.get("options")}
            values[key] = {"names": [item["name"] for item in value]} | options
        else:
            values[key] = value
    return Layer("Python", values)

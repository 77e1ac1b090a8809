"""Trials of a sweep: configurations that fit, once per seed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import field_validator

from ganforge.config import Experiment, from_document, to_document
from ganforge.config.dotted import flatten
from ganforge.config.references import TRAINED
from ganforge.errors import ConfigError
from ganforge.sweep.config import Document

UNSAFE = re.compile(r"[^A-Za-z0-9._=+-]+")
MAX_NAME_LENGTH = 120
#: Names of runs: single parts of a path that are neither hidden nor the folder itself.
SAFE_NAME = re.compile(r"(?!\.)[A-Za-z0-9._=+-]+")
#: Settings that a machine decides or a resumed run may override; the others are equal in a trial and its run.
MACHINE_SETTINGS = frozenset({"device", "precision", "compile", "cuda_graphs", "workers", "evaluate"})

Choices = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TrialConfig:
    """Configuration of trials: a value for each axis, checked on this machine.

    Attributes:
        name: Name of the runs, without the seed.
        experiment: Resolved and prepared for the first seed; None if the components do not fit, for a `reason`.
    """

    choices: Choices
    name: str
    experiment: Experiment | None = None
    reason: str | None = None
    fix: str | None = None
    notices: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Choices as text."""
        return format_choices(self.choices)

    @property
    def key(self) -> str:
        """Choices as text that is equal for equal ones only."""
        return canonical(self.choices)

    def entry(self) -> PlanEntry:
        """Return the entry of plan.json."""
        assert self.experiment is not None, "plan.json has only configurations that fit"  # noqa: S101
        return PlanEntry(choices=self.choices, name=self.name, experiment=to_document(self.experiment))


class PlanEntry(Document):
    """Configuration in plan.json; `experiment` has the form of run.toml."""

    choices: Choices
    name: str
    experiment: dict[str, Any]

    @field_validator("name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        if SAFE_NAME.fullmatch(value) is None:
            raise ValueError("not the name of a run")
        return value

    @field_validator("experiment")
    @classmethod
    def _check_experiment(cls, value: dict[str, Any]) -> dict[str, Any]:
        try:
            from_document(value)
        except ConfigError as error:
            raise ValueError(error.message) from None
        return value

    def config(self) -> TrialConfig:
        """Return the configuration."""
        return TrialConfig(self.choices, self.name, from_document(self.experiment))


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of a sweep: a configuration with a seed."""

    config: TrialConfig
    seed: int

    @property
    def name(self) -> str:
        """Name of the run directory."""
        return f"{self.config.name}-seed{self.seed}"

    @property
    def label(self) -> str:
        """Choices and seed as text."""
        return f"{self.config.label} · seed {self.seed}"

    @property
    def experiment(self) -> Experiment:
        """Experiment of the run."""
        assert self.config.experiment is not None, "trials have configurations that fit"  # noqa: S101
        return self.config.experiment.model_copy(update={"seed": self.seed})


def list_trials(configs: Iterable[TrialConfig], seeds: Sequence[int]) -> list[Trial]:
    """Return trials in their order: all configurations with the first seed, then with the next."""
    fitting = [config for config in configs if config.experiment is not None]
    return [Trial(config, seed) for seed in seeds for config in fitting]


def settings_of(experiment: Experiment) -> dict[str, Any]:
    """Return settings by dotted key, with the names of the components, but without `MACHINE_SETTINGS`."""
    document = to_document(experiment)
    sections = {key: value for key, value in document.items() if isinstance(value, Mapping)}
    names = {key: value.get("name", value.get("names")) for key, value in sections.items()}
    return {key: value for key, value in (names | dict(flatten(document))).items() if key not in MACHINE_SETTINGS}


def differences(actual: Experiment, expected: Experiment, keys: Container[str] | None = None) -> str:
    """Return the settings of an experiment that are not the expected ones, among some keys or all: `steps 9, not 4`."""
    found, wanted = settings_of(actual), settings_of(expected)
    return ", ".join(
        f"{key} {format_choice(found.get(key))}, not {format_choice(wanted.get(key))}"
        for key in dict.fromkeys([*wanted, *found])
        if (keys is None or key in keys) and canonical(found.get(key)) != canonical(wanted.get(key))
    )


def format_choices(choices: Mapping[str, Any]) -> str:
    """Return choices as text: `mlp × dcgan × bce × mnist · optimizer.lr 0.001`."""
    components = " × ".join(str(choices[section]) for section in TRAINED if section in choices)
    rest = [f"{key} {format_choice(value)}" for key, value in choices.items() if key not in TRAINED]
    return " · ".join(filter(None, [components, *rest]))


def format_choice(value: object) -> str:
    """Return a choice as text; floats have five significant digits."""
    return f"{value:.5g}" if isinstance(value, float) else _text(value)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def plain_name(choices: Choices) -> str:
    """Return a unique name for runs that spells out every choice if possible, else a hashed one."""
    parts = [str(value) if key in TRAINED else f"{key}={_text(value)}" for key, value in choices.items()]
    name = UNSAFE.sub("_", "-".join(parts)).strip("._")
    readable = len(name) <= MAX_NAME_LENGTH and not any(UNSAFE.search(part) for part in parts)
    return name if readable else hashed_name(choices)


def hashed_name(choices: Choices) -> str:
    """Return a name for runs with a hash of the choices."""
    components = "-".join(str(choices[section]) for section in TRAINED if section in choices)
    digest = hashlib.sha256(canonical(choices).encode()).hexdigest()[:8]
    return f"{UNSAFE.sub('_', components)[:MAX_NAME_LENGTH]}-{digest}"


def canonical(value: object) -> str:
    """Return a value as text that is equal for equal values only; 1 equals 1.0, and a tuple a list."""
    return json.dumps(_normalize(value), sort_keys=True)


def _normalize(value: Any) -> Any:  # noqa: ANN401 - a JSON value
    """Return a value with floats for integers and lists for tuples."""
    if isinstance(value, dict):
        return {key: _normalize(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_normalize(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def dedupe_names(configs: Sequence[TrialConfig], used_names: Container[str]) -> list[TrialConfig]:
    """Return configurations with one name for all with the same experiment, if possible one of `used_names`."""
    groups: dict[str, list[TrialConfig]] = {}
    for config in configs:
        groups.setdefault(_identity(config), []).append(config)
    names = {
        config.name: next((member.name for member in group if member.name in used_names), group[0].name)
        for group in groups.values()
        for config in group
    }
    return [replace(config, name=names[config.name]) for config in configs]


def _identity(config: TrialConfig) -> str:
    """Return the experiment as text, or the components and the reason if they do not fit."""
    if config.experiment is None:
        return json.dumps([config.reason, *(config.choices[section] for section in TRAINED)])
    return json.dumps(to_document(config.experiment), sort_keys=True)


def merge_configs(configs: Iterable[TrialConfig]) -> list[TrialConfig]:
    """Return one configuration for each name, with the choices that all of that name share.

    `gen.dcgan.base_channels` has no effect on another generator; it is not a choice there.
    """
    groups: dict[str, list[TrialConfig]] = {}
    for config in configs:
        groups.setdefault(config.name, []).append(config)
    merged = []
    for group in groups.values():
        shared = [key for key in group[0].choices if len({canonical(config.choices[key]) for config in group}) == 1]
        merged.append(replace(group[0], choices={key: group[0].choices[key] for key in shared}))
    return merged

"""Which cells a matrix has: every combination that fits, once for each seed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ganforge.components.spec import SECTIONS
from ganforge.config import Experiment, from_document, to_document
from ganforge.config.experiment import SEVERAL, TRAINED
from ganforge.config.optimizers import NOTHING

UNSAFE = re.compile(r"[^A-Za-z0-9._=+-]+")
LONGEST_NAME = 120

Choices = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Combination:
    """Hold one combination of choices, checked on this machine.

    name: of its runs, without the seed. experiment: resolved and prepared, for the first seed; None where the parts do
    not fit, which `reason` then says, with `fix`. notices: lines for a person.
    """

    choices: Choices
    name: str
    experiment: Experiment | None = None
    reason: str | None = None
    fix: str | None = None
    notices: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """What a person calls it."""
        return label(self.choices)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plan.json keeps it."""
        assert self.experiment is not None, "only what fits is kept"  # noqa: S101
        return {"choices": self.choices, "name": self.name, "experiment": to_document(self.experiment)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Combination:
        """Return what `as_dict` gave. Raises ConfigError, KeyError or TypeError where it is damaged."""
        return cls(dict(content["choices"]), str(content["name"]), from_document(content["experiment"]))


@dataclass(frozen=True, slots=True)
class Cell:
    """Hold one run of a matrix: a combination and a seed."""

    combination: Combination
    seed: int

    @property
    def name(self) -> str:
        """Its run directory's name."""
        return f"{self.combination.name}-seed{self.seed}"

    @property
    def label(self) -> str:
        """What a person calls it."""
        return f"{self.combination.label} · seed {self.seed}"

    @property
    def experiment(self) -> Experiment:
        """The experiment that it runs."""
        assert self.combination.experiment is not None, "cells are made of what fits"  # noqa: S101
        return self.combination.experiment.model_copy(update={"seed": self.seed})


def label(choices: Mapping[str, Any]) -> str:
    """Return choices in words: `mlp × dcgan × bce × mnist · optimizer.lr 0.001`."""
    parts = " × ".join(str(choices[section]) for section in TRAINED if section in choices)
    rest = [f"{key} {shown(value)}" for key, value in choices.items() if key not in TRAINED]
    return " · ".join(filter(None, [parts, *rest]))


def shown(value: object) -> str:
    """Return a choice as people read it: what a search found has more digits than anybody needs."""
    return f"{value:.5g}" if isinstance(value, float) else _word(value)


def _word(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def plain_name(choices: Choices) -> str:
    """Return a name for runs in which every choice can be read; other choices have another one."""
    parts = [str(value) if key in TRAINED else f"{key}={_word(value)}" for key, value in choices.items()]
    name = UNSAFE.sub("_", "-".join(parts)).strip("._")
    readable = len(name) <= LONGEST_NAME and not any(UNSAFE.search(part) for part in parts)
    return name if readable else hashed_name(choices)


def hashed_name(choices: Choices) -> str:
    """Return a name for runs whose choices are too many or too long to be read."""
    parts = "-".join(str(choices[section]) for section in TRAINED if section in choices)
    return f"{UNSAFE.sub('_', parts)[:LONGEST_NAME]}-{digest(choices)}"


def digest(choices: Mapping[str, Any]) -> str:
    """Return eight hexadecimal digits that stand for choices; 1 and 1.0 are the same choice."""
    text = json.dumps(_comparable(dict(choices)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _comparable(value: Any) -> Any:  # noqa: ANN401 - as JSON has it
    if isinstance(value, dict):
        return {key: _comparable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_comparable(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two are the same choices."""
    return bool(_comparable(dict(one)) == _comparable(dict(other)))


def choices_of(experiment: Experiment, keys: Iterable[str]) -> Choices:
    """Return what an experiment has for each key, as its choices were once given. Raises KeyError for one it lacks."""
    document = to_document(experiment)
    return {key: _look_up(document, key) for key in keys}


def _look_up(document: Mapping[str, Any], key: str) -> Any:  # noqa: ANN401 - whatever the option's type is
    section, *path = key.split(".")
    if not path and section in SEVERAL:
        return ",".join(document[section]["names"]) or NOTHING
    if section in SECTIONS:
        named = document[section].get("name")
        if not path:
            return named
        # `gen.base_channels` means the chosen one's; `gen.dcgan.base_channels` names it
        path = path if isinstance(document[section].get(path[0]), Mapping) else [str(named), *path]
    elif section == "optimizer" and path and path[0] not in document["optimizer"]:
        path = ["gen", *path]
    found: Any = document[section]
    for part in path:
        found = found[part]
    return found


def _comes_to(one: Combination) -> str:
    """Return what a combination comes to: an experiment, or components that do not fit for a reason."""
    if one.experiment is None:
        return json.dumps([one.reason, *(one.choices[section] for section in TRAINED)])
    return json.dumps(to_document(one.experiment), sort_keys=True)


def one_name_each(planned: Sequence[Combination], used: Container[str]) -> list[Combination]:
    """Give one name to all that come to the same. used: names that runs may have already."""
    groups: dict[str, list[Combination]] = {}
    for one in planned:
        groups.setdefault(_comes_to(one), []).append(one)
    names = {
        one.name: next((member.name for member in group if member.name in used), group[0].name)
        for group in groups.values()
        for one in group
    }
    return [replace(one, name=names[one.name]) for one in planned]


def merged(planned: Iterable[Combination]) -> list[Combination]:
    """Return each combination once, with the choices that its members share.

    `gen.dcgan.base_channels` changes nothing for another generator, and is then no choice.
    """
    groups: dict[str, list[Combination]] = {}
    for one in planned:
        groups.setdefault(one.name, []).append(one)
    return [
        replace(
            group[0],
            choices={
                key: value
                for key, value in group[0].choices.items()
                if all(same({key: one.choices[key]}, {key: value}) for one in group)
            },
        )
        for group in groups.values()
    ]


def cells(combinations: Iterable[Combination], seeds: Sequence[int]) -> list[Cell]:
    """Return the cells in the order they are run in: all combinations with the first seed, then with the next."""
    fitting = [one for one in combinations if one.experiment is not None]
    return [Cell(one, seed) for seed in seeds for one in fitting]

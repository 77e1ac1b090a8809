"""What resolving gives: an experiment, its components, and where every value came from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ganforge.config import Experiment, Section
from ganforge.interfaces import Options
from ganforge.registry import Entry

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Chosen:
    """Hold a chosen component: whose it is, its class and its validated options."""

    entry: Entry
    cls: type[Any]
    options: Options


@dataclass(slots=True)
class Resolution:
    """Hold an experiment together with where its values came from.

    origins: dotted key → origin, for every value that is not a default. notices: lines for a person.
    """

    experiment: Experiment
    chosen: dict[Section, tuple[Chosen, ...]]
    origins: dict[str, str] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)

    def one(self, section: Section) -> Chosen:
        """Return the component of a section that has exactly one."""
        (chosen,) = self.chosen[section]
        return chosen

    def origin(self, key: str) -> str:
        """Return where a value came from, in words."""
        return self.origins.get(key, DEFAULT)


def with_values(resolution: Resolution, origin: str, **values: Any) -> Resolution:  # noqa: ANN401
    """Return the resolution with settings that were decided on this machine, such as the precision."""
    experiment = resolution.experiment.model_copy(update=values)
    return replace(resolution, experiment=experiment, origins=resolution.origins | dict.fromkeys(values, origin))

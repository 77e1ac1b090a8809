"""What resolving gives: an experiment, its components, and where every value came from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ganforge.components import Options
from ganforge.config import Experiment, Section
from ganforge.plugins.registry import Entry

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class ResolvedComponent:
    """Hold a chosen component: whose it is, its class and its validated options."""

    entry: Entry
    cls: type[Any]
    options: Options


@dataclass(slots=True)
class ResolvedConfig:
    """Hold an experiment together with where its values came from.

    origins: dotted key → origin, for every value that is not a default. notices: lines for a person.
    """

    experiment: Experiment
    chosen: dict[Section, tuple[ResolvedComponent, ...]]
    origins: dict[str, str] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)

    def one(self, section: Section) -> ResolvedComponent:
        """Return the component of a section that has exactly one."""
        (chosen,) = self.chosen[section]
        return chosen

    def origin(self, key: str) -> str:
        """Return where a value came from, in words."""
        return self.origins.get(key, DEFAULT)


def with_values(resolved: ResolvedConfig, origin: str, **values: Any) -> ResolvedConfig:  # noqa: ANN401
    """Return the resolved with settings that were decided on this machine, such as the precision."""
    experiment = resolved.experiment.model_copy(update=values)
    return replace(resolved, experiment=experiment, origins=resolved.origins | dict.fromkeys(values, origin))

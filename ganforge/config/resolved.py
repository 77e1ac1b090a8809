"""Resolved configuration: an experiment, its components, and the origin of every value."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ganforge.components import ComponentOptions
from ganforge.config import Experiment, Section
from ganforge.plugins.registry import Entry

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class ResolvedComponent:
    """Chosen component: its registry entry, class and validated options."""

    entry: Entry
    cls: type[Any]
    options: ComponentOptions


@dataclass(slots=True)
class ResolvedConfig:
    """Experiment with its components and the origins of its values.

    Attributes:
        schedules: Schedule of each scheduled option, by its dotted key such as `optimizer.gen.lr`.
        phases: Phases in the order of their updates.
        origins: Origin of every value that is not a default, by dotted key.
        notices: Lines for the user.
    """

    experiment: Experiment
    chosen: dict[Section, tuple[ResolvedComponent, ...]]
    optimizers: dict[str, ResolvedComponent] = field(default_factory=dict)
    schedules: dict[str, ResolvedComponent] = field(default_factory=dict)
    phases: tuple[str, ...] = ()
    origins: dict[str, str] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)

    def one(self, section: Section) -> ResolvedComponent:
        """Return the component of a section that has exactly one."""
        (chosen,) = self.chosen[section]
        return chosen

    def components(self) -> dict[str, tuple[ResolvedComponent, ...]]:
        """Return all components by key: `gen`, `term`, `optimizer.gen`, `schedules.optimizer.gen.lr`."""
        return {
            **{str(section): items for section, items in self.chosen.items()},
            **{f"optimizer.{phase}": (item,) for phase, item in self.optimizers.items()},
            **{f"schedules.{target}": (item,) for target, item in self.schedules.items()},
        }

    def origin(self, key: str) -> str:
        """Return the origin of a value."""
        return self.origins.get(key, DEFAULT)


def with_values(resolved: ResolvedConfig, origin: str, **values: Any) -> ResolvedConfig:  # noqa: ANN401
    """Return the configuration with settings that were decided on this machine, such as the precision."""
    experiment = resolved.experiment.model_copy(update=values)
    return replace(resolved, experiment=experiment, origins=resolved.origins | dict.fromkeys(values, origin))

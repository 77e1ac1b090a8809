"""Phases of a training: the updates of the discriminator, the generator, and further networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ganforge.components.spec import Section
from ganforge.config.experiment import NETWORK_PHASES
from ganforge.errors import ConfigError
from ganforge.plugins.registry import Entry
from ganforge.utils.suggest import did_you_mean

#: Sections whose components take part in a training step.
TRAINED_SECTIONS: tuple[Section, ...] = ("gen", "disc", "loss", "latent", "term", "augment")


def phases_of(entries: Mapping[Section, Sequence[Entry]], classes: Mapping[Entry, type[Any]]) -> tuple[str, ...]:
    """Return `disc`, `gen`, and the phases that the chosen components add by `optimized_in`.

    Raises:
        ConfigError: A term acts in a phase that no component adds.
    """
    chosen = [entry for section in TRAINED_SECTIONS for entry in entries.get(section, ())]
    further = [phase for entry in chosen for phase in classes[entry].optimized_in.values()]
    phases = tuple(dict.fromkeys((*NETWORK_PHASES, *further)))
    for entry in chosen:
        acts_in = getattr(classes[entry], "phases", ())
        missing = [phase for phase in acts_in if phase not in phases] if isinstance(acts_in, tuple) else []
        if missing:
            raise ConfigError(
                f"{entry} acts in phase {missing[0]!r}, which no chosen component adds"
                f"{did_you_mean(missing[0], phases)}"
            )
    return phases


def ordered_phases(phases: tuple[str, ...], order: Sequence[str] | None, origins: Mapping[str, str]) -> tuple[str, ...]:
    """Return the phases in the order of their updates. Raises ConfigError if `order` is not a permutation of them."""
    if order is None:
        return phases
    if sorted(order) != sorted(phases):
        raise ConfigError(
            f"phase_order = {', '.join(order)} ({origins.get('phase_order', 'default')}) must name each phase once: "
            f"{', '.join(phases)}"
        )
    return tuple(order)

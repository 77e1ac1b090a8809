"""Make the parts of an experiment, on the CPU, with weights that the seed decides."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from ganforge.assembly.resolution import Chosen, Resolution
from ganforge.config import Selection
from ganforge.errors import GanforgeError, IncompatibleError, PluginError
from ganforge.interfaces import (
    Augmentation,
    DataInfo,
    Dataset,
    Discriminator,
    Generator,
    Loss,
    Metric,
    Network,
    Penalty,
)
from ganforge.plugins.sources import explain
from ganforge.randomness import Stream, layers_seeded

T = TypeVar("T")


@dataclass(slots=True)
class Assembly:
    """Hold the parts of an experiment. Penalties, augmentations and metrics are by name, in the order given."""

    resolution: Resolution
    dataset: Dataset
    info: DataInfo
    generator: Generator
    discriminator: Discriminator
    loss: Loss
    penalties: dict[str, Penalty]
    augmentations: dict[str, Augmentation]
    metrics: dict[str, Metric]


def build(resolution: Resolution) -> Assembly:
    """Make every part. Raises DataError, PluginError, and IncompatibleError for images beyond declared limits."""
    seed = resolution.experiment.seed
    data = resolution.one("data")
    dataset = cast("Dataset", _make(data, lambda: data.cls(data.options)))
    info = dataclasses.replace(_make(data, lambda: dataset.info), name=data.entry.component.name)
    return Assembly(
        resolution=resolution,
        dataset=dataset,
        info=info,
        generator=cast("Generator", build_network(resolution.one("gen"), info, seed, "weights/generator")),
        discriminator=cast("Discriminator", build_network(resolution.one("disc"), info, seed, "weights/discriminator")),
        loss=_simple(resolution.one("loss")),
        penalties=_named(resolution.experiment.penalty, resolution.chosen["penalty"]),
        augmentations=_named(resolution.experiment.augment, resolution.chosen["augment"]),
        metrics=_named(resolution.experiment.metric, resolution.chosen["metric"]),
    )


def build_network(chosen: Chosen, info: DataInfo, seed: int, stream: Stream) -> Network:
    """Make one network for the data's images, checking its declared limits first. Raises as `build` does."""

    def make() -> Network:
        chosen.cls.check_image(chosen.options, info.image)
        with layers_seeded(seed, stream):
            network: Network = chosen.cls(chosen.options, info.image)
        return network

    network = _make(chosen, make)
    if network.takes_labels and info.image.classes is None:
        raise IncompatibleError(
            f"{chosen.entry} takes labels, but data {info.name!r} has none",
            fix="use data with labels (a folder's subfolders are classes), or a network that takes none",
        )
    return network


def _named(selections: Sequence[Selection], chosen: Sequence[Chosen]) -> dict[str, Any]:
    """Make parts by the names that the experiment has for them: those of two plugins that clash are qualified."""
    return {selection.name: _simple(item) for selection, item in zip(selections, chosen, strict=True)}


def _simple(chosen: Chosen) -> Any:  # noqa: ANN401 - the registry has checked which interface it is
    return _make(chosen, lambda: chosen.cls(chosen.options))


def _make(chosen: Chosen, make: Callable[[], T]) -> T:
    """Call a component's own code, so that whatever it raises names the component."""
    try:
        return make()
    except GanforgeError:
        raise
    except Exception as error:
        raise PluginError(f"{chosen.entry} cannot be built: {explain(error)}") from error

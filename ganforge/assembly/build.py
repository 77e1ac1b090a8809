"""Make the parts of an experiment, on the CPU, with weights that the seed decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from ganforge.assembly.resolution import Chosen, Resolution
from ganforge.assembly.scoring import Scoring, build_scoring, made, made_by_name, made_simply
from ganforge.errors import IncompatibleError
from ganforge.interfaces import Augmentation, DataInfo, Dataset, Discriminator, Generator, Loss, Network, Penalty
from ganforge.randomness import Stream, layers_seeded


@dataclass(slots=True, kw_only=True)
class Assembly(Scoring):
    """Hold the parts of an experiment. Penalties, augmentations and metrics are by name, in the order given."""

    generator: Generator
    discriminator: Discriminator
    loss: Loss
    penalties: dict[str, Penalty]
    augmentations: dict[str, Augmentation]


def build(resolution: Resolution, dataset: Dataset | None = None) -> Assembly:
    """Make every part. Raises DataError, PluginError, and IncompatibleError for images beyond declared limits.

    dataset: what the resolution's data is, where it has been made before.
    """
    seed = resolution.experiment.seed
    scoring = build_scoring(resolution, dataset)
    info = scoring.info
    generator = cast("Generator", build_network(resolution.one("gen"), info, seed, "weights/generator"))
    discriminator = cast("Discriminator", build_network(resolution.one("disc"), info, seed, "weights/discriminator"))
    if generator.takes_labels and not discriminator.takes_labels:
        resolution.notices.append(
            f"{resolution.one('gen').entry} takes labels, but {resolution.one('disc').entry} does not look at them: "
            "nothing teaches the generator to heed them"
        )
    return Assembly(
        resolution=resolution,
        dataset=scoring.dataset,
        info=info,
        metrics=scoring.metrics,
        generator=generator,
        discriminator=discriminator,
        loss=made_simply(resolution.one("loss")),
        penalties=made_by_name(resolution.experiment.penalty, resolution.chosen["penalty"]),
        augmentations=made_by_name(resolution.experiment.augment, resolution.chosen["augment"]),
    )


def build_network(chosen: Chosen, info: DataInfo, seed: int, stream: Stream) -> Network:
    """Make one network for the data's images, checking its declared limits first. Raises as `build` does."""

    def construct() -> Network:
        chosen.cls.check_image(chosen.options, info.image)
        with layers_seeded(seed, stream):
            network: Network = chosen.cls(chosen.options, info.image)
        return network

    network = made(chosen, construct)
    if network.takes_labels and info.image.classes is None:
        raise IncompatibleError(
            f"{chosen.entry} takes labels, but data {info.name!r} has none",
            fix="use data with labels (a folder's subfolders are classes), or a network that takes none",
        )
    return network

"""Make the parts of an experiment, on the CPU, with weights that the seed decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from ganforge.components import Augmentation, Dataset, DatasetInfo, Discriminator, Generator, Loss, Network, Penalty
from ganforge.config.resolved import ResolvedComponent, ResolvedConfig
from ganforge.data.scoring import Scoring, build_scoring, made, made_by_name, made_simply
from ganforge.errors import IncompatibleError
from ganforge.utils.rng import Stream, layers_seeded


@dataclass(slots=True, kw_only=True)
class GANComponents(Scoring):
    """Hold the parts of an experiment. Penalties, augmentations and metrics are by name, in the order given."""

    generator: Generator
    discriminator: Discriminator
    loss: Loss
    penalties: dict[str, Penalty]
    augmentations: dict[str, Augmentation]


def build(resolved: ResolvedConfig, dataset: Dataset | None = None) -> GANComponents:
    """Make every part. Raises DataError, PluginError, and IncompatibleError for images beyond declared limits.

    dataset: what the resolved's data is, where it has been made before.
    """
    seed = resolved.experiment.seed
    scoring = build_scoring(resolved, dataset)
    info = scoring.info
    generator = cast("Generator", build_network(resolved.one("gen"), info, seed, "weights/generator"))
    discriminator = cast("Discriminator", build_network(resolved.one("disc"), info, seed, "weights/discriminator"))
    if generator.conditional and not discriminator.conditional:
        resolved.notices.append(
            f"{resolved.one('gen').entry} takes labels, but {resolved.one('disc').entry} does not look at them: "
            "nothing teaches the generator to heed them"
        )
    return GANComponents(
        resolved=resolved,
        dataset=scoring.dataset,
        info=info,
        metrics=scoring.metrics,
        generator=generator,
        discriminator=discriminator,
        loss=made_simply(resolved.one("loss")),
        penalties=made_by_name(resolved.experiment.penalty, resolved.chosen["penalty"]),
        augmentations=made_by_name(resolved.experiment.augment, resolved.chosen["augment"]),
    )


def build_network(chosen: ResolvedComponent, info: DatasetInfo, seed: int, stream: Stream) -> Network:
    """Make one network for the data's images, checking its declared limits first. Raises as `build` does."""

    def construct() -> Network:
        chosen.cls.check_image(chosen.options, info.image)
        with layers_seeded(seed, stream):
            network: Network = chosen.cls(chosen.options, info.image)
        return network

    network = made(chosen, construct)
    if network.conditional and info.image.num_classes is None:
        raise IncompatibleError(
            f"{chosen.entry} takes labels, but data {info.name!r} has none",
            fix="use data with labels (a folder's subfolders are classes), or a network that takes none",
        )
    return network

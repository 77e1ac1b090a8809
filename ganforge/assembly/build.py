"""Make the parts of an experiment, on the CPU, with weights that the seed decides."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import torch

from ganforge.assembly.items import Reader
from ganforge.assembly.resolution import Chosen, Resolution
from ganforge.config import Selection
from ganforge.errors import DataError, GanforgeError, IncompatibleError, PluginError
from ganforge.interfaces import (
    Augmentation,
    DataInfo,
    Dataset,
    Discriminator,
    FeatureExtractor,
    Generator,
    Images,
    Loss,
    Metric,
    Network,
    Penalty,
    Split,
    check_images,
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
    loaded: dict[Split, Images | None] = field(default_factory=dict)
    readers: dict[Split, Reader] = field(default_factory=dict)
    _extractor: FeatureExtractor | None = field(default=None, init=False)

    def extractor(self) -> FeatureExtractor:
        """Return the feature extractor in evaluation mode, made at the first call: most runs never need it.

        Raises IncompatibleError for images that it cannot describe, PluginError, DataError.
        """
        if self._extractor is None:
            chosen, image = self.resolution.one("features"), self.info.image

            def make() -> FeatureExtractor:
                chosen.cls.check_image(chosen.options, image)
                with layers_seeded(0, "weights/features"):  # of no run's seed: scores must be comparable
                    made: FeatureExtractor = chosen.cls(chosen.options, image)
                return made.eval().requires_grad_(requires_grad=False)

            self._extractor = _make(chosen, make)
        return self._extractor

    def images(self, split: Split) -> Images | None:
        """Return a split, loaded once and checked, or None for data that is not loaded whole. Raises DataError."""
        if split not in self.loaded:
            images = self.dataset.load(split)
            if images is not None:
                self._check(images, split)
            self.loaded[split] = images
        return self.loaded[split]

    def reader(self, split: Split) -> Reader:
        """Return what reads a split that is not loaded whole, opened once. Raises DataError and PluginError."""
        if split not in self.readers:
            what, declared = f"data {self.info.name!r} ({split})", self.info.sizes[split]

            def make() -> Reader:
                items = self.dataset.open(split)
                count = len(items)  # type: ignore[arg-type]  # map-style data has a length; torch does not type it
                if count != declared:
                    raise DataError(f"{what} declares {declared} images, but open() gives {count}")
                return Reader(items, image=self.info.image, what=what, seed=self.resolution.experiment.seed)

            self.readers[split] = _make(self.resolution.one("data"), make)
        return self.readers[split]

    def take(self, split: Split, indices: Sequence[int], stream: Stream) -> Images:
        """Return chosen images of a split, without reading the others where it is not loaded whole.

        stream: what data that draws random numbers is seeded by. Raises DataError and PluginError.
        """
        images = self.images(split)
        if images is None:
            return self.reader(split).read(indices, stream)
        chosen = torch.tensor(indices)
        return Images(images.pixels[chosen], None if images.labels is None else images.labels[chosen])

    def _check(self, images: Images, split: Split) -> None:
        check_images(images, f"data {self.info.name!r} ({split})")
        declared, shape = self.info.image, tuple(images.pixels.shape[1:])
        if shape != (declared.channels, declared.height, declared.width):
            raise DataError(f"data {self.info.name!r} declares images of {declared}, but its {split} split has {shape}")
        labels, classes = images.labels, declared.classes
        if classes is not None:
            if labels is None:
                raise DataError(f"data {self.info.name!r} declares {classes} classes, but gives no labels")
            if int(labels.min()) < 0 or int(labels.max()) >= classes:
                found = f"{int(labels.min())} to {int(labels.max())}"
                raise DataError(f"data {self.info.name!r} has {classes} classes, but labels from {found}")


def build(resolution: Resolution) -> Assembly:
    """Make every part. Raises DataError, PluginError, and IncompatibleError for images beyond declared limits."""
    seed = resolution.experiment.seed
    data = resolution.one("data")
    dataset = cast("Dataset", _make(data, lambda: data.cls(data.options)))
    info = dataclasses.replace(_make(data, lambda: dataset.info), name=data.entry.component.name)
    generator = cast("Generator", build_network(resolution.one("gen"), info, seed, "weights/generator"))
    discriminator = cast("Discriminator", build_network(resolution.one("disc"), info, seed, "weights/discriminator"))
    if generator.takes_labels and not discriminator.takes_labels:
        resolution.notices.append(
            f"{resolution.one('gen').entry} takes labels, but {resolution.one('disc').entry} does not look at them: "
            "nothing teaches the generator to heed them"
        )
    return Assembly(
        resolution=resolution,
        dataset=dataset,
        info=info,
        generator=generator,
        discriminator=discriminator,
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
    except (Exception, SystemExit) as error:
        raise PluginError(f"{chosen.entry} cannot be built: {explain(error)}") from error

"""What scoring a generator needs: the data, the metrics, and what describes images."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import torch

from ganforge.components import Dataset, DatasetInfo, FeatureExtractor, Images, Metric, Split, check_images
from ganforge.config import ComponentRef
from ganforge.config.resolved import ResolvedComponent, ResolvedConfig
from ganforge.data.reader import Reader
from ganforge.errors import DataError, GanforgeError, PluginError
from ganforge.plugins.sources import explain
from ganforge.utils.rng import Stream, layers_seeded

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Scoring:
    """Hold what scoring a generator needs. Metrics are by name, in the order given."""

    resolved: ResolvedConfig
    dataset: Dataset
    info: DatasetInfo
    metrics: dict[str, Metric]
    loaded: dict[Split, Images | None] = field(default_factory=dict)
    readers: dict[Split, Reader] = field(default_factory=dict)
    _extractor: FeatureExtractor | None = field(default=None, init=False)

    def extractor(self) -> FeatureExtractor:
        """Return the feature extractor in evaluation mode, made at the first call: most runs never need it.

        Raises IncompatibleError for images that it cannot describe, PluginError, DataError.
        """
        if self._extractor is None:
            chosen, image = self.resolved.one("features"), self.info.image

            def construct() -> FeatureExtractor:
                chosen.cls.check_image(chosen.options, image)
                with layers_seeded(0, "weights/features"):  # of no run's seed: scores must be comparable
                    extractor: FeatureExtractor = chosen.cls(chosen.options, image)
                return extractor.eval().requires_grad_(requires_grad=False)

            self._extractor = made(chosen, construct)
        return self._extractor

    def leave_out(self, name: str) -> None:
        """Do without a metric, as if it had not been chosen."""
        resolved, number = self.resolved, list(self.metrics).index(name)
        chosen, named = list(resolved.chosen["metric"]), list(resolved.experiment.metric)
        del self.metrics[name], chosen[number], named[number]
        self.resolved = dataclasses.replace(
            resolved,
            experiment=resolved.experiment.model_copy(update={"metric": tuple(named)}),
            chosen={**resolved.chosen, "metric": tuple(chosen)},
        )

    def images(self, split: Split) -> Images | None:
        """Return a split, loaded once and checked, or None for data that is not loaded whole. Raises DataError."""
        if split not in self.loaded:
            images = made(self.resolved.one("data"), lambda: self.dataset.load(split), f"load its {split} split")
            if images is not None:
                self._check(images, split)
            self.loaded[split] = images
        return self.loaded[split]

    def reader(self, split: Split) -> Reader:
        """Return what reads a split that is not loaded whole, opened once. Raises DataError and PluginError."""
        if split not in self.readers:
            what, declared = f"data {self.info.name!r} ({split})", self.info.sizes[split]

            def opened() -> Reader:
                items = self.dataset.open(split)
                count = len(items)  # type: ignore[arg-type]  # map-style data has a length; torch does not type it
                if count != declared:
                    raise DataError(f"{what} declares {declared} images, but open() gives {count}")
                return Reader(items, image=self.info.image, what=what, seed=self.resolved.experiment.seed)

            self.readers[split] = made(self.resolved.one("data"), opened)
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
        count, size = len(images.pixels), self.info.sizes[split]
        if count != size:
            raise DataError(f"data {self.info.name!r} ({split}) declares {size:,} images, but load() gives {count:,}")
        declared, shape = self.info.image, tuple(images.pixels.shape[1:])
        if shape != (declared.channels, declared.height, declared.width):
            raise DataError(f"data {self.info.name!r} declares images of {declared}, but its {split} split has {shape}")
        labels, classes = images.labels, declared.num_classes
        if classes is not None:
            if labels is None:
                raise DataError(f"data {self.info.name!r} declares {classes} classes, but gives no labels")
            if int(labels.min()) < 0 or int(labels.max()) >= classes:
                found = f"{int(labels.min())} to {int(labels.max())}"
                raise DataError(f"data {self.info.name!r} has {classes} classes, but labels from {found}")


def build_scoring(resolved: ResolvedConfig, dataset: Dataset | None = None) -> Scoring:
    """Make data and metrics. Raises DataError and PluginError.

    dataset: what the resolved's data is, where it has been made before.
    """
    data = resolved.one("data")
    if dataset is None:
        dataset = cast("Dataset", made(data, lambda: data.cls(data.options)))
    info = dataclasses.replace(made(data, lambda: dataset.info), name=data.entry.component.name)
    metrics = made_by_name(resolved.experiment.metric, resolved.chosen["metric"])
    return Scoring(resolved=resolved, dataset=dataset, info=info, metrics=metrics)


def made_by_name(selections: Sequence[ComponentRef], chosen: Sequence[ResolvedComponent]) -> dict[str, Any]:
    """Make parts by the names that the experiment has for them: those of two plugins that clash are qualified."""
    return {selection.name: made_simply(item) for selection, item in zip(selections, chosen, strict=True)}


def made_simply(chosen: ResolvedComponent) -> Any:  # noqa: ANN401 - the registry has checked which interface it is
    """Make a component that needs nothing but its options."""
    return made(chosen, lambda: chosen.cls(chosen.options))


def made(chosen: ResolvedComponent, make: Callable[[], T], what: str = "be built") -> T:
    """Call a component's own code, so that whatever it raises names the component, and what it cannot."""
    try:
        return make()
    except GanforgeError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(f"{chosen.entry} cannot {what}: {explain(error)}") from error

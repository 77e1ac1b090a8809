"""Data, metrics and feature extractor of an experiment: all that scoring a generator needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ganforge.components import Dataset, DatasetInfo, FeatureExtractor, ImageSpec, ImageTensors, Metric, Split
from ganforge.config import ComponentRef
from ganforge.config.resolved import ResolvedComponent, ResolvedConfig
from ganforge.data.pictures import to_pictures
from ganforge.data.reader import Reader, check_split
from ganforge.errors import DataError, GanforgeError, PluginError
from ganforge.utils.rng import Stream, fork_torch_rng
from ganforge.utils.tracebacks import summarize_exception

#: Number of training images whose range is compared with [-1, 1].
PROBED_IMAGES = 64


@dataclass(kw_only=True)
class Scoring:
    """Data, metrics and feature extractor of an experiment.

    Attributes:
        resolved: Configuration and chosen components.
        dataset: Source of real images.
        info: Metadata of the dataset.
        metrics: Metrics by name, in the order in which they were chosen.
    """

    resolved: ResolvedConfig
    dataset: Dataset
    info: DatasetInfo
    metrics: dict[str, Metric]
    _splits: dict[Split, ImageTensors | Reader] = field(default_factory=dict, init=False)
    _extractor: FeatureExtractor | None = field(default=None, init=False)

    @cached_property
    def picture_spec(self) -> ImageSpec:
        """Shape of the pictures that `Dataset.to_pixels` makes, with the condition. Raises as `pictures` does."""
        image = self.info.image
        channels, height, width = self.pictures(torch.zeros(1, *image.shape)).shape[1:]
        return ImageSpec(channels, height, width, image.condition)

    def pictures(self, images: Tensor) -> Tensor:
        """Return pictures, `(N, C', H', W')` uint8 on the CPU, of images as networks see them, `(N, C, H, W)` float32.

        Raises PluginError.
        """
        with blame(self.resolved.one("data"), "make pictures of images"), torch.no_grad():
            return to_pictures(self.dataset, images)

    def unrounded_pictures(self, images: Tensor) -> Tensor:
        """Return pictures, `(N, C', H', W')` float32 in [0, 255], of images, `(N, C, H, W)` float32.

        They are not rounded unless the dataset overrides `to_pixels`.
        """
        if type(self.dataset).to_pixels is not Dataset.to_pixels:
            return self.pictures(images).float()
        return images.float().clamp(-1, 1).add(1).mul(127.5)

    def extractor(self) -> FeatureExtractor:
        """Return the feature extractor in evaluation mode, built at the first call: most runs never need it.

        Raises IncompatibleError if it does not take these images, PluginError, and DataError if its weights are
        missing.
        """
        if self._extractor is None:
            chosen = self.resolved.one("features")
            image = self.info.image if chosen.cls.raw_images else self.picture_spec
            with blame(chosen):
                chosen.cls.check_image(chosen.options, image)
                with fork_torch_rng(0, "weights/features"):  # not the seed of the run: scores must be comparable
                    extractor: FeatureExtractor = chosen.cls(chosen.options, image)
                self._extractor = extractor.eval().requires_grad_(requires_grad=False)
        return self._extractor

    @property
    def metric_components(self) -> dict[str, ResolvedComponent]:
        """Chosen components of the metrics, by name."""
        return dict(zip(self.metrics, self.resolved.chosen["metric"], strict=True))

    def leave_out(self, name: str) -> None:
        """Remove a metric, as if it had not been chosen."""
        resolved, number = self.resolved, list(self.metrics).index(name)
        chosen, refs = list(resolved.chosen["metric"]), list(resolved.experiment.metric)
        del self.metrics[name], chosen[number], refs[number]
        self.resolved = dataclasses.replace(
            resolved,
            experiment=resolved.experiment.model_copy(update={"metric": tuple(refs)}),
            chosen={**resolved.chosen, "metric": tuple(chosen)},
        )

    def notices(self, *, evaluates: bool) -> tuple[str, ...]:
        """Return the dataset's notices, and one if grids, or metrics if they are computed, clamp its numbers."""
        cls, first = type(self.dataset), range(min(PROBED_IMAGES, self.info.sizes["train"]))
        uses = ["grids"] if cls.render is Dataset.render else []
        raw = self.resolved.one("features").cls.raw_images
        if evaluates and not (raw and all(metric.needs & {"features", "logits"} for metric in self.metrics.values())):
            uses.append("metrics")
        if self.info.image.dtype == "uint8" or cls.to_pixels is not Dataset.to_pixels or not uses:
            return self.dataset.notices
        lowest, highest = self.take("train", first, "data/probe").images.aminmax()
        if lowest >= -1 and highest <= 1:
            return self.dataset.notices
        line = (
            f"data {self.info.name!r} has numbers from {lowest:.4g} to {highest:.4g}, which {' and '.join(uses)} clamp "
            "to [-1, 1]; a dataset may define to_pixels"
        )
        return (*self.dataset.notices, line)

    def images(self, split: Split) -> ImageTensors | None:
        """Return a split in memory, or None if the dataset is read image by image. Raises as `open` does."""
        opened = self.open(split)
        return opened if isinstance(opened, ImageTensors) else None

    def take(self, split: Split, indices: Sequence[int], stream: Stream) -> ImageTensors:
        """Return images of a split by their indices; data that are streamed are read for these alone.

        The stream seeds items that draw.
        """
        opened = self.open(split)
        if isinstance(opened, Reader):
            return opened.read(indices, stream)
        return opened.select(torch.tensor(indices, dtype=torch.int64))

    def open(self, split: Split) -> ImageTensors | Reader:
        """Return a split in memory, or its reader, opened and checked at the first call.

        Raises DataError if it cannot be read or differs from what the dataset declares, and PluginError for other
        errors.
        """
        if split not in self._splits:
            source, image = f"data {self.info.name!r} ({split})", self.info.image
            with blame(self.resolved.one("data"), f"open its {split} split"):
                opened = self.dataset.open(split)
                count, declared = len(opened), self.info.sizes[split]  # type: ignore[arg-type]  # torch does not type it
                if count != declared:
                    raise DataError(f"{source} declares {declared:,} images, but open() returns {count:,}")
                if isinstance(opened, ImageTensors):
                    check_split(opened, image, source)
                    self._splits[split] = opened
                else:
                    seed = self.resolved.experiment.seed
                    self._splits[split] = Reader(opened, image=image, source=source, seed=seed)
        return self._splits[split]


def build_scoring(resolved: ResolvedConfig, dataset: Dataset | None = None) -> Scoring:
    """Build dataset, unless it is given, and metrics. Raises DataError if the data cannot be read, and PluginError."""
    chosen = resolved.one("data")
    with blame(chosen):
        dataset = instantiate(chosen) if dataset is None else dataset
        info = dataclasses.replace(dataset.info, name=chosen.entry.component.name)
    metrics = instantiate_all(resolved.experiment.metric, resolved.chosen["metric"])
    return Scoring(resolved=resolved, dataset=dataset, info=info, metrics=metrics)


def instantiate_all(refs: Sequence[ComponentRef], chosen: Sequence[ResolvedComponent]) -> dict[str, Any]:
    """Return components by the names that the configuration has for them; clashing names are qualified there."""
    return {ref.name: instantiate(component) for ref, component in zip(refs, chosen, strict=True)}


def instantiate(chosen: ResolvedComponent) -> Any:  # noqa: ANN401 - the registry has checked the interface
    """Return a component that needs nothing but its options."""
    with blame(chosen):
        return chosen.cls(chosen.options)


@contextmanager
def blame(chosen: ResolvedComponent, action: str = "be built") -> Iterator[None]:
    """Turn any error of a component's code into a PluginError: the component cannot do the action."""
    try:
        yield
    except (GanforgeError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise PluginError(f"{chosen.entry} cannot {action}: {summarize_exception(error)}") from error

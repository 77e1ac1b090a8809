"""Inputs of one metric."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ganforge.components import EvaluationContext, FeatureOutput, Generator, LatentDistribution
from ganforge.components.metrics import Need, Source
from ganforge.errors import PluginError
from ganforge.evaluation.comparability import EXTRACTOR_NEEDS
from ganforge.evaluation.extraction import Extraction
from ganforge.evaluation.image_sets import ImageSet
from ganforge.plugins.registry import Entry


class MetricContext(EvaluationContext):
    """Inputs that a metric declares in `needs`; others are refused, with the metric's name.

    The metric may change `generator` and `latent`, which are copies.
    """

    def __init__(
        self,
        entry: Entry,
        needs: Collection[Need],
        sets: Mapping[Source, ImageSet],
        *,
        extraction: Extraction | None,
        generator: Generator | None,
        latent: LatentDistribution | None,
        rng: torch.Generator,
        shared: dict[Any, Any],
    ) -> None:
        self._entry = entry
        self._needs = needs
        self._sets = sets
        self._extraction = extraction if EXTRACTOR_NEEDS & set(needs) else None
        self.num_samples = sets["fake"].count
        self.num_train = sets["train"].count if "train" in needs else 0
        self.class_names = () if self._extraction is None else self._extraction.extractor.class_names
        self.rng = rng
        self.shared = shared
        self.generator = generator if "generator" in needs else None
        self.latent = latent if "generator" in needs else None

    def features(self, source: Source) -> FeatureOutput:
        """Return the features of all images of a source, `(N, D)` on the CPU; extracted once."""
        self._require_extraction()
        return self._images(source).features()

    def batches(self, source: Source) -> Iterator[Tensor]:
        """Yield the images of a source in order, as `(B, C, H, W)` uint8 pictures on the CPU."""
        return self._images(source).batches()

    def condition(self, source: Source) -> Tensor | None:
        """Return the conditions of a source's images, `(N,)` int64 classes or `(N, …)` as stored, or None."""
        return self._images(source).condition()

    def extract(self, images: Tensor) -> FeatureOutput:
        """Return the features of further images, `(B, C, H, W)` float32 as the generator returns them."""
        return self._require_extraction().unrounded(images)

    def _require_extraction(self) -> Extraction:
        if self._extraction is None:
            raise self._undeclared("features")
        return self._extraction

    def _images(self, source: Source) -> ImageSet:
        if source == "train" and "train" not in self._needs:
            raise self._undeclared("train")
        return self._sets[source]

    def _undeclared(self, need: Need) -> PluginError:
        return PluginError(f"{self._entry} reads {need!r} but does not declare it: needs = frozenset({{{need!r}}})")

"""Real images of an evaluation: read from the dataset, or described by reference statistics."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ganforge.components import ConditionSpec, Split
from ganforge.components.metrics import Source
from ganforge.components.sampling import MAX_BATCH_PIXELS, MAX_BATCH_SIZE
from ganforge.evaluation.extraction import Extraction
from ganforge.evaluation.image_sets import ImageSelection, ImageSet, RealImages, StoredImages, Take
from ganforge.evaluation.reference_statistics import (
    FeatureSet,
    ReferenceStatistics,
    StoredFeatures,
    real_images_protocol,
    stored_features,
)
from ganforge.evaluation.validation import needs_extractor
from ganforge.schemas.rows import Protocol

Sets = dict[Source, ImageSet]


class RealImageSets:
    """Real images, whose features are extracted once or come from a file, and training images in place of fakes.

    Attributes:
        extraction: Extraction of features; None before `read`, and if no metric needs it.
    """

    def __init__(
        self,
        selection: ImageSelection,
        *,
        batch_size: int | None,
        statistics: ReferenceStatistics | None,
        keeps_training_images: bool,
    ) -> None:
        self.selection = selection
        self.extraction: Extraction | None = None
        self._batch_size = batch_size
        self._statistics = statistics
        self._keeps_training_images = keeps_training_images
        self._real: RealImages | None = None
        self._train: StoredImages | None = None
        self._kept: RealImages | None = None

    @property
    def batch_size(self) -> int:
        """Most images at once."""
        scoring = self.selection.scoring
        pixels = max(image.height * image.width for image in (scoring.info.image, scoring.picture_spec))
        return self._batch_size or max(1, min(MAX_BATCH_SIZE, MAX_BATCH_PIXELS // pixels))

    @property
    def real(self) -> RealImages:
        """The real images."""
        if self._real is None:
            self._real = (
                self._split(self.selection.split, self.selection.real)
                if self._statistics is None
                else self._described(self._statistics.real)
            )
        return self._real

    @property
    def sets(self) -> Sets:
        """The real images, and the training images if a metric needs them."""
        if self._train is None and any("train" in metric.needs for metric in self.selection.scoring.metrics.values()):
            self._train = self._split("train", self.selection.train)
        sets: Sets = {"real": self.real}
        return sets if self._train is None else sets | {"train": self._train}

    def read(self, device: torch.device, progress: Callable[[str], None]) -> None:
        """Read and describe the images at the first call."""
        if needs_extractor(self.selection.scoring) and self.extraction is None:
            self.extraction = Extraction(self.selection.scoring, device, self._batch_size)
        if self.extraction is not None:
            progress(f"reading {self.selection.num_samples:,} real images")
            for images in self.sets.values():
                images.scan()

    def training_images(self) -> RealImages | None:
        """Return training images in place of the fakes, or None if there are too few."""
        if self._kept is not None:
            return self._kept
        images: RealImages | None = None
        if self._statistics is not None:
            images = None if self._statistics.reference is None else self._described(self._statistics.reference)
        elif self.selection.reference is not None:
            images = self._split("train", self.selection.reference)
        self._kept = images if self._keeps_training_images else None
        return images

    def stored(self, take: Take, spec: ConditionSpec | None, indices: Tensor) -> StoredImages:
        """Return images that exist already, by their indices, `(N,)` int64."""
        return StoredImages(
            take,
            spec,
            indices,
            batch_size=self.batch_size,
            scoring=self.selection.scoring,
            extraction=self.extraction,
        )

    def forget(self) -> None:
        """Drop features that a metric has changed; they are extracted again."""
        self._real = self._train = self._kept = None

    def statistics(self, stamped: Protocol) -> ReferenceStatistics:
        """Return the features of the real images and of those in place of the fakes, with an evaluation's protocol."""
        training_images = self.training_images()
        return ReferenceStatistics(
            self.selection.scoring.info,
            real_images_protocol(stamped),
            stored_features(self.real),
            None if training_images is None else stored_features(training_images),
        )

    def _split(self, split: Split, indices: Tensor) -> StoredImages:
        scoring = self.selection.scoring
        return self.stored(partial(scoring.take, split), scoring.info.image.condition, indices)

    def _described(self, features: StoredFeatures) -> FeatureSet:
        return FeatureSet(features, self.batch_size, self.selection.scoring)

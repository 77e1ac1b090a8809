"""Features of generated and real images, as the run's metrics see them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ganforge.components import Dataset, FeatureOutput, ImageTensors
from ganforge.config import Layer
from ganforge.config.reload import reload_for_scoring
from ganforge.data.scoring import build_scoring
from ganforge.evaluation.extraction import Extraction
from ganforge.latent_space.space import LatentSpace
from ganforge.runs.latents import Latents
from ganforge.utils.images import normalize

#: Real images that are read at once.
BATCH_SIZE = 500


class Features:
    """Feature extractor and data of a run.

    Attributes:
        scoring: Dataset and extractor.
        extractor: The feature extractor.
    """

    def __init__(self, space: LatentSpace, name: str | None = None) -> None:
        """Open the data and an extractor, that of the run by default.

        Raises UsageError if one of them cannot be used.
        """
        run, device = space.run, space.device
        layers = [Layer("command line", {"metric": []} | ({} if name is None else {"features": name}))]
        resolved = reload_for_scoring(run.experiment, run.registry, run.manifest, layers)
        self.scoring = build_scoring(resolved)
        self._extraction = Extraction(self.scoring, device)
        self.extractor = self._extraction.extractor

    def of_images(self, images: Tensor) -> FeatureOutput:
        """Return the features of images as networks see them, `(N, C, H, W)` float32, on the CPU."""
        return self._extraction.unrounded(images)

    @property
    def is_differentiable(self) -> bool:
        """True if the extractor takes images without rounding them to bytes."""
        own_pictures = type(self.scoring.dataset).to_pixels is not Dataset.to_pixels
        return self.extractor.raw_images or (self.extractor.accepts_float and not own_pictures)

    def differentiable(self, images: Tensor) -> Tensor:
        """Return the features of images with their graph, `(N, D)`; see `is_differentiable`."""
        output: FeatureOutput = self.extractor(
            images if self.extractor.raw_images else self.scoring.unrounded_pictures(images)
        )
        return output.features

    def of_latents(self, space: LatentSpace, latents: Latents) -> FeatureOutput:
        """Return the features of latents' images, computed in batches."""
        parts = [
            self.of_images(space.images(latents[begin : begin + BATCH_SIZE]))
            for begin in range(0, len(latents), BATCH_SIZE)
        ]
        logits = [part.logits for part in parts if part.logits is not None]
        return FeatureOutput(torch.cat([part.features for part in parts]), torch.cat(logits) if logits else None)

    def training_images(self, indices: list[int]) -> ImageTensors:
        """Return training images, as stored, by their indices."""
        return self.scoring.take("train", indices, "latent-space")

    def of_training_images(self, count: int) -> Iterator[Tensor]:
        """Yield the features of the first training images, at most `count`, in batches, `(N, D)`."""
        for indices in torch.arange(min(count, self.scoring.info.sizes["train"])).split(BATCH_SIZE):
            yield self.of_images(normalize(self.training_images(indices.tolist()).images)).features

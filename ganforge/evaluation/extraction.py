"""Features of images."""

from __future__ import annotations

import torch
from torch import Tensor

from ganforge.components import FeatureOutput
from ganforge.data.scoring import Scoring, blame
from ganforge.errors import PluginError
from ganforge.utils.devices import float32_matmul

#: Limits of the images that an extractor gets at once: their number, and pixels of one channel.
MAX_BATCH_SIZE, MAX_BATCH_PIXELS = 100, 2**20


class Extraction:
    """Chosen feature extractor on a device, applied in batches that fit into memory; its output is checked."""

    def __init__(self, scoring: Scoring, device: torch.device, batch_size: int | None = None) -> None:
        self.extractor = scoring.extractor().to(device).eval()
        self._device = device
        self._scoring = scoring
        self._chosen = scoring.resolved.one("features")
        self._entry = self._chosen.entry
        self._batch_size = batch_size or MAX_BATCH_SIZE

    def empty(self, count: int) -> FeatureOutput:
        """Return an output for `count` images that is not filled yet."""
        classes = len(self.extractor.class_names)
        logits = torch.empty(count, classes) if classes else None
        return FeatureOutput(torch.empty(count, self.extractor.size), logits)

    def unrounded(self, images: Tensor) -> FeatureOutput:
        """Return features of images as the generator returns them; pictures are rounded only if need be."""
        if self.extractor.raw_images:
            return self(images, images)
        convert = self._scoring.unrounded_pictures if self.extractor.accepts_float else self._scoring.pictures
        return self(images, convert(images))

    @torch.no_grad()
    def __call__(self, images: Tensor, pictures: Tensor) -> FeatureOutput:
        """Return features of images, `(N, C, H, W)` as networks see them, and their pictures; float32 on the CPU.

        Raises PluginError if the extractor fails, or returns something else than it declares.
        """
        inputs = images if self.extractor.raw_images else pictures
        whole = self.empty(len(inputs))
        size = max(1, min(self._batch_size, MAX_BATCH_PIXELS // (inputs.shape[-2] * inputs.shape[-1])))
        with float32_matmul(), torch.autocast(self._device.type, enabled=False):
            for begin in range(0, len(inputs), size):
                batch = slice(begin, min(begin + size, len(inputs)))
                output = self._extract(inputs[batch])
                whole.features[batch] = self._checked(output.features, whole.features[batch], "features")
                if whole.logits is not None:
                    whole.logits[batch] = self._checked(output.logits, whole.logits[batch], "logits")
        if not bool(whole.features.isfinite().all()):
            raise PluginError(f"{self._entry} returns a feature that is not finite")
        return whole

    def _extract(self, inputs: Tensor) -> FeatureOutput:
        with blame(self._chosen, f"extract features of {len(inputs)} images"):
            output = self.extractor(inputs.to(self._device, copy=True))  # extractors may write into their input
        if not isinstance(output, FeatureOutput):
            raise PluginError(
                f"{self._entry} returns {type(output).__name__}; FeatureOutput(features, logits) is required"
            )
        return output

    def _checked(self, values: object, expected: Tensor, name: str) -> Tensor:
        if not isinstance(values, Tensor):
            raise PluginError(f"{self._entry} returns {name} that are {type(values).__name__}, not a tensor")
        if values.shape != expected.shape:
            raise PluginError(
                f"{self._entry} returns {name} of shape {tuple(values.shape)}; {tuple(expected.shape)} is required"
            )
        return values

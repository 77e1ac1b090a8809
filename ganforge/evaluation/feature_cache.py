"""Describe images by their features, in parts that memory suffices for, and remember what was found."""

from __future__ import annotations

import zlib

import torch
from torch import Tensor

from ganforge.components import FeatureExtractor, FeatureOutput
from ganforge.errors import GanforgeError, PluginError
from ganforge.plugins.registry import Entry
from ganforge.plugins.sources import explain
from ganforge.utils.matmul import matrix_products

#: Images that are described at once, and pixels of them. What is said of one does not depend on it; the memory does.
BATCH, PIXELS = 100, 1 << 20


def checksums(*tensors: Tensor | None) -> list[int]:
    """Return a number for each tensor, on the CPU, that is another one once somebody has written into it."""
    return [zlib.crc32(tensor.contiguous().numpy().data) for tensor in tensors if tensor is not None]


def _parts(found: FeatureOutput | None) -> tuple[Tensor | None, ...]:
    return () if found is None else (found.features, found.logits)


class Extraction:
    """Describe images with one extractor, on one device; sets of images that are kept are described once."""

    def __init__(self, extractor: FeatureExtractor, device: torch.device, entry: Entry, batch: int = BATCH) -> None:
        self.extractor = extractor.to(device).eval()
        self.device = device
        self.entry = entry
        self.batch = batch
        self._kept: dict[int, tuple[Tensor, FeatureOutput | None]] = {}
        self._checksums: dict[int, list[int]] = {}

    def keep(self, images: Tensor) -> None:
        """Remember what will be found in these images, `(N, C, H, W)`; they are held until they are dropped."""
        self._kept.setdefault(id(images), (images, None))

    def drop(self, images: Tensor) -> None:
        """Forget images, and what was found in them."""
        self._kept.pop(id(images), None)
        self._checksums.pop(id(images), None)

    def altered(self) -> bool:
        """Whether somebody has written into what is remembered."""
        return any(checksums(*_parts(self._kept[key][1])) != before for key, before in self._checksums.items())

    def __call__(self, images: Tensor) -> FeatureOutput:
        """Describe images, uint8, `(N, C, H, W)`, in float32; the answer lies on the CPU.

        Raises PluginError, which names the extractor.
        """
        kept = self._kept.get(id(images))
        if kept is not None and kept[1] is not None:
            return kept[1]
        found = self._describe(images)
        if kept is not None:
            self._kept[id(images)] = (images, found)
            self._checksums[id(images)] = checksums(*_parts(found))
        return found

    @torch.no_grad()
    def _describe(self, images: Tensor) -> FeatureOutput:
        classes = len(self.extractor.class_names)
        features = torch.empty(len(images), self.extractor.size)
        logits = torch.empty(len(images), classes) if classes else None
        with matrix_products(), torch.autocast(self.device.type, enabled=False):
            at_once = max(1, min(self.batch, PIXELS // (images.shape[-2] * images.shape[-1])))
            for begin in range(0, len(images), at_once):
                part = images[begin : begin + at_once]
                found = self._asked(part)
                features[begin : begin + len(part)] = self._checked(found.features, len(part), self.extractor.size)
                if logits is not None:
                    logits[begin : begin + len(part)] = self._checked(found.logits, len(part), classes, "logits")
        if not bool(features.isfinite().all()):
            raise PluginError(f"{self.entry} gives a feature that is not a finite number")
        return FeatureOutput(features, logits)

    def _asked(self, images: Tensor) -> FeatureOutput:
        try:
            found = self.extractor(images.to(self.device, copy=True))  # it may write into what it is given
        except GanforgeError:
            raise
        except (Exception, SystemExit) as error:
            raise PluginError(f"{self.entry} cannot describe {len(images)} images: {explain(error)}") from error
        if not isinstance(found, FeatureOutput):
            raise PluginError(f"{self.entry} returns {type(found).__name__}; FeatureOutput(features, logits) is needed")
        return found

    def _checked(self, values: object, count: int, size: int, what: str = "features") -> Tensor:
        if not isinstance(values, Tensor):
            raise PluginError(f"{self.entry} gives {what} that are no tensor but {type(values).__name__}")
        if values.shape != (count, size):
            told = f"{self.entry} gives {what} of shape {tuple(values.shape)} for {count} images"
            raise PluginError(f"{told}; ({count}, {size}) is due")
        return values

"""Images of an evaluation: which ones of the dataset, and all in batches, the same at every pass."""

from __future__ import annotations

import hashlib
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import torch
from torch import Tensor

from ganforge.components import ConditionSpec, FeatureOutput, ImageTensors, Split
from ganforge.components.sampling import Sampler
from ganforge.data.scoring import Scoring
from ganforge.errors import GanforgeError
from ganforge.evaluation.extraction import Extraction
from ganforge.utils.images import normalize
from ganforge.utils.rng import Stream, derive_generator

#: Function that returns images by their indices; the stream seeds items that draw random numbers.
Take: TypeAlias = Callable[[Sequence[int], Stream], ImageTensors]

#: Bytes of fakes' pictures that are kept in memory; larger sets are generated again for every pass.
MAX_KEPT_BYTES = 256 * 2**20
#: Most training images that fakes are compared with.
MAX_TRAIN_IMAGES = 100_000


@dataclass(frozen=True, kw_only=True)
class ImageSelection:
    """Indices of an evaluation's images. The same seed, split and count select the same images for every generator.

    Attributes:
        num_samples: Number of real images, and of fakes.
        split: Split of the real images.
        known_fingerprint: Fingerprint of the split if its images are not read.
    """

    scoring: Scoring
    num_samples: int
    split: Split
    seed: int
    known_fingerprint: str | None = None

    @property
    def real(self) -> Tensor:
        """Indices of the real images in `split`, `(N,)` int64."""
        return self._order(self.split, "evaluation")[: self.num_samples]

    @property
    def reference(self) -> Tensor | None:
        """Indices of as many training images, none of them among the real ones; None if there are too few."""
        if self.split == "train":
            indices = self._order("train", "evaluation")[self.num_samples : 2 * self.num_samples]
        else:
            indices = self._order("train", "evaluation/reference")[: self.num_samples]
        return indices if len(indices) == self.num_samples else None

    @cached_property
    def train(self) -> Tensor:
        """Indices of the training images: all, in their order, or `MAX_TRAIN_IMAGES` of them."""
        size = self.scoring.info.sizes["train"]
        if size <= MAX_TRAIN_IMAGES:
            return torch.arange(size)
        return self._order("train", "evaluation/train")[:MAX_TRAIN_IMAGES]

    @cached_property
    def fingerprint(self) -> str:
        """Fingerprint of the real images' split: of all images in memory, or of some that are read."""
        if self.known_fingerprint is not None:
            return self.known_fingerprint
        return self.scoring.open(self.split).fingerprint()

    def _order(self, split: Split, stream: Stream) -> Tensor:
        return torch.randperm(self.scoring.info.sizes[split], generator=derive_generator(self.seed, stream))


class ImageSet(ABC):
    """Images of one source, passed over in batches; never all in memory, except small pictures of fakes.

    Attributes:
        count: Number of images.
        not_finite: Images with a number that is not finite, known after `scan`.
    """

    def __init__(self, count: int, scoring: Scoring, extraction: Extraction | None) -> None:
        self.count = count
        self.not_finite = 0
        self._scoring = scoring
        self._extraction = extraction
        self._max_kept_bytes = 0
        self._scanned = False
        self._output: FeatureOutput | None = None
        self._error: GanforgeError | None = None
        self._checksum = 0
        self._kept: list[Tensor] = []

    @abstractmethod
    def _images(self) -> Iterator[Tensor]:
        """Yield all images as networks see them, `(B, C, H, W)` float32 on the CPU, in the same batches every time."""

    @abstractmethod
    def condition(self) -> Tensor | None:
        """Return the conditions of all images, as the dataset stores them, or None. The caller may write into them."""

    def scan(self) -> None:
        """Pass over all images once: extract features, count images that are not finite, keep small pictures.

        Errors of the extractor are raised by `features`, to the metric that needs them.
        """
        if self._scanned:
            return
        output = None if self._extraction is None else self._extraction.empty(self.count)
        kept: list[Tensor] = []
        done = 0
        for images in self._images():
            self.not_finite += len(images) - int(images.isfinite().flatten(1).all(1).sum())
            if self.not_finite:  # no scores without all images: the others are only counted
                continue
            pictures = self._scoring.pictures(images)
            if pictures[0].nbytes * self.count <= self._max_kept_bytes:
                kept.append(pictures)
            if self._extraction is not None and output is not None and self._error is None:
                self._extract_into(output, slice(done, done + len(images)), images, pictures)
            done += len(images)
        self._scanned, self._kept, self._output = True, kept, output
        self._checksum = self._features_checksum()

    def _extract_into(self, output: FeatureOutput, batch: slice, images: Tensor, pictures: Tensor) -> None:
        assert self._extraction is not None, "features are wanted"  # noqa: S101
        try:
            part = self._extraction(images, pictures)
        except GanforgeError as error:
            self._error = error
            return
        output.features[batch] = part.features
        if output.logits is not None and part.logits is not None:
            output.logits[batch] = part.logits

    def features(self) -> FeatureOutput:
        """Return the features of all images, `(N, D)` on the CPU; extracted once."""
        self.scan()
        if self._error is not None:
            raise self._error
        assert self._output is not None, "metrics without features are refused before"  # noqa: S101
        return self._output

    def batches(self) -> Iterator[Tensor]:
        """Yield all images as pictures, `(B, C, H, W)` uint8; the caller may write into them."""
        if self._kept:
            yield from (pictures.clone() for pictures in self._kept)
        else:
            yield from map(self._scoring.pictures, self._images())

    def tampered(self) -> bool:
        """Return whether features differ from those that were extracted."""
        return self._features_checksum() != self._checksum

    def _features_checksum(self) -> int:
        tensors = () if self._output is None else (self._output.features, self._output.logits)
        checksum = 0
        for tensor in tensors:
            if tensor is not None:
                checksum = zlib.crc32(tensor.numpy().data, checksum)
        return checksum


class RealImages(ImageSet):
    """Images whose conditions fakes may get."""

    @abstractmethod
    def conditions(self) -> Iterator[Tensor]:
        """Yield the conditions of each batch."""


class StoredImages(RealImages):
    """Images of a dataset's split, or of files, by their indices, `(N,)` int64; `take` returns `batch_size` at once."""

    def __init__(
        self,
        take: Take,
        spec: ConditionSpec | None,
        indices: Tensor,
        *,
        batch_size: int,
        scoring: Scoring,
        extraction: Extraction | None,
    ) -> None:
        super().__init__(len(indices), scoring, extraction)
        self._take = take
        self._spec = spec
        self._indices = indices
        self._batch_size = batch_size
        self._condition: Tensor | None = None
        self._keeps_condition = spec is not None and spec.kind != "tensor"

    def condition(self) -> Tensor | None:
        """Return the conditions of all images, as the dataset stores them, or None."""
        return None if self._spec is None else torch.cat(list(self.conditions()))

    def conditions(self) -> Iterator[Tensor]:
        """Yield the conditions of each batch; those that are tensors, such as images, are read again every time."""
        if self._condition is None and self._keeps_condition:
            self._condition = torch.cat(
                [tensors.condition for tensors in self._tensors() if tensors.condition is not None]
            )
        if self._condition is not None:
            yield from torch.split(self._condition.clone(), self._batch_size)
        else:
            yield from (tensors.condition for tensors in self._tensors() if tensors.condition is not None)

    def sha256(self) -> str:
        """Return the SHA-256 of the images as they are stored, with their type and shape."""
        digest = hashlib.sha256()
        for tensors in self._tensors():
            images = tensors.images
            digest.update(f"{images.dtype} {tuple(images.shape[1:])}\n".encode())
            digest.update(images.contiguous().numpy().data)
        return digest.hexdigest()

    def _images(self) -> Iterator[Tensor]:
        conditions: list[Tensor] = []
        for tensors in self._tensors():
            if tensors.condition is not None and self._keeps_condition:
                conditions.append(tensors.condition)
            yield normalize(tensors.images)
        self._condition = torch.cat(conditions) if conditions else None

    def _tensors(self) -> Iterator[ImageTensors]:
        for number, indices in enumerate(torch.split(self._indices, self._batch_size)):
            yield self._take(indices.tolist(), f"evaluation/items/{number}")


class GeneratedImages(ImageSet):
    """Fakes of latents, `(N, Z)`, generated again for every pass if their pictures are too large to be kept.

    A conditional generator gets the conditions of the `real` images.
    """

    def __init__(
        self,
        sampler: Sampler,
        latents: Tensor,
        real: RealImages | None,
        *,
        scoring: Scoring,
        extraction: Extraction | None,
    ) -> None:
        super().__init__(len(latents), scoring, extraction)
        self._sampler = sampler
        self._latents = latents
        self._real = real
        self._max_kept_bytes = MAX_KEPT_BYTES

    def condition(self) -> Tensor | None:
        """Return the conditions of all fakes, those of the real images, or None."""
        return None if self._real is None else self._real.condition()

    def _images(self) -> Iterator[Tensor]:
        conditions = None if self._real is None else self._real.conditions()
        for images in self._sampler.batches(self._latents, conditions):
            yield images.cpu()

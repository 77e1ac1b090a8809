"""Interface of datasets."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Self, TypeAlias

import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from ganforge.components.base import ComponentOptions, Configurable
from ganforge.components.image_spec import ConditionSpec, DatasetInfo, ImageSpec
from ganforge.errors import DataError
from ganforge.utils.images import to_uint8

Split = Literal["train", "test"]

#: Item of a map-style dataset: (image, condition) or (image, condition, extras). The condition of an image without one
#: is None or 0.
Item: TypeAlias = "tuple[Tensor, Any] | tuple[Tensor, Any, Mapping[str, Tensor]]"


@dataclass(frozen=True, slots=True)
class ImageTensors:
    """One split in memory.

    Attributes:
        images: `(N, C, H, W)` uint8, or float32 of any range.
        condition: `(N,)` int64 classes, `(N, D)` float32 vectors, `(N, …)` float32 or uint8 tensors, or None.
        extras: Further tensors that terms need, by name, `(N, …)`.
    """

    images: Tensor
    condition: Tensor | None = None
    extras: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """Return the images with a function applied to each tensor."""
        return type(self)(
            function(self.images),
            None if self.condition is None else function(self.condition),
            {name: function(values) for name, values in self.extras.items()},
        )

    def select(self, indices: Tensor) -> Self:
        """Return the images of some indices, `(M,)` int64."""
        return self.map(lambda values: values.index_select(0, indices))

    def fingerprint(self) -> str:
        """Return the SHA-256 of shape and content; the same images in the same order have the same fingerprint."""
        digest = hashlib.sha256(repr(tuple(self.images.shape)).encode())
        digest.update(self.images.contiguous().numpy().data)
        if self.condition is not None:
            digest.update(self.condition.contiguous().numpy().data)
        for name, values in sorted(self.extras.items()):
            digest.update(name.encode())
            digest.update(values.contiguous().numpy().data)
        return digest.hexdigest()


class Dataset(Configurable, ABC):
    """Source of real images.

    `open` returns tensors in memory, or a map-style torch dataset for data that is read image by image. `info` is
    derived for tensors in memory; a map-style dataset defines it.
    """

    class Options(ComponentOptions):
        """Options of every dataset."""

    options: Options

    @property
    def splits(self) -> tuple[Split, ...]:
        """Splits that exist."""
        return ("train", "test")

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes, in order, or None for data without class labels."""
        return None

    @property
    def condition_names(self) -> tuple[str, ...] | None:
        """Names of the entries of vector conditions, or None."""
        return None

    @property
    def source(self) -> str:
        """Origin of the images, in one line; known once a split is open."""
        return ""

    @property
    def notices(self) -> tuple[str, ...]:
        """Lines to read before training, such as skipped pictures; known once a split is open."""
        return ()

    def resolved(self) -> Options:
        """Return options that name the files exactly, so that a repeated run finds the same."""
        return self.options

    @abstractmethod
    def open(self, split: Split) -> ImageTensors | TorchDataset[Any]:
        """Return a split: tensors in memory, or a map-style torch dataset of `Item`s.

        Items are read in worker processes, so a map-style dataset must be picklable.

        Raises:
            DataError: The split cannot be read.
        """

    @cached_property
    def info(self) -> DatasetInfo:
        """Metadata; a map-style dataset must define it."""
        splits: dict[str, ImageTensors] = {}
        for split in self.splits:
            opened = self.open(split)
            if not isinstance(opened, ImageTensors):
                raise DataError(f"{type(self).__name__} is read image by image, so it must define `info`")
            check_images(opened, f"{type(self).__name__}.open({split!r})")
            splits[split] = opened
        train = splits["train"]
        _, channels, height, width = train.images.shape
        return DatasetInfo(
            image=ImageSpec(
                channels,
                height,
                width,
                _condition_spec(train.condition, self.class_names, self.condition_names),
                "uint8" if train.images.dtype == torch.uint8 else "float32",
            ),
            class_names=self.class_names,
            sizes={split: len(images) for split, images in splits.items()},
            fingerprint=train.fingerprint(),
            name=type(self).__name__,
            source=self.source,
        )

    def to_pixels(self, images: Tensor) -> Tensor:
        """Return pictures, `(N, C', H', W')` uint8 with 1 or 3 channels, for grids and metrics.

        Args:
            images: As networks see them, `(N, C, H, W)` float32. Values outside [-1, 1] are clamped; a dataset of
                other numbers, such as an autoencoder's latents, overrides this method.
        """
        return to_uint8(images)

    def render(self, images: Tensor) -> Tensor | None:
        """Return one picture of many samples, `(C, H, W)` uint8, such as a scatter plot, or None for a grid.

        Args:
            images: As networks see them, `(N, C, H, W)` float32.
        """
        return None


def _condition_spec(
    condition: Tensor | None, class_names: tuple[str, ...] | None, names: tuple[str, ...] | None
) -> ConditionSpec | None:
    """Return the spec of conditions in memory. Without names, the largest label determines the number of classes."""
    if condition is None:
        return None
    if condition.dtype == torch.int64 and condition.ndim == 1:
        return ConditionSpec.classes(int(condition.max()) + 1 if class_names is None else len(class_names))
    if condition.dtype == torch.float32 and condition.ndim == len("ND"):
        return ConditionSpec.vector(condition.shape[1] if names is None else names)
    return ConditionSpec.tensor(tuple(condition.shape[1:]), "uint8" if condition.dtype == torch.uint8 else "float32")


def check_images(images: ImageTensors, source: str) -> None:
    """Raise DataError unless images, condition and extras are tensors of the permitted types for as many images.

    Args:
        images: A split.
        source: Where it comes from, for the message.
    """
    pixels, condition = images.images, images.condition
    if pixels.dtype not in {torch.uint8, torch.float32} or pixels.ndim != len("NCHW"):
        raise DataError(
            f"{source} returns images of {pixels.dtype} with shape {tuple(pixels.shape)}; "
            "uint8 or float32 (N, C, H, W) is required"
        )
    if len(pixels) == 0:
        raise DataError(f"{source} returns no images")
    if pixels.dtype == torch.float32 and not bool(pixels.isfinite().all()):
        raise DataError(f"{source} returns images with numbers that are not finite")
    if condition is not None:
        allowed = condition.dtype in {torch.float32, torch.uint8} or (
            condition.dtype == torch.int64 and condition.ndim == 1
        )
        if not allowed or len(condition) != len(pixels):
            raise DataError(
                f"{source} returns conditions of {condition.dtype} with shape {tuple(condition.shape)} for "
                f"{len(pixels)} images; int64 (N,), float32 (N, …) or uint8 (N, …) is required"
            )
    for name, values in images.extras.items():
        if len(values) != len(pixels):
            raise DataError(f"{source} returns {len(values)} of extra {name!r} for {len(pixels)} images")

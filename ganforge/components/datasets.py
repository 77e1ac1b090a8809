"""Where real images come from."""

from __future__ import annotations

import hashlib
from abc import ABC
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from ganforge.components.base import Configurable, Options
from ganforge.components.networks import ImageSpec
from ganforge.errors import DataError

Split = Literal["train", "test"]


@dataclass(frozen=True, slots=True)
class Images:
    """Hold one split in memory.

    pixels: uint8, `(N, C, H, W)`, 0 to 255. labels: int64, `(N,)`, or None.
    """

    pixels: Tensor
    labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    def fingerprint(self) -> str:
        """Return the SHA-256 of shape, pixels and labels: the same images in the same order give the same text."""
        digest = hashlib.sha256(repr(tuple(self.pixels.shape)).encode())
        digest.update(self.pixels.contiguous().numpy().data)
        if self.labels is not None:
            digest.update(self.labels.contiguous().numpy().data)
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """Say what a data set holds.

    name: for people. image: shape and number of classes. classes: their names, or None. sizes: images per split.
    fingerprint: changes whenever the training images do. source: where the images came from, in words.
    """

    name: str
    image: ImageSpec
    class_names: tuple[str, ...] | None
    sizes: dict[str, int]
    fingerprint: str
    source: str = ""


class Dataset(Configurable, ABC):
    """Provide real images: `load` where they fit in memory, else `open`.

    A data set overrides one of the two. `classes` names the labels, where there are any.
    """

    class Options(Options):
        """Options of every data set."""

    options: Options

    def __init__(self, options: Options) -> None:
        self.options = options

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits there are; a data set may have to look at the disk to know."""
        return ("train", "test")

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The labels' names, in order, or None for data without labels."""
        return None

    @property
    def source(self) -> str:
        """Say in one line where the images came from; known once a split is loaded."""
        return ""

    @property
    def notices(self) -> tuple[str, ...]:
        """Lines that a person should read before training, such as skipped pictures; known once a split is loaded."""
        return ()

    def resolved(self) -> Options:
        """Return options that name exactly what was found, so that a repeated run finds the same."""
        return self.options

    def load(self, split: Split) -> Images | None:
        """Return a whole split, or None for data that `open` gives image by image. Raises DataError."""
        return None

    def open(self, split: Split) -> TorchDataset[tuple[Tensor, int]]:
        """Return a map-style data set of (uint8 image `(C, H, W)`, label; 0 where there is none). Raises DataError.

        Its items are read in processes of their own while training goes on, so that it must be picklable.
        """
        raise DataError(f"{type(self).__name__} provides neither load() nor open() for its {split!r} split")

    @cached_property
    def info(self) -> DatasetInfo:
        """Describe the data. Data that is not loaded whole must say this itself."""
        loaded: dict[str, Images] = {}
        for split in self.splits:
            images = self.load(split)
            if images is None:
                raise DataError(f"{type(self).__name__} is not loaded whole, so it must define `info`")
            check_images(images, f"{type(self).__name__}.load({split!r})")
            loaded[split] = images
        train = loaded["train"]
        classes = self.class_names
        _, channels, height, width = train.pixels.shape
        return DatasetInfo(
            name=type(self).__name__,
            image=ImageSpec(channels, height, width, None if classes is None else len(classes)),
            class_names=classes,
            sizes={split: len(images) for split, images in loaded.items()},
            fingerprint=train.fingerprint(),
            source=self.source,
        )


def check_images(images: Images, what: str) -> None:
    """Raise DataError unless pixels are uint8 `(N, C, H, W)` and labels int64 `(N,)` or None; `what` gave them."""
    pixels, labels = images.pixels, images.labels
    if pixels.dtype != torch.uint8 or pixels.ndim != len("NCHW"):
        raise DataError(
            f"{what} gives pixels of {pixels.dtype} with shape {tuple(pixels.shape)}; they must be uint8 (N, C, H, W)"
        )
    if len(pixels) == 0:
        raise DataError(f"{what} gives no images")
    if labels is not None and (labels.dtype != torch.int64 or labels.shape != (len(pixels),)):
        raise DataError(
            f"{what} gives labels of {labels.dtype} with shape {tuple(labels.shape)} for {len(pixels)} images; "
            "they must be int64 (N,)"
        )

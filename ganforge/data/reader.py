"""Images of a split that is not loaded whole: read a few at a time, checked, and the same in whichever process."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from ganforge.components import Images, ImageSpec
from ganforge.errors import DataError, GanforgeError
from ganforge.plugins.sources import explain
from ganforge.utils.rng import Stream, globals_seeded

PAIR = 2


class Reader:
    """Read images of an opened split by their numbers. It pickles where its items do.

    items: what `Dataset.open` gave. image: what the data set declares. what: the data and the split, in words.
    """

    def __init__(self, items: TorchDataset[tuple[Tensor, int]], *, image: ImageSpec, what: str, seed: int) -> None:
        self.what = what
        self._items = items
        self._image = image
        self._seed = seed

    def read(self, indices: Sequence[int], stream: Stream, *address: int) -> Images:
        """Return images in the order asked for; labels are None for data without classes.

        Data that draws from Python's, numpy's or torch's global generators finds them seeded by (seed, stream,
        address), so that it gives the same in any process; they are left as they were. Raises DataError, which names
        the image.
        """
        image = self._image
        pixels = torch.empty((len(indices), image.channels, image.height, image.width), dtype=torch.uint8)
        labels = torch.zeros(len(indices), dtype=torch.int64)
        with globals_seeded(self._seed, stream, *address):
            for slot, index in enumerate(indices):
                pixels[slot], labels[slot] = self._item(index)
        return Images(pixels, None if image.num_classes is None else labels)

    def _item(self, index: int) -> tuple[Tensor, int]:
        """Return one image, uint8 `(C, H, W)`, and its label."""
        which = f"{self.what}: image {index}"
        try:
            item = self._items[index]
        except GanforgeError as error:
            raise DataError(f"{which} cannot be read: {error.message}", fix=error.fix) from error
        except (Exception, SystemExit) as error:
            raise DataError(f"{which} cannot be read: {explain(error)}") from error
        return self._checked(item, which)

    def _checked(self, item: Any, which: str) -> tuple[Tensor, int]:  # noqa: ANN401 - whatever a plugin gave
        if not isinstance(item, tuple) or len(item) != PAIR:
            raise DataError(f"{which} is {type(item).__name__}; a tuple (image, label) is needed")
        pixels, label = item
        shape = (self._image.channels, self._image.height, self._image.width)
        if not isinstance(pixels, Tensor) or pixels.dtype != torch.uint8 or tuple(pixels.shape) != shape:
            kind = f"{pixels.dtype} {tuple(pixels.shape)}" if isinstance(pixels, Tensor) else type(pixels).__name__
            raise DataError(f"{which} is {kind}; a tensor torch.uint8 {shape} was declared")
        try:
            number = operator.index(label)
        except TypeError:
            raise DataError(f"{which} has the label {label!r}; a whole number is needed") from None
        classes = self._image.num_classes
        if classes is not None and not 0 <= number < classes:
            raise DataError(f"{which} has the label {number}; there are {classes} classes")
        return pixels, number

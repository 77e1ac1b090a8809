"""Rows of a table as images of one shape."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import datasets
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from ganforge import Images, ImageSpec
from ganforge.errors import DataError
from ganforge_datasets.pictures import is_grey, to_pixels

#: Rows that decide whether a table is grey, and which size its pictures have.
LOOKED_AT = 64


def look(images: datasets.Dataset, what: str, size: int | None, channels: int | None) -> tuple[int, int, int]:
    """Return channels, height and width that a table's images have, by its first rows. Raises DataError."""
    if len(images) == 0:
        raise DataError(f"{what} has no rows")
    pictures = [
        _picture(images, index, what) for index in range(min(len(images), LOOKED_AT if channels is None else 1))
    ]
    found = channels or (1 if all(map(is_grey, pictures)) else 3)
    return (found, size, size) if size else (found, pictures[0].height, pictures[0].width)


class Rows(TorchDataset[tuple[Tensor, int]]):
    """Decode each row's picture when it is asked for.

    images: a table of one column. labels: `(N,)` int64, or None. image: the shape of all. size: the side that pictures
    are resized to, or None where they keep theirs. grey_is_a_guess: whether a colour picture is an error, since nobody
    asked for grey. what: the table, in words.
    """

    def __init__(
        self,
        images: datasets.Dataset,
        labels: Tensor | None,
        *,
        image: ImageSpec,
        size: int | None,
        grey_is_a_guess: bool,
        what: str,
    ) -> None:
        self._images = images
        self._labels = labels
        self._image = image
        self._size = size
        self._grey_is_a_guess = grey_is_a_guess
        self._what = what

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._pixels(index), 0 if self._labels is None else int(self._labels[index])

    def load(self) -> Images:
        """Decode all rows, on all cores, into one tensor. Raises DataError."""
        image = self._image
        pixels = torch.empty((len(self), image.channels, image.height, image.width), dtype=torch.uint8)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for index, decoded in enumerate(pool.map(self._pixels, range(len(self)))):
                pixels[index] = decoded
        return Images(pixels, self._labels)

    def _pixels(self, index: int) -> Tensor:
        picture, image = _picture(self._images, index, self._what), self._image
        which = f"row {index} of {self._what}"
        if self._grey_is_a_guess and not is_grey(picture):
            raise DataError(
                f"{which} has colours; the first rows have none", fix="Pass --data.channels 3, or 1 to make all grey."
            )
        try:
            pixels = to_pixels(picture, image.channels, self._size)
        except ValueError as error:
            raise DataError(f"{which} cannot be used: {error}") from error
        if tuple(pixels.shape[1:]) != (image.height, image.width):
            raise DataError(
                f"{which} has {picture.width}×{picture.height} pixels; the first has {image.width}×{image.height}",
                fix="Pass the side to resize them to, such as --data.size 64.",
            )
        return pixels


def _picture(images: datasets.Dataset, index: int, what: str) -> Image.Image:
    """Return a row's picture, decoded. Raises DataError."""
    (column,) = images.column_names
    try:
        picture = images[index][column]
    except Exception as error:  # damaged files make Pillow and pyarrow raise nearly anything
        words = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"row {index} of {what} cannot be read: {words}") from error
    if not isinstance(picture, Image.Image):
        raise DataError(f"row {index} of {what} holds no picture")
    return picture

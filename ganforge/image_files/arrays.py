"""Arrays of images: .npy and .npz files."""

from __future__ import annotations

import io
import math
import zlib
from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import IO, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ganforge.components import Split
from ganforge.errors import DataError
from ganforge.image_files.decoding import Header
from ganforge.image_files.layout import MAX_CLASSES, Layout
from ganforge.image_files.source import MAX_IMAGE_BYTES, ImageSource
from ganforge.image_files.streamed import machine_memory
from ganforge.utils.arrays import MAX_ARRAY_BYTES, read_npz
from ganforge.utils.files import error_reason, open_regular

#: Names of the arrays of images and labels of a split. Keras has x_train, MedMNIST train_images, OpenAI's samples
#: arr_0, BigGAN-PyTorch and StudioGAN imgs.
NAMES: Mapping[Split, tuple[tuple[str, str], ...]] = {
    "train": (
        ("images", "labels"),
        ("train_images", "train_labels"),
        ("x_train", "y_train"),
        ("imgs", "labels"),
        ("x", "y"),
        ("arr_0", "arr_1"),
    ),
    "test": (("test_images", "test_labels"), ("x_test", "y_test")),
}
CLASS_NAMES = "class_names"
#: Names of all arrays that are read.
ARRAY_NAMES = frozenset({CLASS_NAMES, *(name for pairs in NAMES.values() for pair in pairs for name in pair)})
CHANNELS = frozenset({1, 3, 4})
WHITE = 255
MAX_FILE_BYTES = 1 << 50
#: Limit of the number of images, whose names and labels are kept in memory.
MAX_IMAGES = 1 << 24


class Stored(NamedTuple):
    """Array of images and its layout: whether the channels come first, or None for images without channels."""

    images: Any
    channels_first: bool | None


class ArraySource(ImageSource):
    """Arrays of images, `(N, H, W)`, `(N, H, W, C)` or `(N, C, H, W)`: uint8, uint16 gray, or floats in [0, 1]."""

    encoded: ClassVar = False

    @property
    @abstractmethod
    def arrays(self) -> Mapping[str, Any]:
        """Arrays by name; those of images may be any sequence with a shape and a type. Raises DataError."""

    @cached_property
    def layout(self) -> Layout:
        """Numbers of the images, such as `train/7`, and their labels. Raises DataError."""
        arrays: Mapping[str, Any] = self.arrays
        labels: dict[Split, NDArray[Any] | None] = {}
        files: dict[Split, list[tuple[str, int]]] = {}
        for split, stored in self._stored.items():
            count = len(stored.images)
            labels[split] = values = self._labels(arrays, split, count)
            numbers = [0] * count if values is None else values.tolist()
            files[split] = [(f"{split}/{index}", label) for index, label in enumerate(numbers)]
        known = [values for values in labels.values() if values is not None]
        if len(known) not in {0, len(labels)}:
            raise DataError(f"{self.path}: one split has labels and the other has none")
        if not known:
            return Layout(None, files)
        largest = max(int(values.max()) for values in known)
        stored_names = np.asarray(arrays.get(CLASS_NAMES, range(largest + 1)))
        if stored_names.ndim != 1:
            shape = stored_names.shape
            raise DataError(f"{self.path}: {CLASS_NAMES} has the shape {shape}", fix="names of classes are text, (N,)")
        names = tuple(map(str, stored_names))
        if largest >= len(names):
            raise DataError(f"{self.path} has the label {largest}, but {len(names)} {CLASS_NAMES}")
        return Layout(names, files)

    def open(self, name: str) -> IO[bytes]:
        """Return an image as an uncompressed PNG. Raises ValueError for a float outside of [0, 1]."""
        values = self._values(name)
        if values.dtype.kind == "f":
            # NaN fails both comparisons.
            if not (values.min() >= 0 and values.max() <= 1):
                raise ValueError("its floats are not in [0, 1], as 0 for black and 1 for white")
            values = np.rint(values.astype(np.float64) * WHITE).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(values)).save(file, "PNG", compress_level=0)
        file.seek(0)
        return file

    def identity(self, name: str) -> int:
        """Return the checksum of an image."""
        return zlib.crc32(np.ascontiguousarray(self._values(name)).data)

    def header(self, name: str, *, upright: bool) -> Header:
        """Return the shape of an image."""
        values = self._values(name)
        return Header(gray=values.ndim == len("HW"), width=values.shape[1], height=values.shape[0])

    def _values(self, name: str) -> NDArray[Any]:
        """Return an image, `(H, W)` or `(H, W, C)`."""
        split, _, index = name.partition("/")
        images, channels_first = self._stored["train" if split == "train" else "test"]
        values = np.asarray(images[int(index)], np.dtype(images.dtype).newbyteorder("="))
        values = np.moveaxis(values, 0, -1) if channels_first else values
        return values[..., 0] if values.shape[2:] == (1,) else values

    @cached_property
    def _stored(self) -> dict[Split, Stored]:
        """Arrays of images. Raises DataError for arrays that are missing, or have another form."""
        arrays = self.arrays
        stored: dict[Split, Stored] = {}
        for split in NAMES:
            if name := _images_name(arrays, split):
                stored[split] = Stored(arrays[name], self._channels_first(name, arrays[name]))
        if "train" not in stored:
            expected = ", ".join(images for images, _ in NAMES["train"])
            raise DataError(
                f"{self.path} has no images; its arrays are {', '.join(arrays) or 'none'}",
                fix=f"name the array of images {expected}",
            )
        return stored

    def _channels_first(self, name: str, images: Any) -> bool | None:  # noqa: ANN401 - see `arrays`
        shape, kind = tuple(images.shape), np.dtype(images.dtype).newbyteorder("=")
        has_channels = len(shape) == len("NCHW")
        first, last = has_channels and shape[1] in CHANNELS, has_channels and shape[3] in CHANNELS
        if first and last:  # such as 4×4 pixels in RGB, which are square in one of the layouts alone
            first, last = shape[2] == shape[3], shape[1] == shape[2]
        if len(shape) == len("NHW"):
            gray, result = True, None
        elif first != last:
            gray, result = shape[1 if first else 3] == 1, first
        else:
            raise DataError(
                f"{self.path}: {name} has the shape {shape}",
                fix="images are (N, H, W), (N, H, W, C) or (N, C, H, W) with 1, 3 or 4 channels",
            )
        if not (kind == np.uint8 or kind.kind == "f" or (kind == np.uint16 and gray)):
            raise DataError(
                f"{self.path}: {name} holds {kind}",
                fix="store uint8, uint16 for gray, or floats in [0, 1]",
            )
        if shape[0] > MAX_IMAGES:
            raise DataError(f"{self.path}: {name} has {shape[0]:,} images; the limit is {MAX_IMAGES:,}")
        if math.prod(shape) == 0:
            raise DataError(f"{self.path}: {name} has the shape {shape}, so it holds no pixels")
        if math.prod(shape[1:]) * kind.itemsize > MAX_IMAGE_BYTES:
            raise DataError(f"{self.path}: {name} has the shape {shape}; an image may have {MAX_IMAGE_BYTES:,} bytes")
        return result

    def _labels(self, arrays: Mapping[str, Any], split: Split, count: int) -> NDArray[Any] | None:
        """Return the labels of a split, `(N,)`, or None."""
        name = dict(NAMES[split]).get(_images_name(arrays, split) or "", "")
        if name not in arrays:
            return None
        labels = np.asarray(arrays[name])
        labels = labels[:, 0] if labels.shape[1:] == (1,) else labels
        if labels.shape != (count,) or labels.dtype.kind not in "iu":
            raise DataError(
                f"{self.path}: {name} holds {labels.dtype} of the shape {labels.shape} for {count:,} images",
                fix="labels are class numbers, integers of the shape (N,)",
            )
        if labels.min() < 0 or labels.max() >= MAX_CLASSES:
            wrong = labels.min() if labels.min() < 0 else labels.max()
            raise DataError(f"{self.path}: {name} holds {wrong}", fix=f"class numbers are 0 to {MAX_CLASSES - 1:,}")
        return labels


def _images_name(arrays: Mapping[str, Any], split: Split) -> str | None:
    return next((images for images, _ in NAMES[split] if images in arrays), None)


class NpySource(ArraySource):
    """Images in a .npy file, read from the disk one at a time; labels in NAME_labels.npy next to it, if it is there."""

    @cached_property
    def arrays(self) -> Mapping[str, Any]:
        """The images, and the labels if there are any. Raises DataError."""
        labels = self.path.with_name(f"{self.path.stem}_labels.npy")
        return {"images": _map(self.path)} | ({"labels": _map(labels)} if labels.exists() else {})


class NpzSource(ArraySource):
    """Images and labels in a .npz file, read into memory as a whole."""

    @cached_property
    def arrays(self) -> Mapping[str, Any]:
        """The arrays. Raises UsageError if they take more than half of the memory."""
        memory = machine_memory()
        limit = MAX_ARRAY_BYTES if memory is None else min(MAX_ARRAY_BYTES, memory // 2)
        return read_npz(self.path, max_array_bytes=limit, fix="write the images as .npy: it is read image by image")


def _map(path: Path) -> NDArray[Any]:
    """Return an array that is read from the disk when it is used; no pickled object is read. Raises DataError."""
    try:
        with open_regular(path, max_bytes=MAX_FILE_BYTES):
            array: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")  # np.load takes a .npz file, too
    except Exception as error:  # noqa: BLE001 - a damaged header makes NumPy raise nearly any error
        problem = f"{path} cannot be read: {error_reason(error).splitlines()[0]}"
        raise DataError(problem, fix="write an array of numbers with np.save") from None
    return array

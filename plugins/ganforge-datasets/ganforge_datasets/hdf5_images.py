"""Images in an HDF5 file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np

from ganforge.errors import DataError
from ganforge.image_files import (
    ARRAY_NAMES,
    CLASS_NAMES,
    MAX_IMAGES,
    ArraySource,
    Format,
    ImageDataset,
    ImageSource,
    Packing,
    PerProcess,
)

#: Cache of an array's decompressed chunks, of which others hold many images: BigGAN-PyTorch's have 500.
CHUNK_CACHE_BYTES = 1 << 28
#: Limit of a chunk, which is decompressed as a whole: some megabytes of a file can hold gigabytes.
MAX_CHUNK_BYTES = 1 << 30


def _open(path: Path) -> Any:  # noqa: ANN401 - h5py has no types
    try:
        return h5py.File(path, "r", rdcc_nbytes=CHUNK_CACHE_BYTES)
    except OSError as error:
        raise DataError(f"{path} is not an HDF5 file: {error}", fix="copy or download it again") from None


class Rows:
    """Array of a file, read row by row, by a handle of the process that reads."""

    def __init__(self, file: PerProcess[Any], name: str) -> None:
        self._file, self._name = file, name
        self._opened: tuple[Any, Any] | None = None
        self.shape: tuple[int, ...] = self.array.shape
        self.dtype = self.array.dtype

    @property
    def array(self) -> Any:  # noqa: ANN401 - as above
        """The array, opened by this process. It stays open, since closing it empties its cache."""
        file, opened = self._file.get(), self._opened
        if opened is None or opened[0] is not file:
            opened = self._opened = file, file[self._name]
        return opened[1]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> Any:  # noqa: ANN401 - as above
        return self.array[index]


class Hdf5Source(ArraySource):
    """Arrays of images and labels at the top of an HDF5 file."""

    @cached_property
    def arrays(self) -> Mapping[str, Any]:
        """The arrays; those of images are read row by row. Raises DataError."""
        file: PerProcess[Any] = PerProcess(partial(_open, self.path))
        try:
            return dict(self._read(file))
        except DataError:
            raise
        except Exception as error:  # noqa: BLE001 - damage makes h5py raise nearly any error
            raise DataError(f"{self.path} cannot be read: {error}", fix="copy or download it again") from None

    def _read(self, file: PerProcess[Any]) -> Iterator[tuple[str, Any]]:
        top = file.get()
        for name in top:
            if name not in ARRAY_NAMES:
                yield str(name), None  # named if the images are missing, and never read; bytes if it is not UTF-8
                continue
            if not isinstance(top.get(name, getlink=True), h5py.HardLink):
                raise DataError(f"{self.path}: {name} is a link", fix="copy what it names into the file")
            array = top[name]
            if not isinstance(array, h5py.Dataset) or array.shape is None:
                continue
            if math.prod(array.chunks or ()) * array.dtype.itemsize > MAX_CHUNK_BYTES:
                raise DataError(f"{self.path}: a chunk of {name} is longer than {MAX_CHUNK_BYTES:,} bytes")
            if array.is_virtual or array.external:
                raise DataError(f"{self.path}: {name} has its numbers in other files", fix="copy them into this one")
            if array.ndim > len("NC"):
                yield name, Rows(file, name)
            elif array.size > MAX_IMAGES:
                raise DataError(f"{self.path}: {name} has {array.size:,} numbers; the limit is {MAX_IMAGES:,}")
            else:
                yield name, array.asstr("utf-8", "surrogateescape")[()] if name == CLASS_NAMES else array[()]


def write_hdf5(target: Path, packing: Packing) -> None:
    """Write arrays `imgs`, `(N, C, H, W)` uint8, and `labels`, as BigGAN-PyTorch and StudioGAN do."""
    labels: dict[str, list[int]] = {}
    with h5py.File(target, "w") as file:
        for image in packing.images():
            split = "test" if image.name.startswith("test/") else "train"
            numbers = labels.setdefault(split, [])
            name, shape = "imgs" if split == "train" else "test_images", tuple(image.pixels.shape)
            if not numbers:
                file.create_dataset(name, (0, *shape), np.uint8, maxshape=(None, *shape), chunks=(1, *shape))
            file[name].resize(len(numbers) + 1, axis=0)
            file[name][len(numbers)] = image.pixels.numpy()
            numbers.append(image.label)
        if packing.class_names is not None:
            for split, numbers in labels.items():
                file["labels" if split == "train" else "test_labels"] = np.array(numbers)
            file[CLASS_NAMES] = list(packing.class_names)


class Hdf5(ImageDataset):
    """Images and labels in the arrays of an HDF5 file, such as `imgs` and `labels` of BigGAN-PyTorch and StudioGAN."""

    formats: ClassVar = {".h5": Format(write_hdf5, stores_pixels=True), ".hdf5": Format(write_hdf5, stores_pixels=True)}

    def open_source(self, path: Path) -> ImageSource:
        """Return the images of a file."""
        return Hdf5Source(path)

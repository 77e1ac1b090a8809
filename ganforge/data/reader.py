"""Data that is read image by image, the same in every process, and checks of all data against what is declared."""

from __future__ import annotations

import copy
import hashlib
import operator
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from ganforge.components import ConditionSpec, ImageSpec, ImageTensors, check_images
from ganforge.errors import DataError, GanforgeError
from ganforge.utils.rng import Stream, fork_all_rngs
from ganforge.utils.tracebacks import summarize_exception

#: Most images that a fingerprint reads.
MAX_FINGERPRINTED = 1000


class _Item(NamedTuple):
    """Item of a map-style dataset: image `(C, H, W)`, condition (anything for data without one), extras by name."""

    image: Tensor
    condition: Any
    extras: Mapping[str, Tensor]


class Reader:
    """Reader of the items of an opened split, which can be pickled if they can.

    Image 0 is read at once: its extras decide which names, types and shapes all items must have. Raises DataError if it
    cannot be read, or differs from the spec that the dataset declares.
    """

    def __init__(self, items: TorchDataset[Any], *, image: ImageSpec, source: str, seed: int) -> None:
        self.source = source
        self._unread_items = items
        self._items = copy.copy(items)
        self._image = image
        self._seed = seed
        with fork_all_rngs(seed, "data/probe"):
            first = self._read(0)
        self._extras = {name: (values.dtype, tuple(values.shape)) for name, values in first.extras.items()}
        self._check(first, 0)

    def fresh(self) -> Reader:
        """Return a reader of items that no process has read from.

        Items often open a file when they are first read, and a forked worker must not inherit the open file.
        """
        reader = copy.copy(self)
        reader._items = copy.copy(self._unread_items)  # noqa: SLF001 - an object of this class
        return reader

    def read(self, indices: Sequence[int], stream: Stream, *address: int) -> ImageTensors:
        """Return images in the order of their indices. Raises DataError, which has the index.

        Meanwhile Python's, numpy's and torch's global generators are seeded by (seed, stream, address), so that items
        that draw random numbers are the same in every process.
        """
        with fork_all_rngs(self._seed, stream, *address):
            return self._tensors(indices)

    def fingerprint(self) -> str:
        """Return the SHA-256 of up to `MAX_FINGERPRINTED` images, evenly spread over the split, and of their number.

        The seed of the run does not matter. Names, sizes and times of files are not content, and reading a whole split
        may take hours: of images that differ in one of a hundred, 1,000 contain one with a probability of 0.99996.
        """
        size = len(self._items)  # type: ignore[arg-type]  # torch does not type it
        count = min(size, MAX_FINGERPRINTED)
        digest = hashlib.sha256(f"{size}".encode())
        with fork_all_rngs(0, "data/fingerprint"):
            for number in range(count):
                try:
                    content = self._tensors([number * size // count]).fingerprint()
                except DataError:  # only images that are scored must be readable
                    content = "unreadable"
                digest.update(f" {content}".encode())
        return digest.hexdigest()

    def _tensors(self, indices: Sequence[int]) -> ImageTensors:
        """Return images in the order of their indices."""
        count, image, condition = len(indices), self._image, self._image.condition
        tensors = ImageTensors(
            torch.empty((count, *image.shape), dtype=torch_dtype(image)),
            None if condition is None else torch.empty((count, *condition.shape), dtype=torch_dtype(condition)),
            {name: torch.empty((count, *shape), dtype=dtype) for name, (dtype, shape) in self._extras.items()},
        )
        for slot, index in enumerate(indices):
            item = self._check(self._read(index), index)
            tensors.images[slot] = item.image
            if tensors.condition is not None:
                tensors.condition[slot] = item.condition
            for name, values in item.extras.items():
                tensors.extras[name][slot] = values
        return tensors

    def _read(self, index: int) -> _Item:
        """Return one item as the dataset returns it."""
        subject = self._subject(index)
        try:
            item: Any = self._items[index]
        except GanforgeError as error:
            raise DataError(f"{subject} cannot be read: {error.message}", fix=error.fix) from error
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise DataError(f"{subject} cannot be read: {summarize_exception(error)}") from error
        if not isinstance(item, tuple) or len(item) not in {2, 3}:
            kind = f"tuple of {len(item)}" if isinstance(item, tuple) else type(item).__name__
            raise DataError(
                f"{subject} is {kind}; a tuple (image, condition) or (image, condition, extras) is required"
            )
        image, condition, *extras = item
        read = _Item(image, condition, extras[0] if extras else {})
        if not isinstance(read.extras, Mapping):
            raise DataError(
                f"{subject} has extras of type {type(read.extras).__name__}; a dictionary of tensors is required"
            )
        others = [name for name, values in read.extras.items() if not isinstance(values, Tensor)]
        if others:
            raise DataError(
                f"{subject} has extras of another type: {', '.join(others)}; a dictionary of tensors is required"
            )
        return read

    def _check(self, item: _Item, index: int) -> _Item:
        """Return an item of the declared types and shapes."""
        subject, spec = self._subject(index), self._image.condition
        image = check_tensor(item.image, torch_dtype(self._image), self._image.shape, subject)
        condition = item.condition
        if spec is not None and spec.kind == "classes":
            condition = check_class(condition, spec.num_classes, subject)
        elif spec is not None:
            condition = check_tensor(condition, torch_dtype(spec), spec.shape, f"{subject}: the condition")
        if item.extras.keys() != self._extras.keys():
            names, first = (", ".join(sorted(extras)) or "none" for extras in (item.extras, self._extras))
            raise DataError(f"{subject} has the extras {names}; image 0 has {first}")
        for name, values in item.extras.items():
            dtype, shape = self._extras[name]
            if values.dtype != dtype or tuple(values.shape) != shape:
                raise DataError(f"{subject}: extra {name!r} is {describe(values)}; that of image 0 is {dtype} {shape}")
        return _Item(image, condition, {name: values.detach() for name, values in item.extras.items()})

    def _subject(self, index: int) -> str:
        return f"{self.source}: image {index}"


def torch_dtype(spec: ImageSpec | ConditionSpec) -> torch.dtype:
    """Return the declared type as torch's."""
    dtype: torch.dtype = getattr(torch, spec.dtype)
    return dtype


def describe(value: object) -> str:
    """Return type and shape of a tensor, or the name of another type."""
    return f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


def check_tensor(value: object, dtype: torch.dtype, shape: tuple[int, ...], subject: str) -> Tensor:
    """Return a tensor, detached. Raises DataError for another type or shape, and for values that are not finite."""
    if not isinstance(value, Tensor) or value.dtype != dtype or tuple(value.shape) != shape:
        raise DataError(f"{subject} is {describe(value)}; the dataset declares {dtype} {shape}")
    if dtype.is_floating_point and not bool(value.isfinite().all()):
        raise DataError(f"{subject} has values that are not finite")
    return value.detach()


def check_class(value: object, num_classes: int | None, subject: str) -> int:
    """Return a class label, an int or a tensor or array of one. Raises DataError for others, and out of range."""
    try:
        label = operator.index(value)  # type: ignore[arg-type]  # the TypeError is the check
    except TypeError:
        raise DataError(f"{subject} has the class {value!r}; an integer is required") from None
    if label < 0 or (num_classes is not None and label >= num_classes):
        raise DataError(f"{subject} has the class {label}; the dataset declares {num_classes} classes, from 0")
    return label


def check_split(tensors: ImageTensors, image: ImageSpec, source: str) -> None:
    """Raise DataError unless a split in memory has the types and shapes that the dataset declares."""
    check_images(tensors, source)
    dtype, spec, condition = torch_dtype(image), image.condition, tensors.condition
    if tensors.images.dtype != dtype or tuple(tensors.images.shape[1:]) != image.shape:
        raise DataError(
            f"{source}: the images are {describe(tensors.images)}; the dataset declares {dtype} {image.shape} each"
        )
    if spec is None and condition is not None:
        raise DataError(
            f"{source}: the images have conditions, {describe(condition)}; the dataset declares none",
            fix="declare them, such as ImageSpec(3, 64, 64, ConditionSpec.classes(10)), or return condition=None",
        )
    if spec is not None and condition is None:
        raise DataError(f"{source}: the images have no conditions; the dataset declares {spec}")
    if spec is None or condition is None:
        return
    check_tensor(condition, torch_dtype(spec), (len(tensors), *spec.shape), f"{source}: the condition")
    if spec.kind == "classes":
        for label in (condition.min(), condition.max()):
            check_class(label, spec.num_classes, source)

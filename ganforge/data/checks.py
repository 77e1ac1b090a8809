"""Checks of images, conditions and extras against the types and shapes that a dataset declares."""

from __future__ import annotations

import operator

import torch
from torch import Tensor

from ganforge.components import ConditionSpec, ImageSpec, ImageTensors, check_images
from ganforge.errors import DataError


def torch_dtype(spec: ImageSpec | ConditionSpec) -> torch.dtype:
    """Return the declared type as torch's."""
    dtype: torch.dtype = getattr(torch, spec.dtype)
    return dtype


def describe(value: object) -> str:
    """Return type and shape of a tensor, or the name of another type."""
    return f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


def check_tensor(value: object, dtype: torch.dtype, shape: tuple[int, ...], subject: str) -> Tensor:
    """Return a tensor, detached. Raises DataError for another type or shape, and for values that are not finite.

    Args:
        value: Return value of the dataset.
        dtype: Declared type.
        shape: Declared shape.
        subject: Origin of the value, for the message.
    """
    if not isinstance(value, Tensor) or value.dtype != dtype or tuple(value.shape) != shape:
        raise DataError(f"{subject} is {describe(value)}; the dataset declares {dtype} {shape}")
    if dtype.is_floating_point and not bool(value.isfinite().all()):
        raise DataError(f"{subject} has values that are not finite")
    return value.detach()


def check_class(value: object, num_classes: int | None, subject: str) -> int:
    """Return a class label. Raises DataError unless it is an integer below the number of classes.

    Args:
        value: Return value of the dataset: an int, or a tensor or array of one integer.
        num_classes: Declared number of classes.
        subject: Origin of the value, for the message.
    """
    try:
        label = operator.index(value)  # type: ignore[arg-type]  # the TypeError is the check
    except TypeError:
        raise DataError(f"{subject} has the class {value!r}; an integer is required") from None
    if label < 0 or (num_classes is not None and label >= num_classes):
        raise DataError(f"{subject} has the class {label}; the dataset declares {num_classes} classes, from 0")
    return label


def check_split(tensors: ImageTensors, image: ImageSpec, source: str) -> None:
    """Raise DataError unless a split in memory has the declared types and shapes.

    Args:
        tensors: A whole split.
        image: Shape, type and condition that the dataset declares.
        source: Data and split, for the message.
    """
    check_images(tensors, source)
    dtype, spec, condition = torch_dtype(image), image.condition, tensors.condition
    if tensors.images.dtype != dtype or tuple(tensors.images.shape[1:]) != image.shape:
        raise DataError(
            f"{source}: the images are {describe(tensors.images)}; the dataset declares {dtype} {image.shape} each"
        )
    if spec is None and condition is not None:
        raise DataError(
            f"{source}: the images have conditions, {describe(condition)}; the dataset declares none",
            fix="Declare them, such as ImageSpec(3, 64, 64, ConditionSpec.classes(10)), or return condition=None.",
        )
    if spec is not None and condition is None:
        raise DataError(f"{source}: the images have no conditions; the dataset declares {spec}")
    if spec is None or condition is None:
        return
    check_tensor(condition, torch_dtype(spec), (len(tensors), *spec.shape), f"{source}: the condition")
    if spec.kind == "classes":
        for label in (condition.min(), condition.max()):
            check_class(label, spec.num_classes, source)

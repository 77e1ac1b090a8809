"""Conditions for samples: values from Python, text and files from the command line."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from ganforge.components import ConditionSpec, DatasetInfo
from ganforge.errors import IncompatibleError, UsageError
from ganforge.image_files.decoding import Decoding, describe_error, extensions, formats, read_pixels
from ganforge.utils.arrays import read_npz
from ganforge.utils.files import open_regular
from ganforge.utils.images import GRAY, RGB
from ganforge.utils.suggest import did_you_mean
from ganforge.utils.text import printable

#: Condition of all images, or one for each: classes by number or name, vectors, tensors.
Condition: TypeAlias = "int | str | Sequence[int | str] | Sequence[float] | NDArray[Any] | Tensor"

RGBA = 4


def class_number(name: float | str, class_names: Sequence[str] | None) -> int:
    """Return the number of a class from its number or name; its range is checked later. Raises IncompatibleError."""
    names, name = class_names or (), printable(name) if isinstance(name, str) else name
    if isinstance(name, str) and name in names:
        return names.index(name)
    are_numbers = bool(names) and all(map(str.isdecimal, names))  # 02 among 0, 1 and 10 is invalid
    if isinstance(name, str) and (are_numbers or not name.isdecimal()):
        raise IncompatibleError(f"no class {name!r}{did_you_mean(name, names)}")
    if not float(name).is_integer():
        raise IncompatibleError(f"invalid class {name!r}: not a name or a non-negative integer")
    return int(name)


def to_condition(values: Condition, info: DatasetInfo) -> Tensor:
    """Return conditions as a tensor, `(N, …)`; a common one for all images as `(1, …)`. Raises IncompatibleError."""
    spec = _spec(info)
    if spec.kind == "classes":
        classes: Any = values.tolist() if isinstance(values, np.ndarray | np.generic | Tensor) else values
        names = [classes] if isinstance(classes, int | float | str) else classes
        return torch.tensor([class_number(name, info.class_names) for name in names], dtype=torch.int64)
    try:
        tensor = torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError):
        raise IncompatibleError(f"invalid condition {values!r:.60}: the dataset has {spec} for each image") from None
    if tensor.is_floating_point() or spec.dtype != "uint8":
        tensor = tensor.float()
    return tensor[None] if tensor.ndim == len(spec.shape) else tensor


def read_condition(arguments: Iterable[str], info: DatasetInfo) -> Tensor:
    """Return the conditions of the command line, `(N, …)`. Raises UsageError for an invalid one.

    They are numbers or names of classes; comma-separated numbers for vectors; picture files, folders of pictures, or
    .npz files.
    """
    spec = _spec(info)
    return torch.cat([_read(argument, spec, info) for argument in arguments])


def _spec(info: DatasetInfo) -> ConditionSpec:
    if info.image.condition is None:
        raise IncompatibleError(f"data {info.name!r} has no condition", fix="leave the condition out")
    return info.image.condition


def _read(argument: str, spec: ConditionSpec, info: DatasetInfo) -> Tensor:
    path = Path(argument)
    if spec.kind != "classes" and path.suffix.lower() == ".npz":
        return to_condition(_read_npz(path), info)
    if spec.kind == "classes":
        return to_condition(argument, info)
    if spec.kind == "vector":
        return _read_vector(argument, spec)
    if not spec.is_image:
        raise UsageError(
            f"--condition {argument}: the dataset has {spec} for each image",
            fix="save them as `condition` in a .npz file",
        )
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in extensions())
        if not files:
            raise UsageError(f"--condition {argument}: no pictures in this folder")
        return torch.stack([read_picture(file, spec.shape) for file in files])
    return read_picture(path, spec.shape)[None]


def _read_vector(argument: str, spec: ConditionSpec) -> Tensor:
    try:
        vector = torch.tensor([float(number) for number in argument.split(",")])
    except ValueError:
        vector = torch.empty(0)
    if tuple(vector.shape) != spec.shape:
        names = f" ({', '.join(spec.names)})" if spec.names else ""
        raise UsageError(
            f"--condition {argument}: not {spec.shape[0]} numbers{names}",
            fix=f"separate them by commas: --condition {','.join(['0.5'] * spec.shape[0])}",
        )
    return vector[None]


def _read_npz(path: Path) -> NDArray[Any]:
    arrays = read_npz(path)
    if "condition" not in arrays and len(arrays) != 1:
        raise UsageError(f"{path} has no array `condition` (available: {', '.join(arrays) or 'none'})")
    return arrays["condition"] if "condition" in arrays else next(iter(arrays.values()))


def read_picture(path: Path, shape: tuple[int, ...], *, kind: str = "conditions") -> Tensor:
    """Return a picture, `(C, H, W)` uint8, as a dataset of files reads it; with four channels, upright and as RGBA.

    Raises UsageError; `kind` names the images of its shape in the message.
    """
    channels, height, width = shape
    if channels not in {GRAY, RGB, RGBA}:
        raise UsageError(f"{path}: a picture cannot have {channels} channels", fix="save them in a .npz file")
    try:
        with open_regular(path) as file, warnings.catch_warnings(action="ignore"):  # Pillow's, of odd metadata
            if channels == RGBA:
                with Image.open(file, formats=formats()) as picture:
                    upright = ImageOps.exif_transpose(picture).convert("RGBA")
                pixels = torch.from_numpy(np.array(upright)).permute(2, 0, 1)
            else:
                pixels = read_pixels(file, Decoding(gray=channels == GRAY))
    except Exception as error:  # noqa: BLE001 - damaged files make Pillow raise nearly any error
        raise UsageError(f"{path} cannot be read as a picture: {describe_error(error)}") from None
    if tuple(pixels.shape[1:]) != (height, width):
        raise UsageError(
            f"{path} has {pixels.shape[2]}×{pixels.shape[1]} pixels; {kind} have {width}×{height}",
            fix="resize the picture first",
        )
    return pixels.contiguous()

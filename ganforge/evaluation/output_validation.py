"""Validation of a metric's result, so that files and readers can hold it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ganforge.components.spec import NAME
from ganforge.errors import PluginError
from ganforge.plugins.registry import Entry

CHW = 3
GRAY_OR_RGB = (1, 3)
#: Deepest nesting of details; a container that contains itself has no end.
MAX_DEPTH = 20
#: Integers that every JSON reader can hold are below it.
MAX_INTEGER = 2**63


def plain_scores(scores: object, names: Iterable[str], entry: Entry) -> dict[str, float | None]:
    """Return scores as JSON can hold them: None for one that is not finite.

    Args:
        scores: Return value of the metric.
        names: Names that the metric declares.
        entry: The metric, for messages.

    Raises:
        PluginError: There is not a number for exactly the declared names.
    """
    declared = list(names)
    if not isinstance(scores, Mapping) or scores.keys() != set(declared):
        returned = ", ".join(map(str, scores)) if isinstance(scores, Mapping) else type(scores).__name__
        raise PluginError(f"{entry} returns {returned or 'no scores'}; it declares {', '.join(declared)}")
    return {name: _finite(scores[name], f"{entry}: {name}") for name in declared}


def plain_details(details: object, entry: Entry) -> dict[str, Any]:
    """Return a metric's details as JSON can hold them, or raise PluginError."""
    if not isinstance(details, Mapping):
        raise PluginError(f"{entry}: details are {type(details).__name__}; a dictionary is required")
    return dict(plain(details, entry, "details"))


def plain(value: object, entry: Entry, path: str, depth: int = 0) -> Any:  # noqa: ANN401 - any JSON value
    """Return a value as JSON can hold it: None for numbers that are not finite.

    Raises:
        PluginError: JSON cannot hold it; the message has the `path`.
    """
    if depth > MAX_DEPTH:
        raise PluginError(f"{entry}: details are nested more than {MAX_DEPTH} deep, or contain themselves")
    if isinstance(value, Mapping):
        _check_keys(value, entry, path)
        return {key: plain(item, entry, f"{path}[{key!r}]", depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, entry, f"{path}[{number}]", depth + 1) for number, item in enumerate(value)]
    if isinstance(value, str) and not _is_unicode(value):
        raise PluginError(f"{entry}: {path} is {value!r}, which is not Unicode text")
    if isinstance(value, int) and not -MAX_INTEGER <= value < MAX_INTEGER:
        raise PluginError(f"{entry}: {path} is an integer of more than 64 bits; a float can be as large")
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    raise PluginError(f"{entry}: {path} is {type(value).__name__}, which JSON cannot hold")


def check_pictures(pictures: object, entry: Entry) -> dict[str, Tensor]:
    """Return pictures by name, or raise PluginError for a picture or a name that no file can have."""
    if not isinstance(pictures, Mapping):
        raise PluginError(f"{entry}: images are {type(pictures).__name__}; a dictionary is required")
    for name, picture in pictures.items():
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise PluginError(
                f"{entry}: a picture's name is lower-case letters and digits joined by dashes, not {name!r}"
            )
        if not isinstance(picture, Tensor) or picture.dtype != torch.uint8 or picture.ndim != CHW:
            kind = f"{picture.dtype} {tuple(picture.shape)}" if isinstance(picture, Tensor) else type(picture).__name__
            raise PluginError(f"{entry}: picture {name!r} is {kind}; a tensor torch.uint8 (C, H, W) is required")
        if picture.shape[0] not in GRAY_OR_RGB or picture.numel() == 0:
            shape = tuple(picture.shape)
            raise PluginError(f"{entry}: picture {name!r} is {shape}; 1 or 3 channels of pixels are required")
    return dict(pictures)


def _check_keys(value: Mapping[Any, Any], entry: Entry, path: str) -> None:
    for key in value:
        if not isinstance(key, str) or not _is_unicode(key):
            raise PluginError(f"{entry}: {path} has the key {key!r}; its keys must be text")


def _is_unicode(text: str) -> bool:
    """Return whether a file can hold a text; half of a surrogate pair is not a character."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _finite(value: object, name: str) -> float | None:
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PluginError(f"{name} is {type(value).__name__}; a number is required")
    try:
        number = float(value)
    except OverflowError:  # an integer beyond all floats
        return None
    return number if math.isfinite(number) else None

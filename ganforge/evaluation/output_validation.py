"""What a metric gives back, checked, as files and people need it."""

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
GREY_OR_RGB = (1, 3)
#: How deep details may be nested: what holds itself has no end.
DEEPEST = 20
#: Integers that every reader of JSON can hold are below it.
LARGEST = 2**63


def plain_scores(found: object, names: Iterable[str], entry: Entry) -> dict[str, float | None]:
    """Return scores as JSON can hold them: None where one is not finite.

    Raises PluginError unless there is a number for exactly the names that the metric declares.
    """
    declared = list(names)
    if not isinstance(found, Mapping) or found.keys() != set(declared):
        given = ", ".join(map(str, found)) if isinstance(found, Mapping) else type(found).__name__
        raise PluginError(f"{entry} gives {given or 'nothing'}; it declares {', '.join(declared)}")
    return {name: _finite(found[name], f"{entry}: {name}") for name in declared}


def plain(value: object, entry: Entry, where: str, depth: int = 0) -> Any:  # noqa: ANN401 - whatever JSON can hold
    """Return what a metric adds for people as JSON can hold it: None for numbers that are not finite.

    Raises PluginError, which says where, for anything that JSON has no word for.
    """
    if depth > DEEPEST:
        raise PluginError(f"{entry}: details are nested more than {DEEPEST} deep, or hold themselves")
    if isinstance(value, Mapping):
        _check_keys(value, entry, where)
        return {key: plain(item, entry, f"{where}[{key!r}]", depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, entry, f"{where}[{number}]", depth + 1) for number, item in enumerate(value)]
    if isinstance(value, str) and not _is_unicode(value):
        raise PluginError(f"{entry}: {where} is {value!r}, which is no Unicode text")
    if isinstance(value, int) and not -LARGEST <= value < LARGEST:
        raise PluginError(f"{entry}: {where} is an integer of more than 64 bits; a float can be as large")
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    raise PluginError(f"{entry}: {where} is {type(value).__name__}, which JSON cannot hold")


def check_pictures(pictures: Mapping[str, Tensor], entry: Entry) -> dict[str, Tensor]:
    """Return pictures as they are. Raises PluginError for one, or a name, that no file could have."""
    for name, picture in pictures.items():
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise PluginError(
                f"{entry}: a picture's name is lower-case letters and digits joined by dashes, not {name!r}"
            )
        if not isinstance(picture, Tensor) or picture.dtype != torch.uint8 or picture.ndim != CHW:
            kind = f"{picture.dtype} {tuple(picture.shape)}" if isinstance(picture, Tensor) else type(picture).__name__
            raise PluginError(f"{entry}: picture {name!r} is {kind}; a tensor torch.uint8 (C, H, W) is needed")
        if picture.shape[0] not in GREY_OR_RGB or picture.numel() == 0:
            shape = tuple(picture.shape)
            raise PluginError(f"{entry}: picture {name!r} is {shape}; 1 or 3 channels, and pixels in them, are needed")
    return dict(pictures)


def _check_keys(value: Mapping[Any, Any], entry: Entry, where: str) -> None:
    for key in value:
        if not isinstance(key, str) or not _is_unicode(key):
            raise PluginError(f"{entry}: {where} has the key {key!r}; its keys must be text")


def _is_unicode(text: str) -> bool:
    """Whether a file can hold it: half of a surrogate pair is no character."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _finite(value: object, what: str) -> float | None:
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PluginError(f"{what} is {type(value).__name__}; a number is needed")
    try:
        number = float(value)
    except OverflowError:  # an integer beyond all floats
        return None
    return number if math.isfinite(number) else None

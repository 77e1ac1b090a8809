"""What a metric gives back, checked, as files and people need it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from ganforge.component import NAME
from ganforge.errors import PluginError
from ganforge.registry import Entry

CHW = 3


def plain_scores(found: object, names: Iterable[str], entry: Entry) -> dict[str, float | None]:
    """Return scores as JSON can hold them: None where one is not finite.

    Raises PluginError unless there is a number for exactly the names that the metric declares.
    """
    declared = list(names)
    if not isinstance(found, Mapping) or found.keys() != set(declared):
        given = ", ".join(map(str, found)) if isinstance(found, Mapping) else type(found).__name__
        raise PluginError(f"{entry} gives {given or 'nothing'}; it declares {', '.join(declared)}")
    return {name: _finite(found[name], f"{entry}: {name}") for name in declared}


def plain(value: object, entry: Entry, where: str) -> Any:  # noqa: ANN401 - whatever JSON can hold
    """Return what a metric adds for people as JSON can hold it: None for numbers that are not finite.

    Raises PluginError, which says where, for anything that JSON has no word for.
    """
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: plain(item, entry, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, entry, f"{where}[{number}]") for number, item in enumerate(value)]
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
    return dict(pictures)


def _finite(value: object, what: str) -> float | None:
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PluginError(f"{what} is {type(value).__name__}; a number is needed")
    return float(value) if math.isfinite(value) else None

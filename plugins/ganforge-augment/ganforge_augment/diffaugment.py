"""DiffAugment: the same simple changes for every image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from pydantic import BeforeValidator, Field, field_validator
from torch import Tensor

from ganforge import Augmentation, TrainStep
from ganforge_augment.resample import resample

Change = Literal["color", "translation", "cutout"]


def _split(value: object) -> object:
    """Read "color,cutout" as a list, as the paper's code and a command line write it."""
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


class DiffAugment(Augmentation):
    """Color changes, shifts and a cut-out rectangle (Zhao et al. 2020, section 3; sizes as in the authors' code).

    Uncovered pixels are 0, which is mid-gray: images are in [-1, 1].
    """

    class Options(Augmentation.Options):
        """Options of DiffAugment."""

        policy: Annotated[tuple[Change, ...], BeforeValidator(_split), Field(min_length=1)] = (
            "color",
            "translation",
            "cutout",
        )
        """Changes in their order: color, translation, cutout, or some of them."""

        @field_validator("policy")
        @classmethod
        def _check_once(cls, policy: tuple[Change, ...]) -> tuple[Change, ...]:
            if len(set(policy)) < len(policy):
                raise ValueError(f"name each change once: {', '.join(dict.fromkeys(policy))}")
            return policy

    options: Options

    def sample_parameters(self, images: Tensor, step: TrainStep, *, real: bool) -> Tensor:
        """Return numbers that are uniform on [0, 1), `(N, 7)` float32, whose meaning does not depend on the size."""
        width = sum(count for count, _ in CHANGES.values())
        return torch.rand(len(images), width, generator=step.rng).to(images.device, non_blocking=True)

    def forward(self, images: Tensor, parameters: Tensor) -> Tensor:
        """Return images, `(N, C, H, W)`, each changed in its own way."""
        changed = images.to(torch.promote_types(images.dtype, torch.float32))
        columns = [count for count, _ in CHANGES.values()]
        numbers = dict(zip(CHANGES, torch.split(parameters, columns, 1), strict=True))
        for name in self.options.policy:
            changed = CHANGES[name][1](changed, numbers[name])
        return changed.to(images.dtype)


def color(images: Tensor, numbers: Tensor) -> Tensor:
    """Add U(-½, ½), scale the distance to gray by U(0, 2), and the distance to the image's mean by U(½, 1½)."""
    brightness, saturation, contrast = numbers.to(images.dtype)[:, :, None, None, None].unbind(1)
    brighter = images + (brightness - 0.5)
    gray = brighter.mean(1, keepdim=True)
    saturated = gray + (brighter - gray) * (2 * saturation)
    mean = saturated.mean((1, 2, 3), keepdim=True)
    return mean + (saturated - mean) * (contrast + 0.5)


def translation(images: Tensor, numbers: Tensor) -> Tensor:
    """Shift by whole pixels, uniform up to an eighth of each side, and fill with 0."""
    height, width = images.shape[2:]
    rows, rows_inside = _shifted(height, numbers[:, :1])
    columns, columns_inside = _shifted(width, numbers[:, 1:])
    inside = rows_inside.unsqueeze(2) & columns_inside.unsqueeze(1)  # (N, H, W)
    all_rows = rows.unsqueeze(2).expand(inside.shape)
    all_columns = columns.unsqueeze(1).expand(inside.shape)
    return resample(images, all_rows[None], all_columns[None], inside[None].to(images.dtype))


def cutout(images: Tensor, numbers: Tensor) -> Tensor:
    """Set a rectangle of half the height and half the width to 0; it may lie partly outside of the image."""
    height, width = images.shape[2:]
    rows, columns = _covered(height, numbers[:, :1]), _covered(width, numbers[:, 1:])
    return images.masked_fill((rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1), 0.0)


def _shifted(size: int, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Return the source of each of `size` pixels, and whether it is within the image, `(N, size)`.

    Args:
        size: Side of the image in pixels.
        numbers: Uniform on [0, 1), `(N, 1)`.
    """
    limit = _part(size, 1 / 8)
    shift = (numbers * (2 * limit + 1)).long() - limit
    sources = torch.arange(size, device=numbers.device) - shift
    nearest = sources.clamp(0, size - 1)
    return nearest, sources == nearest


def _covered(size: int, numbers: Tensor) -> Tensor:
    """Return whether half a side, around a random center, covers each of `size` pixels, `(N, size)`.

    An even half has its center between two pixels or at an edge.

    Args:
        size: Side of the image in pixels.
        numbers: Uniform on [0, 1), `(N, 1)`.
    """
    half = _part(size, 1 / 2)
    center = (numbers * (size + 1 - half % 2)).long()
    begin = center - half // 2
    pixels = torch.arange(size, device=numbers.device)
    return (pixels >= begin) & (pixels < begin + half)


def _part(size: int, ratio: float) -> int:
    """Return a part of a side in whole pixels, halves rounded up."""
    return int(size * ratio + 0.5)


#: Random numbers that each change needs per image, and its function.
CHANGES: dict[Change, tuple[int, Callable[[Tensor, Tensor], Tensor]]] = {
    "color": (3, color),
    "translation": (2, translation),
    "cutout": (2, cutout),
}

"""DiffAugment: the same simple changes to every image, real and fake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from pydantic import BeforeValidator, Field, field_validator
from torch import Tensor

from ganforge import Augmentation
from ganforge_augment.laws import to_device
from ganforge_augment.resample import resample

Step = Literal["color", "translation", "cutout"]


def _split(value: object) -> object:
    """Read "color,cutout" as a list: it is how the paper's code and a command line write it."""
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


class DiffAugment(Augmentation):
    """Change colours, shift, and cut a rectangle out (Zhao et al. 2020, section 3; sizes as in the authors' code).

    What a shift or a cut lays bare is 0, which is mid-grey: images are in [-1, 1].
    """

    class Options(Augmentation.Options):
        """Which changes there are."""

        policy: Annotated[tuple[Step, ...], BeforeValidator(_split), Field(min_length=1)] = (
            "color",
            "translation",
            "cutout",
        )
        """What is done, in this order: color, translation, cutout, or some of them."""

        @field_validator("policy")
        @classmethod
        def _check_once(cls, policy: tuple[Step, ...]) -> tuple[Step, ...]:
            if len(set(policy)) < len(policy):
                raise ValueError(f"name each change once: {', '.join(dict.fromkeys(policy))}")
            return policy

    options: Options

    def forward(self, images: Tensor, *, rng: torch.Generator) -> Tensor:
        """Return images, `(N, C, H, W)`, each changed in its own way."""
        changed = images.to(torch.promote_types(images.dtype, torch.float32))
        for step in self.options.policy:
            changed = STEPS[step](changed, rng)
        return changed.to(images.dtype)


def color(images: Tensor, rng: torch.Generator) -> Tensor:
    """Add U(-½, ½), scale what is beyond grey by U(0, 2), and what is beyond the image's mean by U(½, 1½)."""
    drawn = to_device(torch.rand(3, len(images), 1, 1, 1, generator=rng), images.device).to(images.dtype)
    brightness, saturation, contrast = drawn.unbind()
    brighter = images + (brightness - 0.5)
    grey = brighter.mean(1, keepdim=True)
    coloured = grey + (brighter - grey) * (2 * saturation)
    mean = coloured.mean((1, 2, 3), keepdim=True)
    return mean + (coloured - mean) * (contrast + 0.5)


def translation(images: Tensor, rng: torch.Generator) -> Tensor:
    """Shift by whole pixels, uniform up to an eighth of each side, and fill with 0."""
    height, width = images.shape[2:]
    rows, rows_inside = _shifted(height, len(images), rng, images.device)
    columns, columns_inside = _shifted(width, len(images), rng, images.device)
    inside = rows_inside.unsqueeze(2) & columns_inside.unsqueeze(1)  # (N, H, W)
    whole_rows = rows.unsqueeze(2).expand(inside.shape)
    whole_columns = columns.unsqueeze(1).expand(inside.shape)
    return resample(images, whole_rows[None], whole_columns[None], inside[None].to(images.dtype))


def cutout(images: Tensor, rng: torch.Generator) -> Tensor:
    """Set a rectangle of half the height and half the width to 0; its centre is anywhere, so that it may be cut off."""
    height, width = images.shape[2:]
    rows, columns = (_covered(size, len(images), rng, images.device) for size in (height, width))
    return images.masked_fill((rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1), 0.0)


def _shifted(size: int, count: int, rng: torch.Generator, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return where each of `size` pixels comes from, and whether that is within the image, `(N, size)`."""
    most = _part(size, 1 / 8)
    shift = to_device(torch.randint(-most, most + 1, (count, 1), generator=rng), device)
    sources = torch.arange(size, device=device) - shift
    nearest = sources.clamp(0, size - 1)
    return nearest, sources == nearest


def _covered(size: int, count: int, rng: torch.Generator, device: torch.device) -> Tensor:
    """Return which of `size` pixels half a side covers, `(N, size)`, around a centre that is drawn.

    An even half has its centre between two pixels, or at either edge.
    """
    half = _part(size, 1 / 2)
    centre = to_device(torch.randint(size + 1 - half % 2, (count, 1), generator=rng), device)
    begin = centre - half // 2
    places = torch.arange(size, device=device)
    return (places >= begin) & (places < begin + half)


def _part(size: int, ratio: float) -> int:
    """Return a part of a side in whole pixels, halves rounded up."""
    return int(size * ratio + 0.5)


STEPS: dict[Step, Callable[[Tensor, torch.Generator], Tensor]] = {
    "color": color,
    "translation": translation,
    "cutout": cutout,
}

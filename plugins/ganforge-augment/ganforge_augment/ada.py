"""Adaptive discriminator augmentation (ADA)."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from ganforge import Augmentation, TrainStep
from ganforge_augment.color import recolor
from ganforge_augment.geometry import inverse, move
from ganforge_augment.transforms import AMOUNTS, COLORS, COLUMNS, GEOMETRIC, sample_amounts


class Ada(Augmentation):
    """Transformations that are applied to each image with probability p, and p adapts (Karras et al. 2020, section 3).

    r = E[sign D(real)] measures the discriminator's overfitting (eq. 1). After every `interval` of its updates, p rises
    if r is above `target` and falls if it is below, by the number of images since then over `ramp_images`, within
    [0, 1]. The transformations are the paper's set "bgc": pixel blitting, geometry and color. Pixels are interpolated
    bilinearly; the authors' code also filters against aliasing.

    Attributes:
        p: Probability of each transformation, `()`.
        signs: Sum of the mean sign of each real image's logits since the last change of p, `()`.
        images: Number of real images since then, `()`.
        updates: Number of updates since then, `()`.
    """

    class Options(Augmentation.Options):
        """Options of ADA."""

        target: Annotated[float, Field(ge=0, lt=1)] | None = 0.6
        """Mean sign of real logits that p aims at; none keeps p at `initial`."""
        ramp_images: PositiveInt = 500_000
        """Real images in which p can go from 0 to 1."""
        interval: PositiveInt = 4
        """Discriminator updates between two changes of p."""
        initial: Annotated[float, Field(ge=0, le=1)] = 0.0
        """Initial p."""
        xflip: bool = True
        """Mirror left and right, in half of the images it is applied to."""
        rotate90: bool = True
        """Rotate by 0, 90, 180 or 270 degrees."""
        xint: bool = True
        """Shift by whole pixels, up to an eighth of each side."""
        scale: bool = True
        """Scale by 2^N(0, 0.2²)."""
        rotate: bool = True
        """Rotate by any angle."""
        aniso: bool = True
        """Stretch in one direction and shrink in the other, by 2^N(0, 0.2²)."""
        xfrac: bool = True
        """Shift by N(0, ⅛²) of each side, fractions of pixels included."""
        brightness: bool = True
        """Add N(0, 0.2²)."""
        contrast: bool = True
        """Multiply by 2^N(0, 0.5²)."""
        lumaflip: bool = True
        """Exchange light and dark, in half of the images it is applied to."""
        hue: bool = True
        """Rotate colors around the gray axis by any angle; images of three channels only."""
        saturation: bool = True
        """Multiply the distance to gray by 2^N(0, 1); images of more than one channel only."""

    options: Options
    p: Tensor
    signs: Tensor
    images: Tensor
    updates: Tensor
    shares: Tensor

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.reads_signs = options.target is not None
        self.register_buffer("p", torch.tensor(options.initial, dtype=torch.float32))
        self.register_buffer("signs", torch.zeros((), dtype=torch.float32))
        self.register_buffer("images", torch.zeros((), dtype=torch.int64))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        shares = [
            amount.share if getattr(options, amount.option) else 0.0
            for amount in AMOUNTS.values()
            for _ in range(amount.columns)
        ]
        self.register_buffer("shares", torch.tensor(shares, dtype=torch.float32), persistent=False)
        self._moves = any(getattr(options, name) for name in GEOMETRIC)
        self._recolors = any(getattr(options, name) for name in COLORS)

    def sample_parameters(self, images: Tensor, step: TrainStep, *, real: bool) -> Tensor:
        """Return the amount of each transformation, `(N, all columns)` float32; 0 where it is not applied."""
        amounts, chances = sample_amounts(len(images), step.rng, images.device)
        probabilities = 1 - (1 - self.p) ** self.shares
        return amounts.masked_fill(chances >= probabilities, 0.0)

    def forward(self, images: Tensor, parameters: Tensor) -> Tensor:
        """Return transformed images, `(N, C, H, W)`; the same bits if p is 0."""
        # At least float32: bfloat16 does not distinguish the 300th pixel from the next.
        changed = images.to(torch.promote_types(images.dtype, torch.float32))
        amounts = dict(zip(AMOUNTS, torch.split(parameters.to(changed.dtype), COLUMNS, 1), strict=True))
        if self._moves:
            changed = move(changed, *inverse(amounts, *images.shape[2:]))
        if self._recolors:
            changed = recolor(changed, amounts)
        return changed.to(images.dtype)

    @torch.no_grad()
    def observe(self, real_logits: Tensor) -> None:
        """Add the signs of real logits, `(N,)` or `(N, K)`, and change p after every `interval` calls.

        All state stays on the device, so that adapting never waits for it.
        """
        if self.options.target is None:
            return
        count = len(real_logits)
        signs = self.signs + real_logits.sign().sum(dtype=torch.float32) / (real_logits.numel() // count)
        images, updates = self.images + count, self.updates + 1
        due = updates >= self.options.interval
        direction = (signs / images - self.options.target).sign()
        adapted = (self.p + direction * images / self.options.ramp_images).clamp(0, 1)
        self.p.copy_(torch.where(due, adapted, self.p))
        for buffer, value in ((self.signs, signs), (self.images, images), (self.updates, updates)):
            buffer.copy_(value.masked_fill(due, 0))

"""Adaptive discriminator augmentation: as much as the discriminator's overfitting asks for."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from ganforge import Augmentation
from ganforge_augment import laws
from ganforge_augment.colour import recolour
from ganforge_augment.geometry import inverse, move


class Ada(Augmentation):
    """Apply each transformation to each image with probability p, and adapt p (Karras et al. 2020, section 3).

    r = E[sign D(real)] says how sure the discriminator is of real images (eq. 1). After every `interval` of its updates
    p goes up where r is above `target` and down where it is below, by the images heard of since over `ramp_images`, and
    stays in [0, 1]. The transformations are the paper's "bgc": those that move whole pixels, those that warp, and those
    that change colours. Pixels are mixed bilinearly; the authors' code also filters against aliasing.

    p: the probability. signs, heard, updates: since p was last changed, the sum of real logits' signs, and the counts
    of real images and of updates. All are buffers `()`, on the device, so that adapting never waits for it.
    """

    class Options(Augmentation.Options):
        """How p adapts, and which transformations there are."""

        target: Annotated[float, Field(ge=0, lt=1)] | None = 0.6
        """The mean sign of real logits to aim at; none keeps p at `initial`."""
        ramp_images: PositiveInt = 500_000
        """Real images in which p can go from 0 to 1."""
        interval: PositiveInt = 4
        """Discriminator updates between two changes of p."""
        initial: Annotated[float, Field(ge=0, le=1)] = 0.0
        """What p starts from."""
        xflip: bool = True
        """Mirror left and right, in half of the images it is applied to."""
        rotate90: bool = True
        """Turn by 0, 90, 180 or 270 degrees."""
        xint: bool = True
        """Shift by whole pixels, up to an eighth of each side."""
        scale: bool = True
        """Scale by 2^N(0, 0.2²)."""
        rotate: bool = True
        """Rotate by any angle."""
        aniso: bool = True
        """Stretch in one direction and shrink in the other, by 2^N(0, 0.2²)."""
        xfrac: bool = True
        """Shift by N(0, ⅛²) of each side, parts of pixels too."""
        brightness: bool = True
        """Add N(0, 0.2²)."""
        contrast: bool = True
        """Multiply by 2^N(0, 0.5²)."""
        lumaflip: bool = True
        """Turn light into dark and dark into light, in half of the images it is applied to."""
        hue: bool = True
        """Rotate colours around the grey axis by any angle; images of three channels only."""
        saturation: bool = True
        """Multiply what is beyond grey by 2^N(0, 1); images of more than one channel only."""

    options: Options
    p: Tensor
    signs: Tensor
    heard: Tensor
    updates: Tensor
    shares: Tensor

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.register_buffer("p", torch.tensor(options.initial, dtype=torch.float32))
        self.register_buffer("signs", torch.zeros((), dtype=torch.float32))
        self.register_buffer("heard", torch.zeros((), dtype=torch.int64))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        shares = [
            amount.share if getattr(options, amount.option) else 0.0
            for amount in laws.AMOUNTS.values()
            for _ in range(amount.columns)
        ]
        self.register_buffer("shares", torch.tensor(shares, dtype=torch.float32), persistent=False)
        self._moves = any(getattr(options, name) for name in laws.GEOMETRIC)
        self._recolours = any(getattr(options, name) for name in laws.COLOURS)

    def forward(self, images: Tensor, *, rng: torch.Generator) -> Tensor:
        """Return images, `(N, C, H, W)`, transformed; exactly as they were where p is 0."""
        # In float32 at least: bfloat16 cannot tell the 300th pixel from the next.
        changed = images.to(torch.promote_types(images.dtype, torch.float32))
        amounts = self._amounts(changed, rng)
        if self._moves:
            height, width = images.shape[2:]
            changed = move(changed, *inverse(amounts, height, width))
        if self._recolours:
            changed = recolour(changed, amounts)
        return changed.to(images.dtype)

    def _amounts(self, images: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """Draw how much of each transformation each image gets, `(N, columns)`; 0 where it gets none."""
        drawn, chances = laws.to_device(torch.stack(laws.draw(len(images), rng)), images.device)
        probabilities = 1 - (1 - self.p) ** self.shares
        applied = drawn.masked_fill(chances >= probabilities, 0.0).to(images.dtype)
        return dict(zip(laws.AMOUNTS, applied.split(laws.COLUMNS, 1), strict=True))

    @torch.no_grad()
    def observe(self, real_logits: Tensor) -> None:
        """Add up the signs of real logits, `(N,)`, and change p after every `interval` of such calls."""
        if self.options.target is None:
            return
        signs = self.signs + real_logits.sign().sum(dtype=torch.float32)
        heard = self.heard + len(real_logits)
        updates = self.updates + 1
        due = updates >= self.options.interval
        direction = (signs / heard - self.options.target).sign()
        adapted = (self.p + direction * heard / self.options.ramp_images).clamp(0, 1)
        self.p.copy_(torch.where(due, adapted, self.p))
        for kept, value in ((self.signs, signs), (self.heard, heard), (self.updates, updates)):
            kept.copy_(value.masked_fill(due, 0))

"""Color changes of ADA.

A pixel is its gray m, the mean of its channels, plus its distance to gray d. Every color change keeps the two apart, so
that all of them together are four numbers and an angle.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

#: Channels of images whose hue can be rotated: red, green and blue.
RGB = 3


def recolor(images: Tensor, amounts: Mapping[str, Tensor]) -> Tensor:
    """Return images of other colors, `(N, C, H, W)`.

    With brightness b, contrast c = 2^contrast, luma flip l = ±1, saturation s = 2^saturation and hue θ, in this order
    (Karras et al. 2020, appendix B): m ↦ c·l·(m + b) and d ↦ c·s·R(θ)·d, where R rotates around the gray axis. For one
    channel, d is 0; for any other number than three, hue has no effect. Amounts of 0 change no bit.

    Args:
        images: `(N, C, H, W)`.
        amounts: Amounts of `transforms.AMOUNTS`, each `(N, 1)`.
    """
    change = {name: amount[:, :, None, None] for name, amount in amounts.items()}
    contrast = change["contrast"].exp2()
    gray_gain = contrast * (1 - 2 * change["lumaflip"])
    gray_shift = gray_gain * change["brightness"]
    channels = images.shape[1]
    if channels == 1:
        return images * gray_gain + gray_shift
    color_gain = contrast * change["saturation"].exp2()
    if channels != RGB:
        return images * color_gain + images.mean(1, keepdim=True) * (gray_gain - color_gain) + gray_shift
    # R(θ)d = cos θ d + sin θ u×d, with u = (1, 1, 1)/√3; u×d is the difference of the two other channels, over √3.
    along = color_gain * change["hue"].cos()
    across = color_gain * change["hue"].sin() / math.sqrt(RGB)
    turned = images.roll(1, 1) - images.roll(-1, 1)
    gray = images.mean(1, keepdim=True)
    return images * along + gray * (gray_gain - along) + turned * across + gray_shift

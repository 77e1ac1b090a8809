"""Change the colours of images.

A pixel is its grey, m = the mean of its channels, and what is beyond grey, d. Every change of colours keeps the two
apart, so that all together are four numbers and an angle.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

#: Turning colours around the grey axis needs exactly these: red, green and blue.
RGB = 3


def recolour(images: Tensor, amounts: Mapping[str, Tensor]) -> Tensor:
    """Return images, `(N, C, H, W)`, in other colours; amounts are those of `laws.AMOUNTS`, each `(N, 1)`.

    With brightness b, contrast c = 2^contrast, luma flip l = ±1, saturation s = 2^saturation and hue θ, in this order
    (Karras et al. 2020, appendix B): m ↦ c·l·(m + b), and d ↦ c·s·R(θ)·d, where R rotates around the grey axis. With
    one channel d is 0; with any other count than three there is no hue. With all amounts 0 images stay exactly as they
    are.
    """
    change = {name: amount[:, :, None, None] for name, amount in amounts.items()}
    contrast = change["contrast"].exp2()
    grey_gain = contrast * (1 - 2 * change["lumaflip"])
    grey_shift = grey_gain * change["brightness"]
    channels = images.shape[1]
    if channels == 1:
        return images * grey_gain + grey_shift
    colour_gain = contrast * change["saturation"].exp2()
    if channels != RGB:
        return images * colour_gain + images.mean(1, keepdim=True) * (grey_gain - colour_gain) + grey_shift
    # R(θ)d = cos θ d + sin θ u×d, with u = (1, 1, 1)/√3; u×d is the difference of the two other channels, over √3.
    along = colour_gain * change["hue"].cos()
    across = colour_gain * change["hue"].sin() / math.sqrt(RGB)
    turned = images.roll(1, 1) - images.roll(-1, 1)
    grey = images.mean(1, keepdim=True)
    return images * along + grey * (grey_gain - along) + turned * across + grey_shift

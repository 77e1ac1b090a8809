"""Batch norm whose scale and shift depend on the class."""

from __future__ import annotations

from torch import Tensor, nn

#: How far the classes' scales start apart, as batch norm's do in DCGAN (Radford et al. 2015, section 4). Without it
#: the classes would start alike.
SPREAD = 0.02


class ConditionalBatchNorm(nn.Module):
    """Normalise each channel over the batch, then scale and shift it by what its image's class has learned.

    y = γ_c · (x - mean) / √(variance + ε) + β_c, with γ and β from a table of classes (de Vries et al. 2017, section 3;
    Dumoulin et al. 2017, eq. 5). Scales start at N(1, 0.02), shifts at 0.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.scale = nn.Embedding(classes, channels)
        self.shift = nn.Embedding(classes, channels)
        nn.init.normal_(self.scale.weight, 1.0, SPREAD)
        nn.init.zeros_(self.shift.weight)

    def forward(self, maps: Tensor, labels: Tensor) -> Tensor:
        """Return normalised maps, `(N, C, h, w)`, for maps of that shape and labels, `(N,)` int64."""
        normalised: Tensor = self.norm(maps)
        scale: Tensor = self.scale(labels)
        shift: Tensor = self.shift(labels)
        return normalised * over_pixels(scale, normalised) + over_pixels(shift, normalised)


def over_pixels(values: Tensor, maps: Tensor) -> Tensor:
    """Return a number for each channel, `(N, C)`, as `(N, C, 1, 1)` in the maps' type."""
    return values.to(maps.dtype)[:, :, None, None]


def batch_norm(channels: int, classes: int | None) -> nn.Module:
    """Return batch norm by class, or the usual one where there are no classes."""
    return nn.BatchNorm2d(channels) if classes is None else ConditionalBatchNorm(channels, classes)

"""Batch norm with a scale and shift per class."""

from __future__ import annotations

from torch import Tensor, nn

#: Initial standard deviation of the scales, as in DCGAN (Radford et al. 2015, section 4). With 0, all classes would be
#: equal initially.
SPREAD = 0.02


class ConditionalBatchNorm(nn.Module):
    """Batch norm, then a learned scale and shift of the image's class.

    y = γ_c · (x - mean) / √(variance + ε) + β_c, with γ and β from a table of classes (de Vries et al. 2017, section 3;
    Dumoulin et al. 2017, eq. 5). Initial scales are N(1, 0.02), initial shifts 0.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.scale = nn.Embedding(classes, channels)
        self.shift = nn.Embedding(classes, channels)
        nn.init.normal_(self.scale.weight, 1.0, SPREAD)
        nn.init.zeros_(self.shift.weight)

    def forward(self, maps: Tensor, labels: Tensor) -> Tensor:
        """Return normalized maps, `(N, C, h, w)`, of maps of that shape and class labels, `(N,)` int64."""
        normalized: Tensor = self.norm(maps)
        scale: Tensor = self.scale(labels)
        shift: Tensor = self.shift(labels)
        return normalized * over_pixels(scale, normalized) + over_pixels(shift, normalized)


def over_pixels(values: Tensor, maps: Tensor) -> Tensor:
    """Return numbers per channel, `(N, C)`, as `(N, C, 1, 1)` in the maps' type."""
    return values.to(maps.dtype)[:, :, None, None]


def batch_norm(channels: int, classes: int | None) -> nn.Module:
    """Return batch norm by class, or the usual one without classes."""
    return nn.BatchNorm2d(channels) if classes is None else ConditionalBatchNorm(channels, classes)

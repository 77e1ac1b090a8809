"""How a label becomes numbers that a network can take in."""

from __future__ import annotations

from torch import Tensor, nn

from ganforge import ImageSpec
from ganforge.errors import IncompatibleError


def class_count(image: ImageSpec) -> int:
    """Return K, the number of classes, or 1 for data without labels: ganforge refuses those once a network is built."""
    return image.num_classes or 1


class LabelEmbedding(nn.Module):
    """Learn E numbers for each label; they start standard normal, as latents are (Mirza & Osindero 2014, section 3.2).

    A linear layer over them is what it would be over one-hot labels, with E numbers at most instead of K.
    """

    def __init__(self, image: ImageSpec, dim: int) -> None:
        super().__init__()
        self.table = nn.Embedding(class_count(image), dim)

    def forward(self, labels: Tensor | None) -> Tensor:
        """Return numbers, `(N, E)`, for labels, `(N,)` int64. Raises IncompatibleError where there are none."""
        if labels is None:
            raise IncompatibleError(
                "a conditional network was called without labels",
                fix="pass one label for each image: labels, (N,) int64",
            )
        numbers: Tensor = self.table(labels)
        return numbers

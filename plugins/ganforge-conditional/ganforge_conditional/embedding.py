"""Embedding of conditions."""

from __future__ import annotations

from torch import Tensor, nn

from ganforge import ImageSpec
from ganforge.errors import IncompatibleError


class ConditionEmbedding(nn.Module):
    """Learned numbers for a condition: an embedding of a class, or a linear layer over a vector.

    Embeddings of classes start standard normal, as latents are (Mirza & Osindero 2014, section 3.2). A linear layer
    over them is a linear layer over one-hot labels of rank E at most.

    Args:
        image: Shape of the images and their condition.
        dim: E, numbers for a condition.

    Raises:
        IncompatibleError: The condition is a tensor, such as an image.
    """

    def __init__(self, image: ImageSpec, dim: int) -> None:
        super().__init__()
        spec = image.condition
        if spec is not None and spec.kind == "tensor":
            raise IncompatibleError(
                f"conditional networks take classes or vectors as conditions, not {spec}",
                fix="use a network for this kind of condition, or data with class labels",
            )
        vector = spec is not None and spec.kind == "vector"
        # One class for data without conditions: ganforge refuses them once the network is built.
        self.table = nn.Linear(spec.shape[0], dim) if spec and vector else nn.Embedding(image.num_classes or 1, dim)

    def forward(self, condition: Tensor | None) -> Tensor:
        """Return embeddings, `(N, E)`.

        Args:
            condition: `(N,)` int64 classes, or `(N, D)` vectors.

        Raises:
            IncompatibleError: The condition is None.
        """
        if condition is None:
            raise IncompatibleError(
                "a conditional network was called without a condition",
                fix="pass one per image: (N,) int64 classes, or (N, D) vectors",
            )
        embeddings: Tensor = self.table(condition)
        return embeddings

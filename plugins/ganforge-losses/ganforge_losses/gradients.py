"""What all gradient penalties measure."""

from __future__ import annotations

import torch
from torch import Tensor

from ganforge import Discriminator


def image_gradient(discriminator: Discriminator, images: Tensor, labels: Tensor | None) -> Tensor:
    """Return the gradient of each image's logit by that image, flat, `(N, C·H·W)`, differentiable in the weights.

    images: `(N, C, H, W)`; left as they are. labels: `(N,)` int64, or None.
    """
    images = images.detach().requires_grad_()
    logits = discriminator.judge(images, labels).logits
    # A logit depends on its own image, so that the sum's gradient holds each logit's own.
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.flatten(1)

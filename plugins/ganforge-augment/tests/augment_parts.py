"""Images, and augmentations applied as in a step."""

from __future__ import annotations

import torch
from torch import Tensor

from ganforge import Augmentation, TrainStep


def train_step(images: Tensor, seed: int = 0) -> TrainStep:
    """Return a step on real images, `(N, C, H, W)`, without networks."""
    return TrainStep(
        phase="disc",
        step=0,
        progress=0.0,
        images_seen=0,
        real=images,
        z=torch.zeros(len(images), 1),
        modules={},
        derive_rng=lambda name: torch.Generator().manual_seed(seed),
    )


def sample(augmentation: Augmentation, images: Tensor, seed: int = 0) -> Tensor:
    """Return parameters of the augmentation for the images."""
    parameters: Tensor = augmentation.sample_parameters(images, train_step(images, seed), real=True)
    return parameters


def augmented(augmentation: Augmentation, images: Tensor, seed: int = 0) -> Tensor:
    """Return augmented images, `(N, C, H, W)`."""
    changed: Tensor = augmentation(images, sample(augmentation, images, seed))
    return changed


def noise(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return random images in [-1, 1], the same ones each time."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1), dtype=dtype) * 2 - 1

"""Augmentations for training with little data. Their classes are imported on first use."""

from __future__ import annotations

from collections.abc import Iterable

from ganforge import Component, hookimpl


@hookimpl
def ganforge_components() -> Iterable[Component]:
    """Return two augmentations."""
    return [
        Component(
            kind="augmentation",
            name="ada",
            target="ganforge_augment.ada:Ada",
            summary="Flips, rotations, warps and color changes, more often the more the discriminator overfits.",
            paper="Karras et al. 2020, Training Generative Adversarial Networks with Limited Data, arXiv:2006.06676",
            tags=("limited data", "adaptive", "stylegan2-ada"),
        ),
        Component(
            kind="augmentation",
            name="diffaugment",
            target="ganforge_augment.diffaugment:DiffAugment",
            summary="Color changes, shifts and a cut-out rectangle for every image.",
            paper="Zhao et al. 2020, Differentiable Augmentation for Data-Efficient GAN Training, arXiv:2006.10738",
            tags=("limited data",),
        ),
    ]

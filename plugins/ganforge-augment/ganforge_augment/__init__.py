"""What this plugin provides: two augmentations. It imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

from ganforge import Component, hookimpl


@hookimpl
def ganforge_components() -> Iterable[Component]:
    """Provide two augmentations."""
    return [
        Component(
            kind="augmentation",
            name="ada",
            target="ganforge_augment.ada:Ada",
            summary="Flips, turns, warps and recolours images, the more often the more the discriminator overfits.",
            paper="Karras et al. 2020, Training Generative Adversarial Networks with Limited Data, arXiv:2006.06676",
            tags=("limited data", "adaptive", "stylegan2-ada"),
        ),
        Component(
            kind="augmentation",
            name="diffaugment",
            target="ganforge_augment.diffaugment:DiffAugment",
            summary="Changes colours, shifts and cuts a rectangle out of every image.",
            paper="Zhao et al. 2020, Differentiable Augmentation for Data-Efficient GAN Training, arXiv:2006.10738",
            tags=("limited data",),
        ),
    ]

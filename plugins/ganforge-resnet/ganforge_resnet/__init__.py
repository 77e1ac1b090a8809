"""Residual networks of SNGAN. Their classes are imported on first use."""

from __future__ import annotations

from collections.abc import Iterable

from ganforge import Component, Preset, hookimpl
from ganforge_resnet.presets import BEST

MIYATO = "Miyato et al. 2018, Spectral Normalization for Generative Adversarial Networks, arXiv:1802.05957"


@hookimpl
def ganforge_components() -> Iterable[Component]:
    """Return a generator and a discriminator."""
    return [
        Component(
            kind="generator",
            name="resnet",
            target="ganforge_resnet.generator:ResnetGenerator",
            summary="SNGAN's residual generator, with or without classes; 28, 32, 48, 64 or 128 pixels.",
            paper=MIYATO,
            tags=("residual", "convolutional", "class-conditional"),
        ),
        Component(
            kind="discriminator",
            name="resnet",
            target="ganforge_resnet.discriminator:ResnetDiscriminator",
            summary="SNGAN's residual discriminator with spectral norm, with or without projection; 28 to 128 pixels.",
            paper=MIYATO,
            tags=("residual", "convolutional", "spectral-norm", "class-conditional"),
        ),
    ]


@hookimpl
def ganforge_presets() -> Iterable[Preset]:
    """Return a training on digits or clothes."""
    return [BEST]

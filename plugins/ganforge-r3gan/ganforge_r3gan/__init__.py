"""Networks and a published training of R3GAN. Classes are imported on first use."""

from __future__ import annotations

from collections.abc import Iterable

from ganforge import Component, Preset, hookimpl
from ganforge_r3gan.presets import CIFAR10, PAPER


@hookimpl
def ganforge_components() -> Iterable[Component]:
    """Return a generator and a discriminator."""
    return [
        Component(
            kind="generator",
            name="r3gan",
            target="ganforge_r3gan.networks:R3ganGenerator",
            summary="R3GAN's generator: residual blocks without normalization after a learned, modulated base map.",
            paper=PAPER,
            tags=("residual", "grouped convolutions", "no normalization", "class-conditional"),
        ),
        Component(
            kind="discriminator",
            name="r3gan",
            target="ganforge_r3gan.networks:R3ganDiscriminator",
            summary="R3GAN's discriminator, the generator's mirror: no normalization, for the terms R1 and R2.",
            paper=PAPER,
            tags=("residual", "grouped convolutions", "no normalization", "class-conditional", "projection"),
        ),
    ]


@hookimpl
def ganforge_presets() -> Iterable[Preset]:
    """Return the authors' training on CIFAR-10."""
    return [CIFAR10]

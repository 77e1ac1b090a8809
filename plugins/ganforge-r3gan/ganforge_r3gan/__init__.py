"""Networks of R3GAN. Their classes are imported on first use."""

from __future__ import annotations

from collections.abc import Iterable

from ganforge import Component, hookimpl

PAPER = "Huang et al. 2024, The GAN is dead; long live the GAN! A Modern Baseline GAN, arXiv:2501.05441"


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

"""What this plugin provides. It imports nothing heavy: a class is imported when it is used."""

from __future__ import annotations

from collections.abc import Iterable

from ganforge import Component, hookimpl

PAPER = "Huang et al. 2024, The GAN is dead; long live the GAN! A Modern Baseline GAN, arXiv:2501.05441"


@hookimpl
def ganforge_components() -> Iterable[Component]:
    """Provide a generator and a discriminator."""
    return [
        Component(
            kind="generator",
            name="r3gan",
            target="ganforge_r3gan.networks:R3ganGenerator",
            summary="R3GAN's generator: residual blocks without normalisation behind a learned, modulated base map.",
            paper=PAPER,
            tags=("residual", "grouped convolutions", "no normalisation", "class-conditional"),
        ),
        Component(
            kind="discriminator",
            name="r3gan",
            target="ganforge_r3gan.networks:R3ganDiscriminator",
            summary="R3GAN's discriminator, the generator's mirror: no normalisation, for penalties R1 and R2.",
            paper=PAPER,
            tags=("residual", "grouped convolutions", "no normalisation", "class-conditional", "projection"),
        ),
    ]

"""What this plugin provides. It imports nothing heavy: the classes are imported when they are used."""

from __future__ import annotations

from collections.abc import Iterable

from ganforge import Component, hookimpl

MIYATO = "Miyato et al. 2018, Spectral Normalization for Generative Adversarial Networks, arXiv:1802.05957"


@hookimpl
def ganforge_components() -> Iterable[Component]:
    """Provide a generator and a discriminator that belong together."""
    return [
        Component(
            kind="generator",
            name="resnet",
            target="ganforge_resnet.generator:ResnetGenerator",
            summary="SNGAN's residual generator, by class if you like; 28, 32, 48, 64 or 128 pixels.",
            paper=MIYATO,
            tags=("residual", "convolutional", "labels"),
        ),
        Component(
            kind="discriminator",
            name="resnet",
            target="ganforge_resnet.discriminator:ResnetDiscriminator",
            summary="SNGAN's residual discriminator with spectral norm, by projection if you like; 28 to 128 pixels.",
            paper=MIYATO,
            tags=("residual", "convolutional", "spectral-norm", "labels"),
        ),
    ]

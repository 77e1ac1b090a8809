"""Inception features for ganforge. Importing the plugin is light: the class is imported when it is used."""

from __future__ import annotations

from collections.abc import Iterable

from ganforge import Component, hookimpl


@hookimpl
def ganforge_components() -> Iterable[Component]:
    """Provide one feature extractor."""
    return [
        Component(
            kind="features",
            name="inception",
            target="ganforge_inception.features:Inception",
            summary="2,048 features of Inception, as torch-fidelity computes them: for scores comparable with papers.",
            paper="Szegedy et al. 2016, Rethinking the Inception Architecture for Computer Vision, arXiv:1512.00567",
            tags=("classifier",),
            requires=("torch-fidelity>=0.4",),
        )
    ]

"""The smallest plugin: one generator. Its class is imported on first use."""

from __future__ import annotations

from collections.abc import Iterable

from ganforge import Component, hookimpl


@hookimpl
def ganforge_components() -> Iterable[Component]:
    """Return one generator."""
    return [
        Component(
            kind="generator",
            name="linear",
            target="ganforge_hello.linear:LinearGenerator",
            summary="One linear layer and a tanh: a baseline for every other generator.",
        )
    ]

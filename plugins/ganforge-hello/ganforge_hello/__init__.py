"""What this plugin provides. It imports nothing heavy: the class is imported when it is used."""

from __future__ import annotations

from collections.abc import Iterable

from ganforge import Component, hookimpl


@hookimpl
def ganforge_components() -> Iterable[Component]:
    """Provide one generator."""
    return [
        Component(
            kind="generator",
            name="linear",
            target="ganforge_hello.linear:LinearGenerator",
            summary="One linear layer and a tanh: the baseline that any other generator should beat.",
        )
    ]

"""Conformance kit for all losses and gradient penalties."""

from __future__ import annotations

from collections.abc import Callable

from ganforge.testing import parametrize_components


@parametrize_components(
    "ganforge-losses",
    expected_on_linear={
        "term/r1": lambda norm: norm**2,
        "term/r2": lambda norm: norm**2,
        "term/gradient-penalty": lambda norm: (norm - 1) ** 2,
    },
)
def test_conforms(check: Callable[[], None]) -> None:
    """Each component keeps the promises of its interface, and penalties have their analytic values."""
    check()

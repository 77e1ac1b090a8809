"""Conformance kit for the linear generator."""

from __future__ import annotations

from collections.abc import Callable

from ganforge.testing import parametrize_components


@parametrize_components("ganforge-hello")
def test_conforms(check: Callable[[], None]) -> None:
    """Each check passes, or is skipped because it does not apply."""
    check()

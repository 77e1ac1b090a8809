"""What ganforge's conformance kit says of every loss and penalty."""

from __future__ import annotations

from collections.abc import Callable

from ganforge.testing import parametrize_components


@parametrize_components("ganforge-losses")
def test_conforms(check: Callable[[], None]) -> None:
    """Each keeps what its interface promises."""
    check()

"""A user without a home folder."""

from __future__ import annotations

from unittest.mock import Mock

import pytest


def remove_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the user an unknown one without HOME, as in a container that runs with a number of its own."""
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name)
    monkeypatch.setattr("pwd.getpwuid", Mock(side_effect=KeyError("uid not found")))

"""Fixtures: an empty cache for each test, and no network but servers of the test."""

from __future__ import annotations

from pathlib import Path

import datasets
import platformdirs
import pytest
from datasets_parts import Patches


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace all caches by folders of the test, and return ganforge's."""
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / "cache" / name)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "huggingface")
    monkeypatch.setenv("GANFORGE_OFFLINE", "1")
    for name in ("GANFORGE_DATA", "http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache" / "ganforge"


class Patch:
    """Sets attributes of torchvision's classes, so that small files count as the original ones."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def __call__(self, patches: Patches) -> None:
        for cls, attributes in patches.items():
            for name, value in attributes.items():
                self._monkeypatch.setattr(cls, name, value)


@pytest.fixture
def patch(monkeypatch: pytest.MonkeyPatch) -> Patch:
    """Return a setter of MD5s and addresses of torchvision's classes."""
    return Patch(monkeypatch)

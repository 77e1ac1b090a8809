"""A place of its own for every test, and no network but what it starts itself."""

from __future__ import annotations

from pathlib import Path

import datasets
import platformdirs
import pytest
from datasets_parts import Patches


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep everybody's caches out of reach; return the cache folder that is used instead."""
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / "cache" / name)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "huggingface")
    monkeypatch.setenv("GANFORGE_OFFLINE", "1")
    for name in ("GANFORGE_DATA", "http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache" / "ganforge"


class Patch:
    """Let small files be the original ones."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def __call__(self, patches: Patches) -> None:
        for cls, attributes in patches.items():
            for name, value in attributes.items():
                self._monkeypatch.setattr(cls, name, value)


@pytest.fixture
def patch(monkeypatch: pytest.MonkeyPatch) -> Patch:
    """Return what tells torchvision's classes other MD5s and addresses."""
    return Patch(monkeypatch)

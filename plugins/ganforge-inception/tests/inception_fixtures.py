"""A place of its own for every test, no network but what a test starts, and weights that are made once."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest
from inception_parts import fresh_state, write
from torch import Tensor


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep everybody's caches out of reach; return the cache folder that is used instead."""
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / "cache" / name)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("GANFORGE_OFFLINE", "1")
    for name in ("GANFORGE_DATA", "http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache" / "ganforge"


@pytest.fixture(scope="session")
def state() -> dict[str, Tensor]:
    """Return random weights."""
    return fresh_state()


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory, state: dict[str, Tensor]) -> tuple[Path, Path]:
    """Return those weights as a pickle and as .safetensors."""
    return write(tmp_path_factory.mktemp("weights"), state)

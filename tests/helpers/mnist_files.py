"""Helpers of the tests of MNIST: small files of the right format, and an empty cache."""

from __future__ import annotations

import gzip
import socket
from pathlib import Path

import platformdirs
import pytest
import torch

from ganforge.builtin.datasets import mnist_files
from ganforge.builtin.datasets.idx import header
from ganforge.builtin.datasets.mnist import Mnist

COUNTS = {"train": 30, "test": 20}


def files() -> dict[str, bytes]:
    """Return four small files of the right names and format."""
    rng = torch.Generator().manual_seed(1)
    contents: dict[str, bytes] = {}
    for split, (images, labels) in mnist_files.FILES.items():
        count = COUNTS[split]
        pixels = torch.randint(256, (count, 28, 28), dtype=torch.uint8, generator=rng)
        contents[images] = header((count, 28, 28)) + pixels.numpy().tobytes()
        contents[labels] = header((count,)) + bytes(index % 10 for index in range(count))
    return contents


def put(folder: Path, suffix: str = "") -> Path:
    """Write the four files into a folder and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files().items():
        (folder / f"{name}{suffix}").write_bytes(gzip.compress(content) if suffix else content)
    return folder


def mnist(root: Path | None = None, source: str = "auto") -> Mnist:
    """Return the dataset, built from options as by the engine."""
    return Mnist(Mnist.Options.model_validate({"root": root, "source": source}))


def everything_below(folder: Path) -> list[str]:
    """Return the names of all files and folders below one."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test an empty cache folder, a clean environment, and no network but its own servers."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: folder / name)
    for name in ("GANFORGE_DATA", "GANFORGE_OFFLINE", "http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setattr(mnist_files, "MIRRORS", (f"http://127.0.0.1:{unused.getsockname()[1]}/",))
    return folder / "ganforge"

"""Every dataset passes ganforge's conformance kit, on small files of its own format."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Patch
from datasets_parts import (
    LETTERS,
    MNIST_LIKE,
    put_celeba,
    put_cifar,
    put_hdf5,
    put_idx,
    put_lmdb,
    put_parquet,
    put_svhn,
    write_pictures,
)

from ganforge.testing import parametrize_components

ROOT = Path(tempfile.mkdtemp(prefix="ganforge-datasets-"))


@pytest.fixture(scope="module")
def _files() -> Iterator[list[dict[type, dict[str, object]]]]:
    """Write small files of every format, and yield their MD5s."""
    put_idx(ROOT, "FashionMNIST/raw", MNIST_LIKE)
    put_idx(ROOT, "KMNIST/raw", MNIST_LIKE)
    put_idx(ROOT, "EMNIST/raw", LETTERS)
    put_parquet(ROOT / "parquet")
    pictures = write_pictures(ROOT / "pictures")
    put_lmdb(pictures, ROOT / "lmdb")
    put_hdf5(pictures, ROOT / "hdf5")
    yield [put_cifar(ROOT), put_svhn(ROOT), put_celeba(ROOT)]
    shutil.rmtree(ROOT)


@pytest.fixture(autouse=True)
def _original(_files: list[dict[type, dict[str, object]]], patch: Patch) -> None:
    for patches in _files:
        patch(patches)


@parametrize_components(
    "ganforge-datasets",
    options={
        "dataset/fashion-mnist": {"root": str(ROOT)},
        "dataset/kmnist": {"root": str(ROOT)},
        "dataset/emnist": {"root": str(ROOT), "split": "letters"},
        "dataset/cifar10": {"root": str(ROOT)},
        "dataset/svhn": {"root": str(ROOT)},
        "dataset/celeba": {"root": str(ROOT), "size": 16, "attributes": ["Smiling", "Male"]},
        "dataset/huggingface": {"path": str(ROOT / "parquet"), "max_memory_gigabytes": 0},
        "dataset/lmdb": {"path": str(ROOT / "lmdb"), "stream": "yes"},
        "dataset/hdf5": {"path": str(ROOT / "hdf5")},
        "dataset/parquet": {"path": str(ROOT / "parquet"), "size": 16},
    },
)
def test_conforms(check: Callable[[], None]) -> None:
    """Each check of the kit is a test."""
    check()

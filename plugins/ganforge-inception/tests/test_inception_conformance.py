"""The extractor passes ganforge's conformance kit, with random weights."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from inception_parts import write
from torch import Tensor

from ganforge.testing import parametrize_components

pytest_plugins = "inception_fixtures"

ROOT = Path(tempfile.mkdtemp(prefix="ganforge-inception-"))


@pytest.fixture(scope="module", autouse=True)
def _weights(state: dict[str, Tensor]) -> Iterator[None]:
    """Write weights to the path of the options."""
    write(ROOT, state)
    yield
    shutil.rmtree(ROOT)


@parametrize_components(
    "ganforge-inception", options={"features/inception": {"weights": str(ROOT / "random.safetensors")}}
)
def test_conforms(check: Callable[[], None]) -> None:
    """Each check of the kit is a test of its own."""
    check()

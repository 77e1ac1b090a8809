"""`ganforge import-weights`: pickled weights become safetensors without running code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from ganforge.errors import UsageError
from ganforge.runs.import_weights import read_pickled_weights, select_networks, write_weights
from tests.helpers.plugins import command


class Malicious:
    """Object whose unpickling writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "it ran")


@pytest.mark.parametrize(
    ("nested", "keys", "prefix"),
    [
        (lambda state: state, {}, ""),
        (lambda state: {"state_dict": {f"module.{name}": value for name, value in state.items()}, "epoch": 3}, {}, ""),
        (lambda state: {"g_ema": state, "d": state, "step": 7}, {"generator": "g_ema"}, "generator."),
    ],
    ids=["plain", "DataParallel", "several networks"],
)
def test_imported_weights_are_those_of_the_file(
    nested: Callable[[Any], Any], keys: dict[str, str | None], prefix: str, tmp_path: Path
) -> None:
    """The tensors keep names and values, without the wrappings of training scripts."""
    state = nn.Linear(3, 2).state_dict()
    torch.save(nested(state), tmp_path / "weights.pth")
    tensors = select_networks(read_pickled_weights(tmp_path / "weights.pth"), keys)
    assert tensors.keys() == {f"{prefix}{name}" for name in state}
    assert all(torch.equal(tensors[f"{prefix}{name}"], value) for name, value in state.items())


def test_code_in_a_file_does_not_run(tmp_path: Path) -> None:
    """A pickle that would write a file is refused, and the file is not written."""
    torch.save({"weight": torch.ones(1), "x": Malicious(tmp_path / "ran")}, tmp_path / "weights.pth")
    with pytest.raises(UsageError, match="has more than tensors"):
        read_pickled_weights(tmp_path / "weights.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"\x80\x04", b"PK\x03\x04rest", b"no pickle"])
def test_damaged_files_are_one_message(content: bytes, tmp_path: Path) -> None:
    """A file that is not PyTorch's is a usage error that names it."""
    (tmp_path / "weights.pth").write_bytes(content)
    with pytest.raises(UsageError, match=r"weights\.pth"):
        read_pickled_weights(tmp_path / "weights.pth")
    with pytest.raises(UsageError, match="cannot be read"):
        read_pickled_weights(tmp_path / "missing.pth")


@pytest.mark.parametrize(
    "tensors",
    [
        {"a": torch.zeros(1).expand(2**20, 2**30)},
        {"a": torch.zeros(2, device="meta")},
        {"a": torch.eye(2).to_sparse()},
        {"\ud800": torch.zeros(2)},
    ],
    ids=["view", "meta", "sparse", "name"],
)
def test_tensors_that_cannot_be_stored_are_one_message(tensors: dict[str, torch.Tensor], tmp_path: Path) -> None:
    """Views of endless size, tensors without numbers or in another layout, and names that are not text are refused."""
    with pytest.raises(UsageError, match="the tensors cannot be stored as safetensors: "):
        write_weights(tensors, tmp_path / "a.safetensors")


def test_an_imported_file_starts_a_run(tmp_path: Path) -> None:
    """The command writes a file that `--init` loads completely; an existing one is kept without --force."""
    state = {"layers.0.weight": torch.ones(16, 100), "layers.0.bias": torch.zeros(16)}
    torch.save({"g": state, "d": {"weight": torch.ones(1)}}, tmp_path / "weights.pth")
    done = command("import-weights", tmp_path / "weights.pth", "--generator", "g")
    assert done.returncode == 0, done.stderr
    assert "2 tensors, 1,616 numbers" in done.stdout
    assert load_file(tmp_path / "weights.safetensors").keys() == {f"generator.{name}" for name in state}
    assert command("import-weights", tmp_path / "weights.pth").returncode == 2
    missing = command("import-weights", tmp_path / "weights.pth", "--generator", "G", "--force")
    assert missing.returncode == 2
    assert "no tensors under 'G' (available: d, g)" in missing.stderr

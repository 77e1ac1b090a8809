"""State of the process after a component's code."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from ganforge.utils.process import kept_process


def test_folder_and_grad_mode_are_restored(tmp_path: Path) -> None:
    """Both are as before, also after an error and from a folder that no longer exists."""
    before = Path.cwd()

    @kept_process()
    def disturb() -> None:
        os.chdir(tmp_path)
        torch.set_grad_enabled(False)
        raise KeyError

    with pytest.raises(KeyError):
        disturb()
    assert (Path.cwd(), torch.is_grad_enabled()) == (before, True)
    lost = tmp_path / "lost"
    lost.mkdir()
    os.chdir(lost)
    try:
        lost.rmdir()
        with kept_process():
            pass
    finally:
        os.chdir(before)


def test_a_forked_child_ends() -> None:
    """A child that returns from the block runs nothing of the caller; the parent continues."""
    reading, writing = os.pipe()
    with kept_process():
        child = os.fork()
    os.write(writing, b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert os.read(reading, 10) == b"x"
    os.close(reading)
    os.close(writing)

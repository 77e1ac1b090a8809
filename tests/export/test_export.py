"""Command `ganforge export`: files, messages and exit codes."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from ganforge.plugins.registry import Registry
from ganforge.training.run_directory import RunDirectory
from tests.helpers.checkpoints import train_small
from tests.helpers.plugins import command


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """Train four steps with a moving average."""
    return train_small(Registry.discover(no_plugins=True), tmp_path_factory.mktemp("runs") / "digits")


def test_a_bundle_is_sampled_as_a_run_is(run: RunDirectory) -> None:
    """The bundle is written into the run by default; its samples go into the working folder."""
    finished = command("export", run.path, "--to", "bundle", "--json", "--no-plugins")
    path = run.path / "bundle.zip"
    assert json.loads(finished.stdout) == {
        "run": str(run.path),
        "out": str(path),
        "step": 4,
        "weights": "generator_ema",
        "bytes": path.stat().st_size,
    }
    assert command("sample", path, "--num-samples", "3", "--no-plugins").stdout == "3 images: bundle-sample-seed0.png\n"
    assert Path("bundle-sample-seed0.png").is_file()
    path.unlink()


def test_each_refusal_is_one_message(run: RunDirectory, tmp_path: Path) -> None:
    """A run without a checkpoint, a file that exists, a missing folder and other weights have one message and a fix."""
    empty = tmp_path / "empty"
    shutil.copytree(run.path, empty, ignore=shutil.ignore_patterns("step-*"))
    taken = tmp_path / "taken.zip"
    taken.write_bytes(b"mine")
    cases: dict[tuple[str | Path, ...], tuple[int, str]] = {
        (empty, "--out", tmp_path / "x.zip"): (2, f"error: {empty} has no checkpoint yet\n→ train it: ganforge resume"),
        (run.path, "--out", taken): (2, f"error: {taken} exists already\n→ choose another file, or pass --force"),
        (run.path, "--out", tmp_path / "no" / "x.zip"): (2, "cannot be written: the folder"),
        (run.path, "--checkpoint", "3"): (2, "no checkpoint of step 3 (available: 2, 4)"),
        (tmp_path / "nothing",): (2, f"error: {tmp_path / 'nothing'} does not exist"),
        (taken, "--out", tmp_path / "x.zip"): (2, f"error: {taken} is not a valid bundle: it is not a zip file"),
    }
    before = set(tmp_path.iterdir())
    for arguments, (code, message) in cases.items():
        finished = command("export", *arguments, "--to", "bundle", "--no-plugins")
        assert message in finished.stderr
        assert (finished.returncode, finished.stdout) == (code, "")
    assert taken.read_bytes() == b"mine"
    assert set(tmp_path.iterdir()) == before


def test_a_full_disk_is_one_message(run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the file; neither a part of it nor a temporary file is left, and an old file is unchanged."""
    path = tmp_path / "bundle.zip"
    path.write_bytes(b"mine")

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("zipfile.ZipFile.writestr", fail)
    finished = command("export", run.path, "--to", "bundle", "--out", path, "--force", "--no-plugins")
    assert (finished.returncode, finished.stdout) == (2, "")
    assert f"error: {path} cannot be written: No space left on device" in finished.stderr
    assert path.read_bytes() == b"mine"
    assert list(tmp_path.iterdir()) == [path]


def test_one_format_is_needed(run: RunDirectory) -> None:
    """Without a format, and with two, the message lists them."""
    for flags in ((), ("--to", "bundle", "--web")):
        finished = command("export", run.path, *flags, "--no-plugins")
        assert finished.returncode == 2
        assert "error: one format is needed\n→ pass --to onnx, torch, weights or bundle, or --web" in finished.stderr

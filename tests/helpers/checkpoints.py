"""Checkpoints of small runs: their bits, and checksums as a malicious author writes them."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ganforge.plugins.registry import Registry
from ganforge.runs import launch
from ganforge.runs.setup import prepare
from ganforge.training import checkpoint as checkpoints
from ganforge.training.checkpoint import Checkpoint
from ganforge.training.run_directory import RunDirectory
from tests.helpers.runs import tiny

SMALL = ("gen=mlp", "disc=mlp", "gen.hidden=[8]", "disc.hidden=[8]", "batch_size=10", "ema_halflife_images=50")
FILES = (
    "checksums.json",
    "discriminator.safetensors",
    "generator.safetensors",
    "generator_ema.safetensors",
    "optimizers.safetensors",
    "state.json",
)


def train_small(registry: Registry, path: Path, *settings: str) -> RunDirectory:
    """Train four steps, with a checkpoint after every second one."""
    run = RunDirectory(path)
    asked = (*SMALL, "checkpoint_every=2", "log_every=1", "steps=4", *settings)
    launch.start_run(prepare(tiny(registry, *asked), registry), out=run.path)
    return run


def exact(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return all that a checkpoint holds, as bytes and numbers that can be compared."""

    def plain(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        return {name: (str(value.dtype), value.shape, value.numpy().tobytes()) for name, value in tensors.items()}

    return {"state": dict(checkpoint.state), **{file: plain(part) for file, part in checkpoint.tensors.items()}}


def digests(run: RunDirectory) -> dict[str, str]:
    """Return the SHA-256 of every file in the newest checkpoint."""
    folder = run.checkpoint_path(checkpoints.steps(run)[0])
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


def wait_for_checkpoint(run: RunDirectory, process: subprocess.Popen[str], seconds: float = 60) -> None:
    """Wait until a first checkpoint lies there."""
    end = time.monotonic() + seconds
    while not checkpoints.steps(run):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


def sign(folder: Path) -> None:
    """Write checksums that agree with whatever lies in a checkpoint's folder, as a malicious author would."""
    files = sorted(file for file in folder.iterdir() if file.name != checkpoints.CHECKSUMS and file.is_file())
    sums = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    (folder / checkpoints.CHECKSUMS).write_text(json.dumps(sums))


def copied(run: RunDirectory, path: Path) -> RunDirectory:
    """Return a fresh copy of a run, in place of an earlier one."""
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(run.path, path, symlinks=True)
    return RunDirectory(path)

"""The process that a cell needs next: `ganforge run`, `resume` or `evaluate`, with its share of the machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch

from ganforge.sweep.config import Request
from ganforge.sweep.directory import MatrixDirectory
from ganforge.sweep.locks import Claim
from ganforge.sweep.trials import Cell
from ganforge.utils.files import number_in

THREADS, GPUS = "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"

Stage = Literal["run", "resume", "evaluate"]


@dataclass(frozen=True, slots=True)
class Started:
    """Hold a process, what it does, and where in its log it began to print."""

    process: subprocess.Popen[bytes]
    stage: Stage
    log: Path
    log_start: int

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it lives."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    def end(self, seconds: float) -> None:
        """Wait until it has ended; after so many seconds it is killed."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def error(self) -> str:
        """Return what it said when it failed."""
        try:
            lines = self.log.read_bytes()[self.log_start :].decode(errors="replace").splitlines()
        except OSError as error:
            lines = [str(error)]
        said = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        if said:
            return said[-1]
        code = self.process.returncode
        if code < 0:
            return f"{self.stage} was killed by {signal.Signals(-code).name}"
        if code == 0:
            return f"{self.stage} ended, but left nothing that was asked for (see {self.log})"
        last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
        return f"{self.stage} ended with {code}: {last} (see {self.log})"


@dataclass
class Starter:
    """Start processes for cells. jobs: how many there are at the same time."""

    directory: MatrixDirectory
    request: Request
    jobs: int

    def start(self, cell: Cell, claim: Claim, slot: int) -> Started:
        """Start what a cell needs next; it inherits the claim. slot: which of the jobs it is. Raises OSError."""
        stage = self._stage(cell)
        plugins = [word for plugin in self.request.plugins for word in ("--plugin", plugin)]
        plugins += ["--no-plugins"] if self.request.no_plugins else []
        path = self.directory.log(cell)
        with path.open("ab") as log:
            log_start = log.tell()
            process = subprocess.Popen(
                [sys.executable, "-m", "ganforge", stage, *self._arguments(cell, stage), *plugins, "--quiet"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment(cell, stage, slot),
                pass_fds=claim.inherited,
                start_new_session=True,  # Ctrl-C comes once, from whoever started this
            )
        return Started(process, stage, path, log_start)

    def _stage(self, cell: Cell) -> Stage:
        stages: dict[str, Stage] = {"new": "run", "begun": "resume"}
        return stages.get(self.directory.state(cell), "evaluate")

    def _arguments(self, cell: Cell, stage: Stage) -> list[str]:
        path = str(self.directory.run(cell).path)
        if stage == "run":
            self.directory.clear(cell)
            return ["--config", str(self.directory.write_config(cell)), "--out", path]
        return [path] if stage == "resume" else [path, *self.request.scoring.arguments, "--json"]

    def environment(self, cell: Cell, stage: Stage, slot: int) -> dict[str, str]:
        """Return the environment of a process: the cores are shared among the jobs, and the GPUs take turns.

        A run that goes on gets as many threads as it began with, since only then it goes on to the same bits. Whoever
        has set the number of threads, or named a device, decides.
        """
        environment = dict(os.environ)
        hardware = self.directory.manifest(cell).get("hardware", {})
        threads = int(number_in(hardware, "threads")) if stage == "resume" else 0
        if THREADS not in environment and (threads > 0 or self.jobs > 1):
            environment[THREADS] = str(threads or max(1, (os.cpu_count() or 1) // self.jobs))
        free = cell.experiment.device == "cuda:0" and not any("device" in base.values for base in self.request.base)
        if free and self.jobs > 1 and len(self._gpus) > 1:
            environment[GPUS] = self._gpus[slot % len(self._gpus)]
        return environment

    @cached_property
    def _gpus(self) -> list[str]:
        """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES calls them."""
        visible = os.environ.get(GPUS)
        return list(map(str, range(torch.cuda.device_count()))) if visible is None else visible.split(",")

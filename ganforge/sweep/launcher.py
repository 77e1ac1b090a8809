"""Launcher of a trial's processes: `ganforge run`, `resume` and `evaluate`, each with a part of the machine."""

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

from ganforge.sweep.config import SweepConfig
from ganforge.sweep.directory import State, SweepDirectory
from ganforge.sweep.locks import TrialLock
from ganforge.sweep.trials import Trial
from ganforge.utils import torchrun
from ganforge.utils.files import MAX_ROWS_BYTES, open_appending, open_regular

THREADS, GPUS = "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"

#: Length of the end of a log that is searched for an error.
MAX_LOG_BYTES = 1 << 20

Stage = Literal["run", "resume", "evaluate"]
STAGES: dict[State, Stage] = {"new": "run", "unfinished": "resume", "finished": "evaluate", "diverged": "evaluate"}


@dataclass(frozen=True, slots=True)
class TrialProcess:
    """Process of a trial, in one of the slots of the jobs; its output begins in the log at `log_start`.

    `started_at` is the time at which the first process of the trial started.
    """

    trial: Trial
    lock: TrialLock
    slot: int
    started_at: float
    process: subprocess.Popen[bytes]
    stage: Stage
    log: Path
    log_start: int

    def error(self) -> str:
        """Return the error message of an ended process."""
        try:
            with open_regular(self.log, max_bytes=MAX_ROWS_BYTES) as log:
                log.seek(max(self.log_start, log.seek(0, os.SEEK_END) - MAX_LOG_BYTES))
                lines = log.read().decode(errors="replace").splitlines()
        except OSError as error:
            lines = [str(error)]
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        if errors:
            return errors[-1]
        code = self.process.returncode
        if code < 0:
            return f"{self.stage} was killed by {signal.Signals(-code).name}"
        if code == 0:
            missing = "the requested scores" if self.stage == "evaluate" else "finishing the training"
            return f"{self.stage} ended with exit code 0 without {missing} (see {self.log})"
        last = next((line.strip() for line in reversed(lines) if line.strip()), "no output")
        return f"{self.stage} ended with {code}: {last} (see {self.log})"


@dataclass
class Launcher:
    """Launcher of trials' processes, of which `jobs` run at the same time."""

    directory: SweepDirectory
    sweep: SweepConfig
    jobs: int

    def start(self, trial: Trial, lock: TrialLock, slot: int, started_at: float) -> TrialProcess:
        """Start the next process of a trial, which inherits the lock; see `TrialProcess`. Raises OSError."""
        stage = STAGES[self.directory.state(trial)]
        plugins = [word for plugin in self.sweep.plugins for word in ("--plugin", plugin)]
        plugins += ["--no-plugins"] if self.sweep.no_plugins else []
        run = str(self.directory.run(trial).path)
        arguments = [run] if stage == "resume" else [run, *self.sweep.scoring.arguments, "--json"]
        if stage == "run":
            arguments = ["--config", str(self.directory.write_config(trial)), "--out", run]
        path = self.directory.trials / f"{trial.name}.log"
        with open_appending(path) as log:
            log_start = log.seek(0, os.SEEK_END)
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "ganforge", stage, *arguments, *plugins, "--quiet"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment(trial, stage, slot),
                pass_fds=lock.descriptors,
                start_new_session=True,  # the scheduler forwards Ctrl-C, once
            )
        return TrialProcess(trial, lock, slot, started_at, process, stage, path, log_start)

    def environment(self, trial: Trial, stage: Stage, slot: int) -> dict[str, str]:
        """Return the environment of a process: the jobs share the cores, and the GPUs take turns.

        A resumed run gets the number of threads that it started with, since its bits depend on it. A number of threads
        or a device that the user has set is kept; variables of torchrun, leftovers of another job, are not.
        """
        environment = {name: value for name, value in os.environ.items() if name not in torchrun.VARIABLES}
        manifest = self.directory.manifest(trial) if stage == "resume" else None
        threads = 0 if manifest is None else manifest.hardware.threads
        if THREADS not in environment and (threads > 0 or self.jobs > 1):
            environment[THREADS] = str(threads or max(1, (os.cpu_count() or 1) // self.jobs))
        device_is_set = any("device" in base.values for base in self.sweep.base)
        if trial.experiment.device == "cuda:0" and not device_is_set and self.jobs > 1 and len(self._gpus) > 1:
            environment[GPUS] = self._gpus[slot % len(self._gpus)]
        return environment

    @cached_property
    def _gpus(self) -> list[str]:
        """Names of the GPUs of this process, as in CUDA_VISIBLE_DEVICES."""
        visible = os.environ.get(GPUS)
        return list(map(str, range(torch.cuda.device_count()))) if visible is None else visible.split(",")

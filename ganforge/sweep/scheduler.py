"""Scheduler of trials: `ganforge run` or `resume`, then `ganforge evaluate`, as processes, several at a time."""

from __future__ import annotations

import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, Protocol

from ganforge.errors import GanforgeError, RunDirectoryError
from ganforge.schemas.rows import EvaluationRow
from ganforge.sweep.config import SweepConfig
from ganforge.sweep.directory import SweepDirectory
from ganforge.sweep.launcher import Launcher, Stage, TrialProcess
from ganforge.sweep.locks import TrialLock
from ganforge.sweep.trials import Trial
from ganforge.utils.format import format_count
from ganforge.utils.signals import Interruption

POLL_SECONDS = 0.05
#: Time until a trial that another process has locked is tried again.
BUSY_SECONDS = 1.0
#: Time that processes have to end after SIGTERM.
GRACE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class TrialResult:
    """Result of a trial: the end of its training, or "unscored" if it could not be scored, and its scores."""

    trial: Trial
    status: Literal["scored", "diverged", "failed", "unscored"]
    row: EvaluationRow | None = None
    error: str | None = None


class SweepCallback(Protocol):
    """Callback of a scheduler."""

    def on_trial_start(self, trial: Trial, stage: Stage) -> None:
        """Run after a process of a trial has started."""

    def on_trial_end(self, result: TrialResult, seconds: float) -> None:
        """Run after the end of a trial; `seconds` is 0 if the result existed before."""

    def on_message(self, message: str) -> None:
        """Run when the user should see a message."""

    def on_poll(self, progress: Callable[[], float]) -> None:
        """Run after each look at the processes; `progress` returns how many trials the running ones amount to."""


@dataclass(slots=True)
class Scheduler:
    """Scheduler that keeps `jobs` processes running until the trials are exhausted or a signal arrives.

    Each trial is locked first. The result of a trial that another sweep has locked is awaited.
    """

    directory: SweepDirectory
    sweep: SweepConfig
    jobs: int
    callback: SweepCallback
    interruption: Interruption
    on_result: Callable[[TrialResult], None] | None = None
    launcher: Launcher = field(init=False)
    _running: list[TrialProcess] = field(default_factory=list)
    _busy: deque[tuple[float, Trial]] = field(default_factory=deque)
    _awaited: set[str] = field(default_factory=set)
    _signal_sent: bool = False
    _results: list[TrialResult] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.launcher = Launcher(self.directory, self.sweep, self.jobs)

    def run(self, trials: Iterator[Trial]) -> list[TrialResult]:
        """Run all trials, or until all processes have stopped after a signal; return results."""
        exhausted = False
        try:
            while self._running or not (self._stopping or (exhausted and not self._busy)):
                self._forward_signal()
                for job in [job for job in self._running if job.process.poll() is not None]:
                    self._advance(job)
                while not self._stopping and len(self._running) < self.jobs:
                    trial = next(trials, None)
                    exhausted = trial is None
                    if trial is None and self._busy and self._busy[0][0] <= time.monotonic():
                        _, trial = self._busy.popleft()
                    if trial is None:
                        break
                    self._start_trial(trial)
                self.callback.on_poll(lambda: sum(self.directory.progress(job.trial) for job in self._running))
                time.sleep(POLL_SECONDS)
        finally:
            self._terminate()
        return self._results

    def known_result(self, trial: Trial) -> TrialResult | None:
        """Return the result in a trial's run directory, or None if the trial is unfinished."""
        try:
            state = self.directory.state(trial)
            if state == "diverged":
                manifest = self.directory.manifest(trial)
                return TrialResult(trial, "diverged", error=None if manifest is None else manifest.error)
            row = self.directory.scores(trial, self.sweep.scoring) if state == "finished" else None
        except Exception as error:  # noqa: BLE001 - damaged files can raise anything; the other trials continue
            return _failed(trial, error)
        return None if row is None else TrialResult(trial, "scored", row)

    @property
    def _stopping(self) -> bool:
        return self.interruption.received is not None

    def _start_trial(self, trial: Trial) -> None:
        """Lock a trial and start its next process, or report its result if it has one."""
        result = self.known_result(trial)
        if result is None:
            try:
                lock = self.directory.lock_trial(trial)
            except RunDirectoryError as error:
                self._report(_failed(trial, error))
                return
            if lock is None:
                if trial.name not in self._awaited:
                    self._awaited.add(trial.name)
                    path = self.directory.run(trial).path
                    self.callback.on_message(f"{path} is in use by another process; the sweep waits for it")
                self._busy.append((time.monotonic() + BUSY_SECONDS, trial))
                return
            result = self.known_result(trial)  # the previous holder of the lock may have finished meanwhile
            if result is None:
                self._start_process(trial, lock, time.monotonic())
                return
            lock.release()
        self._report(result)

    def _start_process(self, trial: Trial, lock: TrialLock, started_at: float) -> None:
        used = {job.slot for job in self._running}
        slot = next(number for number in range(self.jobs) if number not in used)
        try:
            if self.directory.state(trial) == "new" and (kept := self.directory.make_room(trial)) is not None:
                self.callback.on_message(f"{self.directory.run(trial).path} has lost its run.json; it is now {kept}")
            job = self.launcher.start(trial, lock, slot, started_at)
        except Exception as error:  # noqa: BLE001 - as in `known_result`
            lock.release()
            self._report(_failed(trial, error))
            return
        self._running.append(job)
        self.callback.on_trial_start(trial, job.stage)

    def _advance(self, job: TrialProcess) -> None:
        """Start the next process of a trial whose process has ended, or report its result."""
        self._running.remove(job)
        code, trained = job.process.returncode, job.stage != "evaluate"
        if self._stopping and code != 0:
            job.lock.release()  # it has saved, and can be resumed
            return
        result = self.known_result(job.trial)
        finished = result is None and trained and code == 0 and self.directory.state(job.trial) == "finished"
        if finished and not self._stopping:
            self._start_process(job.trial, job.lock, job.started_at)
            return
        if result is None and not (self._stopping and trained):
            result = TrialResult(job.trial, "failed" if trained else "unscored", error=job.error())
        job.lock.release()
        if result is not None:
            self._report(result, time.monotonic() - job.started_at)

    def _report(self, result: TrialResult, seconds: float = 0.0) -> None:
        self._results.append(result)
        if self.on_result is not None:
            self.on_result(result)
        self.callback.on_trial_end(result, seconds)

    def _forward_signal(self) -> None:
        """Send the first signal to every process, once: each saves and ends."""
        number = self.interruption.received
        if number is None or self._signal_sent:
            return
        self._signal_sent = True
        if self._running:
            self.callback.on_message(f"{number.name}: {format_count(len(self._running), 'run')} will save and stop")
        for job in self._running:
            job.process.send_signal(number)

    def _terminate(self) -> None:
        """End running processes, after a second signal or an error in this process."""
        for job in self._running:
            for _ in range(1 if self._signal_sent else 2):
                job.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        for job in self._running:
            try:
                job.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                job.process.kill()
                job.process.wait()
            job.lock.release()
        self._running.clear()


def _failed(trial: Trial, error: Exception) -> TrialResult:
    if isinstance(error, GanforgeError):
        return TrialResult(trial, "failed", error=error.message)
    text = str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
    return TrialResult(trial, "failed", error=text)

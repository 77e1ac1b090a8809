"""Working at cells: `ganforge run` or `resume`, then `ganforge evaluate`, each a process, several at a time."""

from __future__ import annotations

import signal
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from ganforge.errors import GanforgeError, RunDirectoryError
from ganforge.sweep.config import Request
from ganforge.sweep.directory import MatrixDirectory
from ganforge.sweep.launcher import Stage, Started, Starter
from ganforge.sweep.locks import Claim
from ganforge.sweep.trials import Cell
from ganforge.training.signals import Interruption

POLL_SECONDS = 0.05
#: How long until a cell that another process works at is looked at again.
BUSY_SECONDS = 1.0
#: How long a process has that was told to stop at once.
GRACE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Result:
    """Hold what a cell has come to.

    status: of its training, or `unscored`. row: of evaluation.jsonl, where it has been scored. error: what went wrong.
    """

    cell: Cell
    status: Literal["scored", "diverged", "failed", "unscored"]
    row: dict[str, Any] | None = None
    error: str | None = None


class Source(Protocol):
    """Give cells, and hear what they have come to."""

    def take(self) -> Cell | None:
        """Return a cell to work at, or None where there is none, perhaps only for now."""

    def tell(self, result: Result) -> None:
        """Hear of a cell that is at its end."""

    def exhausted(self) -> bool:
        """Whether there will be no more cells, whatever those that are being worked at come to."""


class Watcher(Protocol):
    """Watch the work for a person."""

    def began(self, cell: Cell, stage: Stage) -> None:
        """Hear that a process has been started for a cell."""

    def ended(self, result: Result, seconds: float) -> None:
        """Hear of a cell that is at its end, after so many seconds of work."""

    def noticed(self, line: str) -> None:
        """Hear of something that a person should know."""

    def tick(self, running: int) -> None:
        """Hear that time passes, with so many cells being worked at."""


@dataclass(slots=True)
class _Job:
    """Hold a cell that is being worked at."""

    cell: Cell
    claim: Claim
    slot: int
    started: Started
    began: float


@dataclass(slots=True)
class Work:
    """Keep `jobs` processes at cells until there are no more, or a signal arrives.

    Each cell is claimed first; one that another matrix works at is waited for, and its result taken over.
    """

    directory: MatrixDirectory
    request: Request
    jobs: int
    watcher: Watcher
    interruption: Interruption
    starter: Starter = field(init=False)
    _running: list[_Job] = field(default_factory=list)
    _busy: deque[tuple[float, Cell]] = field(default_factory=deque)
    _told: bool = False
    _results: list[Result] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.starter = Starter(self.directory, self.request, self.jobs)

    def do(self, source: Source) -> list[Result]:
        """Work until the source is exhausted, or everybody has stopped after a signal; return what cells came to."""
        try:
            while self._continues(source):
                self._pass_signal_on()
                for job in [job for job in self._running if job.started.process.poll() is not None]:
                    self._advance(job, source)
                while not self._stopping and len(self._running) < self.jobs:
                    cell = self._next(source)
                    if cell is None:
                        break
                    self._start(cell, source)
                self.watcher.tick(len(self._running))
                time.sleep(POLL_SECONDS)
        finally:
            self._stop_at_once()
        return self._results

    def known(self, cell: Cell) -> Result | None:
        """Return what a cell has come to, or None where there is something left to do."""
        try:
            state = self.directory.state(cell)
            if state == "diverged":
                said = self.directory.manifest(cell).get("error", "its run.json does not say how")
                return Result(cell, "diverged", error=said)
            row = self.directory.scores(cell, self.request.scoring) if state == "finished" else None
        except Exception as error:  # noqa: BLE001 - whatever its damaged files lead to; the other cells go on
            return _failed(cell, error)
        return None if row is None else Result(cell, "scored", row)

    @property
    def _stopping(self) -> bool:
        return self.interruption.received is not None

    def _continues(self, source: Source) -> bool:
        return bool(self._running) or not (self._stopping or (source.exhausted() and not self._busy))

    def _next(self, source: Source) -> Cell | None:
        """Return a cell to look at: a fresh one, or now and then one that another process had."""
        cell = source.take()
        if cell is None and self._busy and self._busy[0][0] <= time.monotonic():
            _, cell = self._busy.popleft()
        return cell

    def _start(self, cell: Cell, source: Source) -> None:
        """Claim a cell and start what comes next for it; tell what it has come to, where that is known already."""
        result = self.known(cell)
        if result is not None:
            self._tell(result, source, 0.0)
            return
        try:
            claim = self.directory.claim(cell)
        except RunDirectoryError as error:
            self._tell(_failed(cell, error), source, 0.0)
            return
        if claim is None:
            self._busy.append((time.monotonic() + BUSY_SECONDS, cell))
            return
        result = self.known(cell)  # whoever had the claim may have ended in between
        if result is not None:
            claim.release()
            self._tell(result, source, 0.0)
            return
        self._begin(cell, claim, source, time.monotonic())

    def _begin(self, cell: Cell, claim: Claim, source: Source, began: float) -> None:
        """Start the process that a cell needs next."""
        used = {job.slot for job in self._running}
        slot = next(number for number in range(self.jobs) if number not in used)
        try:
            started = self.starter.start(cell, claim, slot)
        except Exception as error:  # noqa: BLE001 - as in `known`
            claim.release()
            self._tell(_failed(cell, error), source, 0.0)
            return
        self._running.append(_Job(cell, claim, slot, started, began))
        self.watcher.began(cell, started.stage)

    def _advance(self, job: _Job, source: Source) -> None:
        """Go on after a process has ended: to the next one for the same cell, or to its result."""
        self._running.remove(job)
        cell, code, stage = job.cell, job.started.process.returncode, job.started.stage
        if self._stopping and code != 0:
            job.claim.release()  # it has saved, and goes on another time
            return
        result = self.known(cell)
        if result is None and code == 0 and stage != "evaluate" and not self._stopping:
            self._begin(cell, job.claim, source, job.began)
            return
        if result is None and not (self._stopping and stage != "evaluate"):
            status: Literal["unscored", "failed"] = "unscored" if stage == "evaluate" else "failed"
            result = Result(cell, status, error=job.started.error())
        job.claim.release()
        if result is not None:
            self._tell(result, source, time.monotonic() - job.began)

    def _tell(self, result: Result, source: Source, seconds: float) -> None:
        self._results.append(result)
        source.tell(result)
        self.watcher.ended(result, seconds)

    def _pass_signal_on(self) -> None:
        """Tell every process of the first signal, once: each saves and ends."""
        number = self.interruption.received
        if number is None or self._told:
            return
        self._told = True
        if self._running:
            count = len(self._running)
            self.watcher.noticed(f"{number.name}: {count} run{'' if count == 1 else 's'} will save and stop")
        for job in self._running:
            job.started.send(number)

    def _stop_at_once(self) -> None:
        """End what still runs: after a second signal, or a mistake of our own."""
        for job in self._running:
            for _ in range(1 if self._told else 2):
                job.started.send(signal.SIGTERM)
        end = time.monotonic() + GRACE_SECONDS
        for job in self._running:
            job.started.end(max(0.1, end - time.monotonic()))
            job.claim.release()
        self._running.clear()


def _failed(cell: Cell, error: Exception) -> Result:
    """Return the result of a cell that cannot be worked at."""
    expected = isinstance(error, GanforgeError | OSError)
    return Result(cell, "failed", error=str(error) if expected else f"{type(error).__name__}: {error}")

"""Display of a sweep on stderr: a bar over all trials on a terminal, a line per trial elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Self, final

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from ganforge.cli._output import err
from ganforge.cli._printer import escape
from ganforge.utils.format import format_clock, format_duration, format_number
from ganforge.utils.text import printable

if TYPE_CHECKING:
    from types import TracebackType

    from ganforge.sweep.launcher import Stage
    from ganforge.sweep.scheduler import TrialResult
    from ganforge.sweep.trials import Trial

STYLES = {"scored": "green", "diverged": "red", "failed": "red", "unscored": "red"}
#: Seconds between two looks at the rows of running trials.
SECONDS_BETWEEN_LOOKS = 1.0
VERBS = {"run": "training", "resume": "resuming", "evaluate": "scoring"}


class RemainingTime:
    """Estimate of the remaining time, from the trials that ended in this process."""

    def __init__(self, jobs: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._jobs = jobs  # trials that run at the same time
        self._clock = clock
        self._durations: list[tuple[str, float]] = []  # (configuration, seconds)
        self._started: dict[str, tuple[str, float]] = {}  # by trial: (configuration, time)

    def start(self, trial: Trial) -> None:
        """Record the start of a trial; later calls are ignored."""
        self._started.setdefault(trial.name, (trial.config.name, self._clock()))

    def end(self, trial: Trial, seconds: float) -> None:
        """Record the end of a trial; 0 seconds if its result existed before."""
        self._started.pop(trial.name, None)
        if seconds > 0:
            self._durations.append((trial.config.name, seconds))

    def seconds(self, trials: int) -> float | None:
        """Return the seconds until the given number of trials, running ones included, has ended; None if unknown."""
        if not self._durations:
            return None
        now = self._clock()
        running = [max(0.0, self._mean(name) - (now - started)) for name, started in self._started.values()]
        waiting = max(0, trials - len(running)) * self._mean(None)
        return max(max(running, default=0.0), (sum(running) + waiting) / self._jobs)

    def _mean(self, name: str | None) -> float:
        """Return the mean duration of a configuration's trials, or of all if it has none."""
        durations = [seconds for config, seconds in self._durations if config == name]
        durations = durations or [seconds for _, seconds in self._durations]
        return sum(durations) / len(durations)


@final
class SweepDisplay:
    """Callback that shows a sweep; a context manager that restores the terminal.

    Errors of the terminal are ignored: a sweep continues after its terminal was closed.
    """

    def __init__(self, *, count: int, jobs: int, quiet: bool, clock: Callable[[], float] = time.monotonic) -> None:
        """Create a display of `count` trials, `jobs` at the same time; if quiet, only problems are shown."""
        self._console = err()
        self._quiet = quiet
        self._count = count
        self._done, self._running, self._now = 0, 0.0, ""
        self._clock, self._next_look = clock, clock()
        self._remaining = RemainingTime(jobs)
        console = self._console
        self._is_live = not quiet and console.is_terminal and not console.is_dumb_terminal and sys.stderr.isatty()
        columns = (
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.fields[now]}", style="dim", markup=False),
        )
        self._progress = Progress(*columns, console=console, transient=True, redirect_stdout=False)
        self._task = self._progress.add_task("", total=count, now="", left="")

    def __enter__(self) -> Self:
        if self._is_live:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._is_live:
            with suppress(OSError):
                self._progress.stop()

    def on_trial_start(self, trial: Trial, stage: Stage) -> None:
        """Show the process."""
        self._remaining.start(trial)
        if not self._is_live and not self._quiet:
            self._show(f"{VERBS[stage]} {escape(trial.label)}")
        self._update(f"{VERBS[stage]} {trial.label}")

    def on_trial_end(self, result: TrialResult, seconds: float) -> None:
        """Show the result."""
        self._done, self._running = self._done + 1, 0.0
        self._remaining.end(result.trial, seconds)
        row = {} if result.row is None else result.row.scores
        scores = " ".join(f"{name} {format_number(value)}" for name, value in row.items())
        parts = [
            f"[{STYLES[result.status]}]{self._done}/{self._count} {result.status}[/] {escape(result.trial.label)}",
            escape(scores or result.error or ""),
            format_duration(seconds) if seconds > 0 else "already there",
            "" if self._is_live else self._time_left(),
        ]
        if not self._quiet or result.status != "scored":
            self._show(" · ".join(filter(None, parts)))
        self._update("")

    def on_message(self, message: str) -> None:
        """Show a line."""
        self._show(f"[yellow]note[/]: {escape(message)}")

    def on_poll(self, progress: Callable[[], float]) -> None:
        """Move the bar within the running trials, and update the remaining time."""
        if not self._is_live or self._clock() < self._next_look:
            return
        self._next_look = self._clock() + SECONDS_BETWEEN_LOOKS
        self._running = progress()
        self._update()

    def _update(self, now: str | None = None) -> None:
        """Show bar and remaining time, and the process under way if it has changed."""
        if now is not None:
            self._now = printable(now)
        completed = self._done + self._running
        self._progress.update(self._task, completed=completed, left=self._time_left(), now=self._now)

    def _time_left(self) -> str:
        seconds = self._remaining.seconds(self._count - self._done)
        return "" if seconds is None or self._done >= self._count else f"{format_clock(seconds)} left"

    def _show(self, line: str) -> None:
        with suppress(OSError):
            self._console.print(line)

"""Show a matrix at work: a bar over all cells on a terminal, a line for each cell elsewhere; always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Self, final

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from ganforge.cli.progress import clock_time
from ganforge.utils.format import duration, number

if TYPE_CHECKING:
    from types import TracebackType

    from ganforge.sweep.launcher import Stage
    from ganforge.sweep.scheduler import Result
    from ganforge.sweep.trials import Cell

STYLES = {"scored": "green", "diverged": "red", "failed": "red", "unscored": "red"}
VERBS = {"run": "training", "resume": "going on with", "evaluate": "scoring"}


class Remaining:
    """Estimate how long the cells that are left will take, from those that were worked at in this process.

    jobs: how many are worked at at the same time. clock: seconds since any moment.
    """

    def __init__(self, jobs: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._jobs = jobs
        self._clock = clock
        self._took: list[tuple[str, float]] = []
        self._began: dict[str, tuple[str, float]] = {}

    def began(self, cell: Cell) -> None:
        """Hear that a cell is worked at."""
        self._began.setdefault(cell.name, (cell.combination.name, self._clock()))

    def ended(self, cell: Cell, seconds: float) -> None:
        """Hear that it is at its end; 0 seconds where it was before."""
        self._began.pop(cell.name, None)
        if seconds > 0:
            self._took.append((cell.combination.name, seconds))

    def seconds(self, left: int) -> float | None:
        """Return the seconds until `left` cells are done, those at work among them; None while nothing tells."""
        if not self._took:
            return None
        now, usual = self._clock(), self._mean(None)
        running = [max(0.0, self._mean(name) - (now - began)) for name, began in self._began.values()]
        rest = max(0, left - len(running)) * usual
        return max(max(running, default=0.0), (sum(running) + rest) / self._jobs)

    def _mean(self, name: str | None) -> float:
        """Return what a cell of a combination takes, or one of any."""
        alike = [seconds for combination, seconds in self._took if combination == name]
        alike = alike or [seconds for _, seconds in self._took]
        return sum(alike) / len(alike)


@final
class MatrixDisplay:
    """Watch the work for a person; a `with` block opens it and leaves the terminal as it was.

    A terminal that has gone away does not end the work.
    """

    def __init__(self, *, count: int, jobs: int, quiet: bool) -> None:
        self._console = Console(stderr=True, soft_wrap=True, highlight=False)
        self._quiet = quiet
        self._count = count
        self._done = 0
        self._remaining = Remaining(jobs)
        console = self._console
        live = not quiet and console.is_terminal and not console.is_dumb_terminal and sys.stderr.isatty()
        self._progress = _progress(console) if live else None
        self._task = None if self._progress is None else self._progress.add_task("", total=count, now="", left="")

    def __enter__(self) -> Self:
        self._surface.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._surface.__exit__(kind, error, traceback)

    @property
    def _surface(self) -> AbstractContextManager[object]:
        return nullcontext() if self._progress is None else self._progress

    def began(self, cell: Cell, stage: Stage) -> None:
        """Show what is being done."""
        self._remaining.began(cell)
        if self._progress is None and not self._quiet:
            self._say(f"{VERBS[stage]} {escape(cell.label)}")
        self._update(f"{VERBS[stage]} {cell.label}")

    def ended(self, result: Result, seconds: float) -> None:
        """Show what a cell has come to."""
        self._done += 1
        self._remaining.ended(result.cell, seconds)
        row = {} if result.row is None else result.row["scores"]
        scores = " ".join(f"{name} {number(value)}" for name, value in row.items())
        words = [
            f"[{STYLES[result.status]}]{self._done}/{self._count} {result.status}[/] {escape(result.cell.label)}",
            escape(scores or result.error or ""),
            *([duration(seconds)] if seconds > 0 else ["was there already"]),
            *([] if self._progress is not None else self._left()),
        ]
        if not self._quiet or result.status != "scored":
            self._say(" · ".join(filter(None, words)))
        self._update("")

    def noticed(self, line: str) -> None:
        """Show a line."""
        self._say(f"[yellow]note[/]: {escape(line)}")

    def tick(self, running: int) -> None:
        """Show the time that remains."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=self._done, left=" · ".join(self._left()))

    def _update(self, now: str) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=self._done, now=escape(now))

    def _left(self) -> list[str]:
        seconds = self._remaining.seconds(self._count - self._done)
        return [] if seconds is None or self._done >= self._count else [f"{clock_time(seconds)} left"]

    def _say(self, line: str) -> None:
        with suppress(OSError):
            self._console.print(line)


def _progress(console: Console) -> Progress:
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[left]}"),
        TextColumn("[dim]{task.fields[now]}"),
    )
    return Progress(*columns, console=console, transient=True, redirect_stdout=False)

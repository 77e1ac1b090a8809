"""A matrix from request to leaderboard."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ganforge.plugins.registry import Registry
from ganforge.sweep.config import Request
from ganforge.sweep.directory import MatrixDirectory
from ganforge.sweep.expand import Planner, check_count, check_some_fit
from ganforge.sweep.leaderboard import Leaderboard, leaderboard
from ganforge.sweep.scheduler import Result, Source, Watcher, Work
from ganforge.sweep.search import Study
from ganforge.sweep.trials import Cell, Combination, cells, merged
from ganforge.training.signals import Interruption


@dataclass(slots=True)
class Listed:
    """Give the cells of a list, one after the other."""

    waiting: deque[Cell]

    def take(self) -> Cell | None:
        """Return the next cell."""
        return self.waiting.popleft() if self.waiting else None

    def tell(self, result: Result) -> None:
        """Hear of a cell; no other depends on it."""

    def exhausted(self) -> bool:
        """Whether every cell has been given."""
        return not self.waiting


@dataclass(slots=True)
class Matrix:
    """Hold a matrix whose folder is made: its combinations, or the study that finds them."""

    directory: MatrixDirectory
    request: Request
    combinations: list[Combination]
    study: Study | None = None

    @classmethod
    def prepare(
        cls, request: Request, registry: Registry, out: Path | None, tell: Callable[[Combination], None]
    ) -> Self:
        """Check every combination, and make the folder, or find it again. `tell` hears each combination.

        Raises UsageError where the folder holds another matrix, UnknownComponentError, IncompatibleError where nothing
        can be run, and RunDirectoryError; then nothing was written.
        """
        if request.search is None:
            directory, planned = plan(request, registry, out, tell)
            return cls(directory, request, merged(directory.write(request, planned)))
        directory = MatrixDirectory.place(out, request)
        study = Study.open(directory, request, _planner(request, registry, directory), tell)
        return cls(directory, request, [], study)

    @property
    def cells(self) -> list[Cell]:
        """The cells, in the order they are run in; those of a search as far as they are known."""
        combinations = self.combinations if self.study is None else self.study.combinations
        return cells(combinations, self.request.seeds)

    @property
    def count(self) -> int:
        """How many cells there will be; of a search at most."""
        trials = None if self.request.search is None else self.request.search.trials
        return len(self.cells) if trials is None else trials * len(self.request.seeds)

    def work(self, jobs: int, watcher: Watcher, interruption: Interruption) -> Leaderboard:
        """Run and score what is not there yet, write the leaderboard, and return it. Raises RunDirectoryError."""
        source: Source = Listed(deque(self.cells)) if self.study is None else self.study
        work = Work(self.directory, self.request, jobs, watcher, interruption)
        results = {result.cell.name: result for result in work.do(source)}
        untouched = (work.known(cell) for cell in self.cells if cell.name not in results)  # after an interruption
        results |= {result.cell.name: result for result in untouched if result is not None}
        combinations = self.combinations if self.study is None else self.study.combinations
        found = leaderboard(self.directory, self.request, combinations, results)
        found.write(self.directory)
        return found


def plan(
    request: Request, registry: Registry, out: Path | None, tell: Callable[[Combination], None]
) -> tuple[MatrixDirectory, list[Combination]]:
    """Return where the cells of a request would be, and every combination, checked. Nothing is written.

    Raises as `Matrix.prepare` does.
    """
    check_count(request)
    directory = MatrixDirectory.place(out, request)
    planned = _planner(request, registry, directory).plan_all(tell)
    check_some_fit(planned)
    return directory, planned


def _planner(request: Request, registry: Registry, directory: MatrixDirectory) -> Planner:
    planner = Planner(request, registry, directory.read_plan())
    planner.check_names()
    return planner

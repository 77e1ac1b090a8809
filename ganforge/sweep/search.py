"""A search: Optuna proposes what to try next (ask), and hears what it came to (tell).

Run directories stay the truth. A trial's name is made of its choices, and its choices can be read from its runs. So a
journal that was lost is rebuilt from them; what ran is scored again by nobody.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from ganforge.errors import GanforgeError
from ganforge.sweep.config import Request, Search
from ganforge.sweep.directory import MatrixDirectory
from ganforge.sweep.expand import Planner, check_some_fit
from ganforge.sweep.scheduler import Result
from ganforge.sweep.search_space import chosen, distributions, objective_direction, sampler, spelled
from ganforge.sweep.storage import open_storage
from ganforge.sweep.trials import (
    Cell,
    Choices,
    Combination,
    choices_of,
    hashed_name,
)
from ganforge.training.run_directory import RunDirectory

if TYPE_CHECKING:
    from optuna import Study as OptunaStudy
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

SEED_MARK = "-seed"


@dataclass(slots=True)
class Trial:
    """Hold a trial that is under way: its number in the storage, its combination, and the results of its seeds."""

    number: int
    combination: Combination
    results: dict[int, Result] = field(default_factory=dict)


@dataclass(slots=True)
class Study:
    """Give the cells of one trial after the other, until there are as many trials as were asked for."""

    directory: MatrixDirectory
    request: Request
    search: Search
    planner: Planner
    tell_planned: Callable[[Combination], None]
    study: OptunaStudy
    distributions: dict[str, BaseDistribution]
    found: dict[str, Combination] = field(default_factory=dict)
    trials: dict[int, Trial] = field(default_factory=dict)
    _waiting: deque[Cell] = field(default_factory=deque)
    _enough: bool = False

    @classmethod
    def open(
        cls, directory: MatrixDirectory, request: Request, planner: Planner, tell: Callable[[Combination], None]
    ) -> Self:
        """Open, make or rebuild the study of a request, and its folder. Raises UsageError and IncompatibleError."""
        search = request.search
        assert search is not None, "only a search has a study"  # noqa: S101
        spaces = distributions(request)
        _, better = objective_direction(search.objective, request.scoring.names, planner.registry)
        _check_something_fits(request, planner)
        directory.write(request, [])
        with directory.lock():
            study = open_storage(search.storage, directory.journal, f"ganforge-{request.digest}", better)
            opened = cls(directory, request, search, planner, tell, study, spaces)
            opened.rebuild()
        return opened

    @property
    def combinations(self) -> list[Combination]:
        """What has been tried here, as far as it is known."""
        return list(self.found.values())

    def take(self) -> Cell | None:
        """Return the next cell: of a trial that somebody left, or of a new one."""
        while not self._waiting and not self._enough:
            self._look()
        return self._waiting.popleft() if self._waiting else None

    def exhausted(self) -> bool:
        """Whether every trial has been given."""
        return not self._waiting and self._enough

    def tell(self, result: Result) -> None:
        """Tell the storage what a trial came to, once all its seeds are at their end.

        One that diverged is worse than all others. One that failed is left open, and tried again another time.
        """
        from optuna.trial import TrialState  # noqa: PLC0415 - an extra

        name, seed = result.cell.combination.name, result.cell.seed
        alike = (one for one in self.trials.values() if one.combination.name == name and seed not in one.results)
        trial = next(alike)
        trial.results[seed] = result
        if len(trial.results) < len(self.request.seeds):
            return
        results = [trial.results[number] for number in self.request.seeds]
        scores = [None if one.row is None else one.row["scores"].get(self.search.objective) for one in results]
        values = [score for score in scores if score is not None]
        with self.directory.lock():
            if len(values) == len(scores):
                self.study.tell(trial.number, sum(values) / len(values), skip_if_finished=True)
            elif not any(one.status in {"failed", "unscored"} for one in results):
                self.study.tell(trial.number, state=TrialState.PRUNED, skip_if_finished=True)

    def rebuild(self) -> None:
        """Give the study every trial whose runs are here and that it does not know; it hears later how they ended."""
        from optuna.trial import TrialState, create_trial  # noqa: PLC0415 - as above

        trials = self.study.get_trials(deepcopy=False)
        known = {hashed_name(self._choices(trial.params)) for trial in trials}
        for combination in self._combinations_of_runs():
            self.found[combination.name] = combination
            if combination.name not in known:
                params = {key: spelled(combination.choices[key]) for key in self.distributions}
                self.study.add_trial(
                    create_trial(state=TrialState.RUNNING, params=params, distributions=self.distributions)
                )

    def _combinations_of_runs(self) -> Iterator[Combination]:
        """Yield what the run directories here have tried, in the order in which they began."""
        keys = [*self.request.axes, *self.search.spaces]
        begun = []
        for path in self.directory.path.glob(f"*{SEED_MARK}*/run.toml"):
            run = RunDirectory(path.parent)
            try:
                experiment = run.read_experiment()
                choices = {key: chosen(value) for key, value in choices_of(experiment, keys).items()}
                created = str(run.read_manifest().get("created"))
            except (GanforgeError, KeyError, TypeError):
                continue  # damaged, or none of ours; whatever works at it says so
            name = run.name.rpartition(SEED_MARK)[0]
            if hashed_name(choices) == name:
                begun.append((created, name, Combination(choices, name, experiment)))
        seen = set()
        for _, name, combination in sorted(begun, key=lambda item: item[:2]):
            if name not in seen:
                seen.add(name)
                yield combination

    def _look(self) -> None:
        """Begin with a trial that is open and not at work here, or with a new one, or see that there are enough."""
        from optuna.trial import TrialState  # noqa: PLC0415 - as above

        with self.directory.lock():
            trials = self.study.get_trials(deepcopy=False)
            for frozen in trials:
                if frozen.state == TrialState.RUNNING and frozen.number not in self.trials and self._is_ours(frozen):
                    self._begin(frozen.number, frozen.params)
                    return
            if len(trials) >= self.search.trials:
                self._enough = True
                return
            self.study.sampler = sampler(f"{self.study.study_name} {len(trials)}")
            asked = self.study.ask(self.distributions)
            self._begin(asked.number, asked.params)

    def _begin(self, number: int, params: Mapping[str, Any]) -> None:
        """Queue a trial's cells; one whose parts do not fit is at its end at once."""
        from optuna.trial import TrialState  # noqa: PLC0415 - as above

        choices = self._choices(params)
        name = hashed_name(choices)
        combination = self.found.get(name)
        if combination is None:
            combination = self.found[name] = self.planner.plan(choices, name)
            self.tell_planned(combination)
        if combination.experiment is None:
            self.study.tell(number, state=TrialState.PRUNED, skip_if_finished=True)
            return
        cells = [Cell(combination, seed) for seed in self.request.seeds]
        self.directory.write_config(cells[0])  # from now on it can be known as ours
        self.trials[number] = Trial(number, combination)
        self._waiting.extend(cells)

    def _is_ours(self, frozen: FrozenTrial) -> bool:
        """Whether a trial was begun in this folder: others may share a storage that is not in it."""
        name = hashed_name(self._choices(frozen.params))
        first = Cell(Combination({}, name), self.request.seeds[0])
        return self.search.storage is None or self.directory.config(first).exists()

    def _choices(self, params: Mapping[str, Any]) -> Choices:
        """Return a trial's choices, those included that are the same for all."""
        fixed = {key: values[0] for key, values in self.request.axes.items()}
        given = {key: chosen(value) for key, value in params.items()}
        return {key: given.get(key, fixed.get(key)) for key in (*fixed, *self.search.spaces)}


def _check_something_fits(request: Request, planner: Planner) -> None:
    """Raise IncompatibleError where no combination of the axes can be run with the lowest values of the spaces."""
    assert request.search is not None, "only a search has spaces"  # noqa: S101
    lowest = {key: int(space.low) if space.whole else space.low for key, space in request.search.spaces.items()}
    tried = []
    for choices in planner.points():
        tried.append(planner.plan(choices | lowest, ""))
        if tried[-1].experiment is not None:
            return
    check_some_fit(tried)

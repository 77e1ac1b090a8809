"""Search by Optuna, which proposes configurations and gets their scores.

Run directories are the source of truth. The name of a configuration is made of its choices, and the choices can be read
from its runs. So a lost journal is rebuilt from the runs, and no run is trained or scored again.

Optuna's trials are configurations here: each has a `Trial` for every seed.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import TrialState, create_trial
from sqlalchemy.pool import NullPool

from ganforge.errors import UsageError
from ganforge.sweep.config import SearchConfig, SweepConfig
from ganforge.sweep.directory import SweepDirectory, rename_damaged
from ganforge.sweep.expand import Planner, check_some_fit
from ganforge.sweep.parse import find_objective
from ganforge.sweep.scheduler import TrialResult
from ganforge.sweep.trials import Choices, Trial, TrialConfig, hashed_name
from ganforge.utils.files import read_file

#: Limit of a study's journal; a trial has some thousand bytes.
MAX_JOURNAL_BYTES = 1 << 28
#: First characters of encoded values.
JSON_STARTS = ("[", "{", '"')


@dataclass(slots=True)
class _Proposal:
    """Configuration under way, with its number in the study and its results by seed."""

    number: int
    config: TrialConfig
    results: dict[int, TrialResult] = field(default_factory=dict)


class SearchSource:
    """Source of the trials of a search, until the study has the requested number of configurations.

    A study and its folder are opened, created or rebuilt. Raises UsageError and IncompatibleError.
    """

    def __init__(
        self,
        directory: SweepDirectory,
        sweep: SweepConfig,
        search: SearchConfig,
        planner: Planner,
        on_config: Callable[[TrialConfig], None],
    ) -> None:
        self.directory, self.sweep, self.search = directory, sweep, search
        self.planner, self.on_config = planner, on_config
        self.distributions = make_distributions(sweep, search)
        self._configs: dict[str, TrialConfig] = {}
        self._proposals: dict[int, _Proposal] = {}
        self._waiting: deque[Trial] = deque()
        self._complete = False
        _, higher_is_better = find_objective(search.objective, sweep.scoring.metrics, planner.registry)
        _check_something_fits(search, planner)
        directory.write(sweep)
        with directory.lock():
            name = f"ganforge-{sweep.digest}"
            self.study = open_study(search.storage, directory.journal, name, higher_is_better=higher_is_better)
            self._rebuild()

    @property
    def configs(self) -> list[TrialConfig]:
        """Configurations that have been tried in this folder, as far as they are known."""
        return list(self._configs.values())

    def next_trial(self) -> Trial | None:
        """Return the next trial, of an abandoned configuration or of a new one, or None at the end of the search."""
        while not self._waiting and not self._complete:
            self._take_proposal()
        return self._waiting.popleft() if self._waiting else None

    def report(self, result: TrialResult) -> None:
        """Give the study the mean score of a configuration when all its seeds have results.

        A diverged configuration is worse than all others. A failed one stays open, and is tried again later.
        """
        name, seed = result.trial.config.name, result.trial.seed
        proposal = next(
            proposal
            for proposal in self._proposals.values()
            if proposal.config.name == name and seed not in proposal.results
        )
        proposal.results[seed] = result
        if len(proposal.results) < len(self.sweep.seeds):
            return
        results = [proposal.results[number] for number in self.sweep.seeds]
        scores = [None if one.row is None else one.row.scores.get(self.search.objective) for one in results]
        values = [score for score in scores if score is not None]
        with self.directory.lock():
            if len(values) == len(scores):
                self.study.tell(proposal.number, sum(values) / len(values), skip_if_finished=True)
            elif not any(one.status in {"failed", "unscored"} for one in results):
                self.study.tell(proposal.number, state=TrialState.PRUNED, skip_if_finished=True)

    def _rebuild(self) -> None:
        """Add the configurations of plan.json that the study does not have; their results are reported later."""
        names = {hashed_name(self._choices(frozen.params)) for frozen in self.study.get_trials(deepcopy=False)}
        for config in self.planner.known.values():
            self._configs[config.name] = config
            if config.name not in names:
                params = {key: encode_choice(config.choices[key]) for key in self.distributions}
                self.study.add_trial(
                    create_trial(state=TrialState.RUNNING, params=params, distributions=self.distributions)
                )

    def _take_proposal(self) -> None:
        """Start an open proposal of the study, or a new one; set `_complete` if there are enough."""
        with self.directory.lock():
            trials = self.study.get_trials(deepcopy=False)
            plan = {} if self.search.storage is None else self.directory.read_plan()[0]
            local = {config.name for config in plan.values()}
            for frozen in trials:
                is_open = frozen.state == TrialState.RUNNING and frozen.number not in self._proposals
                # Several folders may share a storage; each continues its own proposals.
                if is_open and (self.search.storage is None or hashed_name(self._choices(frozen.params)) in local):
                    self._start_proposal(frozen.number, frozen.params)
                    return
            if len(trials) >= self.search.num_configs:
                self._complete = True
                return
            self.study.sampler = make_sampler(f"{self.study.study_name} {len(trials)}")
            proposal = self.study.ask(self.distributions)
            self._start_proposal(proposal.number, proposal.params)

    def _start_proposal(self, number: int, params: Mapping[str, Any]) -> None:
        """Queue the trials of a proposal, or end it if its components do not fit."""
        choices = self._choices(params)
        name = hashed_name(choices)
        config = self._configs.get(name)
        if config is None:
            config = self._configs[name] = self.planner.plan(choices, name)
            self.on_config(config)
        if config.experiment is None:
            self.study.tell(number, state=TrialState.PRUNED, skip_if_finished=True)
            return
        (config,) = self.directory.add([config])
        self._proposals[number] = _Proposal(number, config)
        self._waiting.extend(Trial(config, seed) for seed in self.sweep.seeds)

    def _choices(self, params: Mapping[str, Any]) -> Choices:
        """Return all choices of a proposal, with those that no proposal varies."""
        fixed = {key: values[0] for key, values in self.sweep.axes.items()}
        varied = {key: decode_choice(value) for key, value in params.items()}
        return {key: varied.get(key, fixed.get(key)) for key in (*fixed, *self.search.spaces)}


def _check_something_fits(search: SearchConfig, planner: Planner) -> None:
    """Raise IncompatibleError if no combination of the axes fits with the lowest values of the spaces."""
    lowest = {key: int(space.low) if space.integer else space.low for key, space in search.spaces.items()}
    configs = []
    for choices in planner.points():
        configs.append(planner.plan(choices | lowest, ""))
        if configs[-1].experiment is not None:
            return
    check_some_fit(configs)


def make_distributions(sweep: SweepConfig, search: SearchConfig) -> dict[str, BaseDistribution]:
    """Return Optuna's distributions by setting. Raises UsageError if there are none."""
    distributions: dict[str, BaseDistribution] = {
        key: CategoricalDistribution([encode_choice(value) for value in values])
        for key, values in sweep.axes.items()
        if len(values) > 1
    }
    for key, space in search.spaces.items():
        if space.integer:
            distributions[key] = IntDistribution(int(space.low), int(space.high), log=space.log)
        else:
            distributions[key] = FloatDistribution(space.low, space.high, log=space.log)
    if not distributions:
        raise UsageError(
            "a search needs something to vary",
            fix="pass --space optimizer.lr=1e-5..1e-2:log, --sweep KEY=VALUE,VALUE, or several names",
        )
    return distributions


def encode_choice(value: Any) -> bool | int | float | str:  # noqa: ANN401 - a TOML value
    """Return a value as Optuna stores it: lists, and text that looks like one, as JSON."""
    plain = isinstance(value, bool | int | float) or (isinstance(value, str) and not value.startswith(JSON_STARTS))
    return value if plain else json.dumps(value)


def decode_choice(value: Any) -> Any:  # noqa: ANN401 - as above
    """Return the value of an encoded choice."""
    return json.loads(value) if isinstance(value, str) and value.startswith(JSON_STARTS) else value


def make_sampler(state: str) -> BaseSampler:
    """Return a sampler seeded by the state of the search, so that an interrupted search continues unchanged."""
    seed = int.from_bytes(hashlib.sha256(state.encode()).digest()[:4])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # older versions call constant_liar experimental
        return TPESampler(seed=seed, constant_liar=True)


def open_study(url: str | None, journal: Path, name: str, *, higher_is_better: bool) -> optuna.Study:
    """Open or create a study; the caller holds the lock of the sweep. A damaged journal is renamed and replaced.

    Raises:
        UsageError: A storage cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        # Without a pool every connection is closed after its use, so none is left open at the end.
        storage = _open_journal(journal) if url is None else RDBStorage(url, engine_kwargs={"poolclass": NullPool})
        return optuna.create_study(
            storage=storage,
            study_name=name,
            direction="maximize" if higher_is_better else "minimize",
            load_if_exists=True,
        )
    except Exception as error:
        if url is None:
            raise
        text = " ".join(str(error).split())
        fix = "write an address such as postgresql://host/database, and install its driver"
        raise UsageError(f"--storage cannot be opened: {type(error).__name__}: {text}", fix=fix) from None


def _open_journal(path: Path) -> BaseStorage:
    def open_file() -> BaseStorage:
        return JournalStorage(JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path))))

    # Every user of the journal holds the lock of the sweep, so this lock is from a process that was killed.
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    try:
        _check_lines(path)
        return open_file()
    except Exception:  # noqa: BLE001 - a damaged journal can raise anything; plan.json and the runs have its content
        rename_damaged(path)
        return open_file()


def _check_lines(path: Path) -> None:
    """Raise ValueError for a damaged line; Optuna notices a damaged last line only when it writes."""
    if not path.exists():
        return
    *lines, rest = read_file(path, max_bytes=MAX_JOURNAL_BYTES).split(b"\n")
    if rest:
        raise ValueError("the last line is incomplete")
    for line in lines:
        json.loads(line)

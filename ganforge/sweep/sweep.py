"""Sweep from its configuration to the leaderboard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ganforge.errors import UsageError
from ganforge.plugins.registry import Registry
from ganforge.sweep.config import SweepConfig
from ganforge.sweep.directory import SweepDirectory
from ganforge.sweep.expand import Planner, check_count, check_some_fit
from ganforge.sweep.leaderboard import Leaderboard
from ganforge.sweep.ranking import build_leaderboard
from ganforge.sweep.scheduler import Scheduler, SweepCallback
from ganforge.sweep.trials import Trial, TrialConfig, list_trials, merge_configs
from ganforge.utils.signals import Interruption

if TYPE_CHECKING:
    from ganforge.sweep.search import SearchSource

INSTALL = "python -m pip install 'optuna>=4.1'"


@dataclass(slots=True)
class Sweep:
    """Sweep with a folder, and either planned configurations or a search."""

    directory: SweepDirectory
    config: SweepConfig
    grid: list[TrialConfig]
    search: SearchSource | None = None

    @classmethod
    def prepare(
        cls, config: SweepConfig, registry: Registry, out: Path | None, on_config: Callable[[TrialConfig], None]
    ) -> Self:
        """Check every configuration, pass it to `on_config`, then create or open the folder, by default a derived one.

        Raises:
            UsageError: The folder holds another sweep.
            UnknownComponentError: A component is unknown.
            IncompatibleError: No configuration fits.
            RunDirectoryError: The folder cannot be used. Nothing has been written after any of these.
        """
        if config.search is None:
            directory, configs = plan(config, registry, out, on_config)
            directory.write(config)
            return cls(directory, config, merge_configs(directory.add(configs)))
        try:
            from ganforge.sweep.search import SearchSource  # noqa: PLC0415 - imports Optuna, which is optional
        except ImportError as error:
            raise UsageError(f"a search needs Optuna: {error}", fix=INSTALL) from None
        directory = SweepDirectory.locate(out, config)
        planner = _make_planner(config, registry, directory)
        return cls(directory, config, [], SearchSource(directory, config, config.search, planner, on_config))

    @property
    def configs(self) -> list[TrialConfig]:
        """Configurations; those of a search that are known so far."""
        return self.grid if self.search is None else self.search.configs

    @property
    def trials(self) -> list[Trial]:
        """Trials in their order; those of a search that are known so far."""
        return list_trials(self.configs, self.config.seeds)

    @property
    def count(self) -> int:
        """Number of trials; an upper bound for a search."""
        search = self.config.search
        return len(self.trials) if search is None else search.num_configs * len(self.config.seeds)

    def run(self, jobs: int, callback: SweepCallback, interruption: Interruption) -> Leaderboard:
        """Run and score all trials without a result, write the leaderboard, and return it. Raises RunDirectoryError."""
        on_result = None if self.search is None else self.search.report
        scheduler = Scheduler(self.directory, self.config, jobs, callback, interruption, on_result)
        trials = iter(self.trials) if self.search is None else iter(self.search.next_trial, None)
        results = {result.trial.name: result for result in scheduler.run(trials)}
        # After an interruption, some trials with results have not been visited.
        remaining = (scheduler.known_result(trial) for trial in self.trials if trial.name not in results)
        results |= {result.trial.name: result for result in remaining if result is not None}
        leaderboard = build_leaderboard(self.directory, self.config, self.configs, results)
        leaderboard.write(self.directory.path)
        return leaderboard


def plan(
    config: SweepConfig, registry: Registry, out: Path | None, on_config: Callable[[TrialConfig], None]
) -> tuple[SweepDirectory, list[TrialConfig]]:
    """Return the folder and the checked configurations of a grid, without writing. Raises as `Sweep.prepare`."""
    check_count(config)
    directory = SweepDirectory.locate(out, config)
    configs = _make_planner(config, registry, directory).plan_all(on_config)
    check_some_fit(configs)
    return directory, configs


def _make_planner(config: SweepConfig, registry: Registry, directory: SweepDirectory) -> Planner:
    planner = Planner(config, registry, *directory.read_plan())
    planner.check_names()
    planner.drop_changed()
    return planner

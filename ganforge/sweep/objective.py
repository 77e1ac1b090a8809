"""Objective of a search, and the checks of its flags; Optuna is not needed."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from ganforge.errors import PluginError, UsageError
from ganforge.plugins.registry import Registry
from ganforge.sweep.config import SweepConfig
from ganforge.utils.suggest import did_you_mean


def find_objective(objective: str, names: Sequence[str] | None, registry: Registry) -> tuple[str, bool]:
    """Return the metric of a score, and whether a higher value is better.

    Args:
        objective: Name of the score.
        names: Metrics to search; all installed ones if None.
        registry: Installed components.

    Raises:
        UsageError: No metric has the score.
    """
    entries = registry.of_kind("metric") if names is None else [registry.find("metric", name) for name in names]
    scores: list[str] = []
    for entry in entries:
        try:
            directions = registry.load(entry).higher_is_better
        except PluginError:
            if names is not None:
                raise
            continue  # a broken metric that was not requested
        if objective in directions:
            return registry.name_of(entry), bool(directions[objective])
        scores += directions
    raise UsageError(f"--objective {objective}: no metric has this score{did_you_mean(objective, scores)}")


def add_objective_metric(sweep: SweepConfig, objective: str, registry: Registry) -> SweepConfig:
    """Return a configuration with metrics; by default the metric of the objective. Raises UsageError."""
    name, _ = find_objective(objective, sweep.scoring.metrics, registry)
    metrics = sweep.scoring.metrics or (name,)
    return sweep.model_copy(update={"scoring": sweep.scoring.model_copy(update={"metrics": metrics})})


def check_address(url: str) -> None:
    """Raise UsageError for an address with a password, since sweep.toml will hold it."""
    try:
        password = urlsplit(url).password
    except ValueError:
        password = None
    if password is not None:
        raise UsageError(
            "--storage contains a password, which sweep.toml would hold",
            fix="leave it out; PostgreSQL reads it from PGPASSWORD or ~/.pgpass",
        )

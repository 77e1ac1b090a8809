"""Search space, sampler and objective of a search."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ganforge.errors import PluginError, UsageError
from ganforge.plugins.registry import Registry
from ganforge.sweep.config import SearchConfig, SweepConfig
from ganforge.sweep.storage import INSTALL
from ganforge.utils.suggest import did_you_mean

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler


def make_distributions(sweep: SweepConfig, search: SearchConfig) -> dict[str, BaseDistribution]:
    """Return Optuna's distributions by setting. Raises UsageError if there are none, or Optuna is not installed."""
    try:
        from optuna.distributions import (  # noqa: PLC0415 - optional dependency
            CategoricalDistribution,
            FloatDistribution,
            IntDistribution,
        )
    except ImportError as error:
        raise UsageError(f"a search needs Optuna: {error}", fix=INSTALL) from None
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
    """Return a value as Optuna stores it: lists as JSON."""
    return value if isinstance(value, bool | int | float | str) else json.dumps(value)


def decode_choice(value: Any) -> Any:  # noqa: ANN401 - as above
    """Return the value of an encoded choice."""
    return json.loads(value) if isinstance(value, str) and value.startswith(("[", "{")) else value


def make_sampler(state: str) -> BaseSampler:
    """Return a sampler seeded by the state of the search, so that an interrupted search continues unchanged."""
    from optuna.samplers import TPESampler  # noqa: PLC0415 - optional dependency

    seed = int.from_bytes(hashlib.sha256(state.encode()).digest()[:4])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # older versions call constant_liar experimental
        return TPESampler(seed=seed, constant_liar=True)


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

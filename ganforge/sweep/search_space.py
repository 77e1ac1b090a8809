"""What Optuna is told before it proposes anything: what it may choose, by which random numbers, and what is better."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ganforge.errors import PluginError, UsageError
from ganforge.plugins.registry import Registry
from ganforge.sweep.config import Request
from ganforge.sweep.storage import INSTALL
from ganforge.utils.suggest import did_you_mean

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler


def distributions(request: Request) -> dict[str, BaseDistribution]:
    """Return what Optuna chooses from. Raises UsageError where there is nothing to choose, or no Optuna."""
    try:
        from optuna.distributions import (  # noqa: PLC0415 - an extra
            CategoricalDistribution,
            FloatDistribution,
            IntDistribution,
        )
    except ImportError as error:
        raise UsageError(f"a search needs Optuna: {error}", fix=INSTALL) from None
    assert request.search is not None, "only a search has distributions"  # noqa: S101
    found: dict[str, BaseDistribution] = {
        key: CategoricalDistribution([spelled(value) for value in values])
        for key, values in request.axes.items()
        if len(values) > 1
    }
    for key, space in request.search.spaces.items():
        if space.whole:
            found[key] = IntDistribution(int(space.low), int(space.high), log=space.log)
        else:
            found[key] = FloatDistribution(space.low, space.high, log=space.log)
    if not found:
        raise UsageError(
            "a search has nothing to choose from",
            fix="pass --space optimizer.lr=1e-5..1e-2:log, --sweep KEY=VALUE,VALUE, or several names",
        )
    return found


def spelled(value: Any) -> bool | int | float | str:  # noqa: ANN401 - as TOML has it
    """Return a value as Optuna can keep it: lists as JSON."""
    return value if isinstance(value, bool | int | float | str) else json.dumps(value)


def chosen(value: Any) -> Any:  # noqa: ANN401 - as above
    """Return the value that was spelled."""
    return json.loads(value) if isinstance(value, str) and value.startswith(("[", "{")) else value


def sampler(state: str) -> BaseSampler:
    """Return a sampler whose random numbers depend on where the search is: interrupted, it goes on as it would have."""
    from optuna.samplers import TPESampler  # noqa: PLC0415 - an extra

    seed = int.from_bytes(hashlib.sha256(state.encode()).digest()[:4])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constant_liar is called experimental in older versions
        return TPESampler(seed=seed, constant_liar=True)


def objective_direction(objective: str, names: Sequence[str] | None, registry: Registry) -> tuple[str, str]:
    """Return the metric that gives a score, and which direction of it is better. Raises UsageError for none.

    names: the metrics to look among; all that there are where it is None.
    """
    entries = registry.of_kind("metric") if names is None else [registry.find("metric", name) for name in names]
    known: list[str] = []
    for entry in entries:
        try:
            better = registry.load(entry).better
        except PluginError:
            if names is not None:
                raise
            continue  # a broken one that nobody has asked for
        if objective in better:
            return registry.name_of(entry), str(better[objective])
        known += better
    raise UsageError(f"--objective {objective}: no metric gives that score{did_you_mean(objective, known)}")


def with_metric(request: Request, objective: str, registry: Registry) -> Request:
    """Return a request that names its metrics, at least the one that gives its objective. Raises UsageError."""
    name, _ = objective_direction(objective, request.scoring.names, registry)
    metrics = request.scoring.metrics or name
    return request.model_copy(update={"scoring": request.scoring.model_copy(update={"metrics": metrics})})

"""Expansion of a sweep's axes into configurations that are checked."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ganforge.components import Dataset
from ganforge.components.spec import SECTIONS
from ganforge.config import Layer, nested
from ganforge.config.references import TRAINED
from ganforge.config.resolve import RECOMMENDED, resolve
from ganforge.data.scoring import build_scoring
from ganforge.errors import GanforgeError, IncompatibleError, StrictPluginError, UnknownComponentError, UsageError
from ganforge.evaluation.validation import check, scored_split
from ganforge.plugins.registry import Registry
from ganforge.runs.evaluate import CLASS_METRICS, DEFAULT_METRICS, DEFAULT_NUM_SAMPLES, skip_unsuitable
from ganforge.runs.setup import prepare
from ganforge.sweep.config import MAX_TRIALS, SweepConfig
from ganforge.sweep.trials import (
    Choices,
    TrialConfig,
    canonical,
    dedupe_names,
    differences,
    hashed_name,
    plain_name,
)


@dataclass(slots=True)
class Planner:
    """Planner of configurations: each is checked as `ganforge run` does, with one dataset for all.

    Attributes:
        known: Earlier configurations by key, which are returned unchanged.
        notices: Messages for the user, which each new configuration gets.
    """

    sweep: SweepConfig
    registry: Registry
    known: Mapping[str, TrialConfig] = field(default_factory=dict)
    notices: Sequence[str] = ()
    _datasets: dict[str, Dataset] = field(default_factory=dict)
    _scorable: set[str] = field(default_factory=set)

    def check_names(self) -> None:
        """Raise UnknownComponentError for unknown components and metrics, which are typing errors."""
        for section in TRAINED:
            for name in self.sweep.axes[section]:
                self.registry.find(SECTIONS[section], name)
        for name in self.sweep.scoring.metrics or ():
            self.registry.find("metric", name)

    def drop_changed(self) -> None:
        """Drop earlier configurations that lack an explicit setting of the sweep: plan.json or sweep.toml was edited.

        Options of data are not compared, since a dataset records where it was found.
        """
        kept = {}
        for key, config in self.known.items():
            try:
                resolved = resolve(self._layers(config.choices), self.registry)
            except GanforgeError:  # the trial will name it
                kept[key] = config
                continue
            explicit = {
                setting
                for setting, origin in resolved.origins.items()
                if not origin.startswith(RECOMMENDED) and setting != "seed" and not setting.startswith("data.")
            }
            assert config.experiment is not None, "plan.json has only configurations that fit"  # noqa: S101
            changed = differences(config.experiment, resolved.experiment, explicit)
            if changed:
                notice = f"plan.json has other settings than the sweep: {config.name}: {changed}; it is planned again"
                self.notices = [*self.notices, notice]
            else:
                kept[key] = config
        self.known = kept

    def _layers(self, choices: Choices) -> list[Layer]:
        """Return the layers of a configuration, lowest first."""
        values = nested([*choices.items(), ("seed", self.sweep.seeds[0])])
        return [*(base.layer() for base in self.sweep.base), Layer("--sweep", values, loose=True)]

    def points(self) -> Iterable[Choices]:
        """Yield every combination of the axes' values."""
        for values in itertools.product(*self.sweep.axes.values()):
            yield dict(zip(self.sweep.axes, values, strict=True))

    def plan(self, choices: Choices, name: str) -> TrialConfig:
        """Return a configuration: a known one, or one that is resolved, built and checked."""
        known = self.known.get(canonical(choices))
        if known is not None:
            return known
        try:
            layers = self._layers(choices)
            resolved = resolve(layers, self.registry)
            data = resolved.one("data")
            key = f"{data.entry} {data.options!r}"
            prepared = prepare(resolved, self.registry, dataset=self._datasets.get(key))
            skipped = self._check_scoring(layers, f"{key} {resolved.experiment.features}", prepared.gan.dataset)
        except (StrictPluginError, UnknownComponentError):
            raise
        except GanforgeError as error:
            return TrialConfig(choices, name, reason=error.message, fix=error.fix)
        self._datasets[key] = prepared.gan.dataset
        resolved = prepared.resolved
        notices = (*self.notices, *resolved.notices, *skipped)
        return TrialConfig(choices, name, resolved.experiment, notices=notices)

    def _check_scoring(self, layers: Sequence[Layer], key: str, dataset: Dataset) -> list[str]:
        """Return a line for each default metric that `ganforge evaluate` will skip, once for each `key`.

        Raises:
            GanforgeError: The scores are impossible for every run with these data and features.
        """
        if key in self._scorable:
            return []
        spec, skipped = self.sweep.scoring, list[str]()
        names = [*DEFAULT_METRICS, *CLASS_METRICS] if spec.metrics is None else list(spec.metrics)
        scoring = build_scoring(
            resolve([*layers, Layer("--metric", {"metric": {"names": names}})], self.registry), dataset
        )
        split = scored_split(scoring)
        num_samples = spec.num_samples or min(DEFAULT_NUM_SAMPLES, scoring.info.sizes[split])
        if spec.metrics is None:
            skip_unsuitable(scoring, num_samples, split, skipped.append)
        check(scoring, num_samples=num_samples, split=split)
        self._scorable.add(key)
        return skipped

    def plan_all(self, on_config: Callable[[TrialConfig], None]) -> list[TrialConfig]:
        """Return the configurations of all points, and pass each to `on_config`."""
        points = [(choices, plain_name(choices)) for choices in self.points()]
        counts = Counter(name for _, name in points)
        configs = []
        for choices, name in points:  # `a-b` × `c` and `a` × `b-c` have the same plain name
            configs.append(self.plan(choices, name if counts[name] == 1 else hashed_name(choices)))
            on_config(configs[-1])
        return dedupe_names(configs, {config.name for config in self.known.values()})


def check_count(sweep: SweepConfig) -> None:
    """Raise UsageError for more than MAX_TRIALS trials."""
    sizes = {key: len(values) for key, values in {**sweep.axes, "seeds": sweep.seeds}.items()}
    count = math.prod(sizes.values())
    if count > MAX_TRIALS:
        factors = " × ".join(f"{size} {key}" for key, size in sizes.items() if size > 1)
        raise UsageError(
            f"{count:,} trials ({factors}) exceed the limit of {MAX_TRIALS:,}",
            fix="pass fewer values or seeds; or pass --search N, which tries N configurations",
        )


def check_some_fit(configs: Sequence[TrialConfig]) -> None:
    """Raise IncompatibleError with the reasons if no configuration fits."""
    if any(config.experiment is not None for config in configs):
        return
    reasons = list(dict.fromkeys(config.reason for config in configs))
    more = "" if len(reasons) == 1 else f" (and {len(reasons) - 1} more reasons)"
    prefix = "" if len(configs) == 1 else f"none of the {len(configs)} configurations can be run: "
    raise IncompatibleError(f"{prefix}{reasons[0]}{more}", fix=configs[0].fix)

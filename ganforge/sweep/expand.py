"""From choices to combinations that are known to fit."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from ganforge.components import Dataset
from ganforge.components.spec import SECTIONS
from ganforge.config import Layer, nested
from ganforge.config.experiment import TRAINED
from ganforge.config.resolve import resolve
from ganforge.data.scoring import build_scoring
from ganforge.errors import GanforgeError, IncompatibleError, StrictPluginError, UnknownComponentError, UsageError
from ganforge.evaluation.validation import check, scored_split
from ganforge.plugins.registry import Registry
from ganforge.runs.evaluate import SAMPLES
from ganforge.runs.setup import prepare
from ganforge.sweep.config import MOST_CELLS, Request
from ganforge.sweep.trials import Choices, Combination, hashed_name, one_name_each, plain_name, same


@dataclass(slots=True)
class Planner:
    """Turn choices into combinations, each checked once as `ganforge run` would; data is read once for all.

    known: combinations of an earlier time, which are taken over as they were decided then.
    """

    request: Request
    registry: Registry
    known: Sequence[Combination] = ()
    _data: dict[str, Dataset] = field(default_factory=dict)
    _scorable: set[str] = field(default_factory=set)

    def check_names(self) -> None:
        """Raise UnknownComponentError for a component that there is not: it is misspelt, not inapplicable."""
        for section in TRAINED:
            for name in self.request.axes[section]:
                self.registry.find(SECTIONS[section], name)
        for name in self.request.scoring.names or ():
            self.registry.find("metric", name)

    def points(self) -> Iterable[Choices]:
        """Yield every combination of the axes' values."""
        for values in itertools.product(*self.request.axes.values()):
            yield dict(zip(self.request.axes, values, strict=True))

    def plan(self, choices: Choices, name: str) -> Combination:
        """Return a combination: known, or resolved, built and passed through as a run's parts are."""
        found = next((one for one in self.known if same(one.choices, choices)), None)
        if found is not None:
            return found
        try:
            own = nested([*choices.items(), ("seed", self.request.seeds[0])])
            layers = [*(base.layer() for base in self.request.base), Layer("--sweep", own, loose=True)]
            resolved = resolve(layers, self.registry)
            data = resolved.one("data")
            key = f"{data.entry} {data.options!r}"
            prepared = prepare(resolved, self.registry, dataset=self._data.get(key))
            self._check_scoring(layers, f"{key} {resolved.experiment.features}", prepared.gan.dataset)
        except (StrictPluginError, UnknownComponentError):
            raise
        except GanforgeError as error:
            return Combination(choices, name, reason=error.message, fix=error.fix)
        self._data[key] = prepared.gan.dataset
        resolved = prepared.resolved
        return Combination(choices, name, resolved.experiment, notices=tuple(resolved.notices))

    def _check_scoring(self, layers: Sequence[Layer], key: str, dataset: Dataset) -> None:
        """Refuse scores that no trained run could get, such as of more images than there are. Raises as `check` does.

        key: data and features, for which this is found out once.
        """
        if key in self._scorable:
            return
        wanted = self.request.scoring
        named = Layer("--metrics", {"metric": {"names": wanted.names or []}})
        scoring = build_scoring(resolve([*layers, named], self.registry), dataset)
        split = scored_split(scoring)
        check(scoring, count=wanted.samples or min(SAMPLES, scoring.info.sizes[split]), split=split, option="--samples")
        self._scorable.add(key)

    def plan_all(self, tell: Callable[[Combination], None]) -> list[Combination]:
        """Plan all points of the axes. `tell` hears each of them."""
        planned = []
        points = [(choices, plain_name(choices)) for choices in self.points()]
        often = Counter(name for _, name in points)
        for choices, name in points:  # `a-b` × `c` and `a` × `b-c` read alike
            planned.append(self.plan(choices, name if often[name] == 1 else hashed_name(choices)))
            tell(planned[-1])
        return one_name_each(planned, {one.name for one in self.known})


def check_count(request: Request) -> None:
    """Raise UsageError for more cells than a matrix may have, before any of them is made."""
    sizes = {key: len(values) for key, values in {**request.axes, "seeds": request.seeds}.items()}
    count = math.prod(sizes.values())
    if count > MOST_CELLS:
        factors = " × ".join(f"{size} {key}" for key, size in sizes.items() if size > 1)
        raise UsageError(
            f"{count:,} cells ({factors}) are more than the {MOST_CELLS:,} that a matrix may have",
            fix="pass fewer values or seeds; or pass --search N, which tries N combinations of them",
        )


def check_some_fit(planned: Sequence[Combination]) -> None:
    """Raise IncompatibleError where no combination can be run, with the reasons."""
    if any(one.experiment is not None for one in planned):
        return
    reasons = list(dict.fromkeys(one.reason for one in planned))
    more = "" if len(reasons) == 1 else f" (and {len(reasons) - 1} more reasons)"
    which = "" if len(planned) == 1 else f"none of the {len(planned)} combinations can be run: "
    raise IncompatibleError(f"{which}{reasons[0]}{more}", fix=planned[0].fix)

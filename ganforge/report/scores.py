"""What evaluations gave: scores, each with the protocol that says what it measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ganforge.evaluation.comparability import differences
from ganforge.report.pages import Chart, Reference, Series, choose_evenly
from ganforge.report.record import number_of, table, text
from ganforge.utils.format import number

MOST_POINTS = 500
MOST_CLASSES = 200
MOST_SCORES = 24


@dataclass(frozen=True, slots=True)
class Score:
    """Hold one score of a run, under one protocol.

    points: (step, value or None), by step. deviations: beside them. floor: what real images reach, from the newest
    evaluation that says. direction: `lower` or `higher` is better, None where nothing says so. mark: a number that
    tells equal names with unlike protocols apart; differs: why they stand apart.
    """

    name: str
    points: list[tuple[float, float | None]]
    deviations: list[float | None]
    floor: float | None
    direction: str | None
    protocol: Mapping[str, Any]
    mark: int | None = None
    differs: Sequence[str] = ()

    @property
    def title(self) -> str:
        """The score's name, with its mark."""
        return self.name if self.mark is None else f"{self.name} ({self.mark})"

    @property
    def last(self) -> tuple[float, float | None, float | None]:
        """Step, value and deviation of the newest evaluation."""
        step, value = self.points[-1]
        return step, value, self.deviations[-1]

    @property
    def best(self) -> tuple[float, float] | None:
        """Step and value of the best evaluation, where it is known which is better."""
        known = [(step, value) for step, value in self.points if value is not None]
        if self.direction is None or not known:
            return None
        choose = max if self.direction == "higher" else min
        return choose(known, key=lambda point: point[1])

    def chart(self) -> Chart:
        """Return how the score went."""
        better = {"lower": "lower is better", "higher": "higher is better"}.get(self.direction or "")
        kept = choose_evenly(range(len(self.points)), MOST_POINTS)
        spread = [
            None if value is None or deviation is None else (value - deviation, value + deviation)
            for (_, value), deviation in zip(self.points, self.deviations, strict=True)
        ]
        notes = ["The band is one deviation."] if any(spread) else []
        if len(kept) < len(self.points):
            notes.append(f"{len(kept):,} of {len(self.points):,} evaluations are drawn, evenly chosen.")
        return Chart(
            self.title,
            [
                Series(
                    self.name, [self.points[row] for row in kept], [spread[row] for row in kept] if any(spread) else ()
                )
            ],
            f"{self.name}, {better}" if better else self.name,
            references=[] if self.floor is None else [Reference("floor: real images", self.floor)],
            note=" ".join(notes),
        )


def scores_of(evaluations: Sequence[Mapping[str, Any]]) -> list[Score]:
    """Return every score of a run's evaluations; one whose protocols differ in what matters appears several times."""
    found: list[Score] = []
    names = dict.fromkeys(name for row in evaluations for name in table(row.get("scores")))
    for name in list(names)[:MOST_SCORES]:
        groups: list[list[Mapping[str, Any]]] = []
        for row in evaluations:
            if name in table(row.get("scores")):
                alike = (group for group in groups if not apart(group[0], row, name))
                group = next(alike, None)
                if group is None:
                    groups.append([row])
                else:
                    group.append(row)
        for index, group in enumerate(groups):
            differs = apart(groups[0][0], group[0], name) if index else []
            found.append(_score(name, group, index + 1 if len(groups) > 1 else None, differs))
    return found[: 2 * MOST_SCORES]


def apart(one: Mapping[str, Any], other: Mapping[str, Any], score: str) -> list[str]:
    """Return, in words, why two evaluations' scores may not stand in one column; nothing where they may."""
    return differences(table(one.get("protocol")), table(other.get("protocol")), score)


def _score(name: str, group: Sequence[Mapping[str, Any]], mark: int | None, differs: Sequence[str]) -> Score:
    protocol = table(group[-1].get("protocol"))
    floors = [number_of(table(row.get("floor")).get(name)) for row in group]
    directions = [
        text(table(metric.get("better")).get(name))
        for metric in table(protocol.get("metrics")).values()
        if isinstance(metric, dict)
    ]
    return Score(
        name=name,
        points=[(number_of(row.get("step")) or 0.0, number_of(table(row.get("scores")).get(name))) for row in group],
        deviations=[number_of(table(table(row.get("details")).get(name)).get("deviation")) for row in group],
        floor=next((floor for floor in reversed(floors) if floor is not None), None),
        direction=next((word for word in directions if word in {"lower", "higher"}), None),
        protocol=protocol,
        mark=mark,
        differs=differs,
    )


class Share(NamedTuple):
    """Hold how much of the real and of the fake images is of one class, from 0 to 1."""

    name: str
    real: float
    fake: float


def class_shares(evaluations: Sequence[Mapping[str, Any]]) -> list[Share]:
    """Return the classes of the newest evaluation that has counted them."""
    for row in reversed(evaluations):
        counted = table(table(row.get("details")).get("modes"))
        real, fake = table(counted.get("real")), table(counted.get("fake"))
        shares = [
            Share(name, number_of(real.get(name)) or 0, number_of(fake.get(name)) or 0) for name in {**real, **fake}
        ]
        if shares:
            return [
                Share(name, *(min(max(value, 0), 1) for value in values)) for name, *values in shares[:MOST_CLASSES]
            ]
    return []


def passport_facts(protocol: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a protocol says, as lines of a table."""
    features = table(protocol.get("features"))
    counts = [
        f"{number(number_of(protocol[key]))} {words}"
        for key, words in (("real_images", "real"), ("fake_images", "fake"), ("train_images", "of the training set"))
        if number_of(protocol.get(key)) is not None
    ]
    facts = [
        ("data", text(protocol.get("data"))),
        ("fingerprint", text(protocol.get("fingerprint"))),
        ("split", text(protocol.get("split"))),
        ("images", ", ".join(counts)),
        ("features", text(features.get("name"))),
        ("feature extractor", text(features.get("distribution"))),
        ("feature weights", text(features.get("weights"))),
        ("feature options", _options(features.get("options"))),
        ("preprocessing", text(features.get("preprocessing"))),
        ("weights", text(protocol.get("weights"))),
        ("checkpoint", text(protocol.get("checkpoint"))),
        ("seed", text(protocol.get("seed"))),
        ("versions", _options(protocol.get("versions"))),
    ]
    for name, metric in table(protocol.get("metrics")).items():
        said = table(metric)
        facts.append(
            (f"metric {name}", " ".join(filter(None, [text(said.get("distribution")), _options(said.get("options"))])))
        )
    return [(key, value) for key, value in facts if value]


def _options(content: object) -> str:
    return ", ".join(f"{key} {text(value)}" for key, value in table(content).items())

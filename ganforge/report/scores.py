"""Scores of a run's evaluations, each with its protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ganforge.evaluation.comparability import diff, higher_is_better
from ganforge.report.pages import Chart, Reference, Series, choose_evenly
from ganforge.report.record import number_of, table, text
from ganforge.utils.format import format_number

MAX_POINTS = 500
MAX_CLASSES = 200
MAX_SCORES = 24


@dataclass(frozen=True, slots=True)
class Score:
    """One score of a run, under one protocol.

    Attributes:
        name: Name of the score.
        points: (step, value or None), by step.
        deviations: Deviation of each point, or None.
        reference: Score of training images in place of the fakes, of the newest evaluation that has one.
        higher_is_better: Direction of the score, or None if unknown.
        protocol: Protocol of the newest evaluation.
        mark: Number of the score among those of its name, or None.
        differs: Differences from the first of its name.
    """

    name: str
    points: list[tuple[float, float | None]]
    deviations: list[float | None]
    reference: float | None
    higher_is_better: bool | None
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
    def direction(self) -> str | None:
        """Better direction, `higher` or `lower`, or None if unknown."""
        return None if self.higher_is_better is None else "higher" if self.higher_is_better else "lower"

    @property
    def best(self) -> tuple[float, float] | None:
        """Step and value of the best evaluation, or None if the direction is unknown."""
        known = [(step, value) for step, value in self.points if value is not None]
        if self.higher_is_better is None or not known:
            return None
        choose = max if self.higher_is_better else min
        return choose(known, key=lambda point: point[1])

    def chart(self) -> Chart:
        """Return the chart of the score over the steps."""
        better = self.direction and f"{self.direction} is better"
        kept = choose_evenly(range(len(self.points)), MAX_POINTS)
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
            references=[] if self.reference is None else [Reference("reference: real images", self.reference)],
            note=" ".join(notes),
        )


def scores_of(evaluations: Sequence[Mapping[str, Any]]) -> list[Score]:
    """Return the scores of a run's evaluations, one per score and group of comparable protocols."""
    scores: list[Score] = []
    names = dict.fromkeys(name for row in evaluations for name in table(row.get("scores")))
    for name in list(names)[:MAX_SCORES]:
        groups: list[list[Mapping[str, Any]]] = []
        for row in evaluations:
            if name in table(row.get("scores")):
                group = next((group for group in groups if not protocol_diff(group[0], row, name)), None)
                if group is None:
                    groups.append([row])
                else:
                    group.append(row)
        for index, group in enumerate(groups):
            differs = protocol_diff(groups[0][0], group[0], name) if index else []
            scores.append(_score(name, group, index + 1 if len(groups) > 1 else None, differs))
    return scores[: 2 * MAX_SCORES]


def protocol_diff(first: Mapping[str, Any], second: Mapping[str, Any], score: str) -> list[str]:
    """Return the differences of two evaluations that matter for a score."""
    return diff(table(first.get("protocol")), table(second.get("protocol")), score)


def _score(name: str, group: Sequence[Mapping[str, Any]], mark: int | None, differs: Sequence[str]) -> Score:
    protocol = table(group[-1].get("protocol"))
    references = [number_of(table(row.get("reference")).get(name)) for row in group]
    return Score(
        name=name,
        points=[(number_of(row.get("step")) or 0.0, number_of(table(row.get("scores")).get(name))) for row in group],
        deviations=[number_of(table(table(row.get("details")).get(name)).get("deviation")) for row in group],
        reference=next((value for value in reversed(references) if value is not None), None),
        higher_is_better=higher_is_better(protocol, name),
        protocol=protocol,
        mark=mark,
        differs=differs,
    )


class Share(NamedTuple):
    """Shares of a class among the real images and the fakes, from 0 to 1."""

    name: str
    real: float
    fake: float


def class_shares(evaluations: Sequence[Mapping[str, Any]]) -> list[Share]:
    """Return the classes of the newest evaluation that counted them."""
    for row in reversed(evaluations):
        counted = table(table(row.get("details")).get("modes"))
        real, fake = table(counted.get("real")), table(counted.get("fake"))
        shares = [
            Share(name, number_of(real.get(name)) or 0, number_of(fake.get(name)) or 0) for name in {**real, **fake}
        ]
        if shares:
            return [Share(name, *(min(max(value, 0), 1) for value in values)) for name, *values in shares[:MAX_CLASSES]]
    return []


def protocol_facts(protocol: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return a protocol as rows of a table."""
    features, latent = table(protocol.get("features")), table(protocol.get("latent"))
    counts = [
        f"{format_number(number_of(protocol[key]))} {label}"
        for key, label in (("real_images", "real"), ("fake_images", "fake"), ("train_images", "of the training set"))
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
        ("sampling options", _options(protocol.get("sampling"))),
        ("latents", " ".join(filter(None, [text(latent.get("name")), _options(latent.get("options"))]))),
        ("weights", text(protocol.get("weights"))),
        ("checkpoint", text(protocol.get("checkpoint"))),
        ("seed", text(protocol.get("seed"))),
        ("versions", _options(protocol.get("versions"))),
    ]
    for name, metric in table(protocol.get("metrics")).items():
        entry = table(metric)
        parts = [text(entry.get("distribution")), _options(entry.get("options"))]
        facts.append((f"metric {name}", " ".join(filter(None, parts))))
    return [(key, value) for key, value in facts if value]


def _options(content: object) -> str:
    return ", ".join(f"{key} {text(value)}" for key, value in table(content).items())

"""Scores of a run's evaluations, each with its protocol."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ganforge.evaluation.comparability import diff, higher_is_better
from ganforge.report.pages import Chart, Reference, Series, choose_evenly
from ganforge.schemas.rows import EvaluationRow, Protocol
from ganforge.utils.format import format_value

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
    protocol: Protocol
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


def scores_of(evaluations: Sequence[EvaluationRow]) -> list[Score]:
    """Return the scores of a run's evaluations, one per score and group of comparable protocols."""
    scores: list[Score] = []
    names = dict.fromkeys(name for row in evaluations for name in row.scores)
    for name in list(names)[:MAX_SCORES]:
        groups: list[list[EvaluationRow]] = []
        for row in evaluations:
            if name in row.scores:
                group = next((group for group in groups if not diff(group[0].protocol, row.protocol, name)), None)
                if group is None:
                    groups.append([row])
                else:
                    group.append(row)
        for index, group in enumerate(groups):
            differs = diff(groups[0][0].protocol, group[0].protocol, name) if index else []
            scores.append(_score(name, group, index + 1 if len(groups) > 1 else None, differs))
    return scores[: 2 * MAX_SCORES]


def _score(name: str, group: Sequence[EvaluationRow], mark: int | None, differs: Sequence[str]) -> Score:
    protocol = group[-1].protocol
    references = [row.reference.get(name) for row in group]
    return Score(
        name=name,
        points=[(row.step, row.scores[name]) for row in group],
        deviations=[_number(row.details.get(name), "deviation") for row in group],
        reference=next((value for value in reversed(references) if value is not None), None),
        higher_is_better=higher_is_better(protocol, name),
        protocol=protocol,
        mark=mark,
        differs=differs,
    )


def _number(details: object, key: str) -> float | None:
    """Return a finite number of a metric's details, which have no schema, or None."""
    value = details.get(key) if isinstance(details, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None


class Share(NamedTuple):
    """Shares of a class among the real images and the fakes, from 0 to 1."""

    name: str
    real: float
    fake: float


def class_shares(evaluations: Sequence[EvaluationRow]) -> list[Share]:
    """Return the classes of the newest evaluation that counted them."""
    for row in reversed(evaluations):
        counted = row.details.get("modes")
        real, fake = (counted.get(key) if isinstance(counted, dict) else None for key in ("real", "fake"))
        if isinstance(real, dict) and isinstance(fake, dict) and (real or fake):
            names = list({**real, **fake})[:MAX_CLASSES]
            return [Share(name, *(_share(counts, name) for counts in (real, fake))) for name in names]
    return []


def _share(counts: dict[str, Any], name: str) -> float:
    return min(max(_number(counts, name) or 0.0, 0.0), 1.0)


def protocol_facts(protocol: Protocol) -> list[tuple[str, str]]:
    """Return a protocol as rows of a table."""
    features, latent = protocol.features, protocol.latent
    counts = [f"{protocol.real_images:,} real", f"{protocol.fake_images:,} fake"]
    if protocol.train_images is not None:
        counts.append(f"{protocol.train_images:,} of the training set")
    facts = [
        ("data", protocol.data),
        ("fingerprint", protocol.fingerprint),
        ("split", protocol.split),
        ("images", ", ".join(counts)),
    ]
    if features is not None:
        facts += [
            ("features", features.name),
            ("feature extractor", features.distribution),
            ("feature weights", features.weights),
            ("feature options", _options(features.options)),
            ("preprocessing", features.preprocessing),
        ]
    facts += [
        ("sampling options", _options(protocol.sampling)),
        ("latents", f"{latent.name} {_options(latent.options)}".strip()),
        ("weights", protocol.weights),
        ("checkpoint", protocol.checkpoint),
        ("seed", str(protocol.seed)),
        ("versions", _options(protocol.versions)),
    ]
    facts += [
        (f"metric {name}", f"{metric.distribution} {_options(metric.options)}".strip())
        for name, metric in protocol.metrics.items()
    ]
    return [(key, value) for key, value in facts if value]


def _options(content: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {format_value(value)}" for key, value in content.items() if value is not None)

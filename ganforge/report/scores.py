"""Scores of a run's evaluations, each with its protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ganforge.report.pages.pictures import choose_evenly
from ganforge.runs.score_table import Column, ScoreValue, columns
from ganforge.schemas.rows import EvaluationRow, Protocol
from ganforge.utils.chart import Chart, Reference, Series
from ganforge.utils.format import format_value

#: Rows of a table: name and text.
Facts = list[tuple[str, str]]

MAX_POINTS = 500
MAX_CLASSES = 200
MAX_SCORES = 48


@dataclass(frozen=True, slots=True)
class Score:
    """Comparable values of one score of a run, of the same weights, by step."""

    column: Column
    values: Sequence[ScoreValue]

    @property
    def last(self) -> ScoreValue:
        """Value of the newest evaluation."""
        return self.values[-1]

    @property
    def reference(self) -> float | None:
        """Score of training images in place of the fakes, of the newest evaluation that has one."""
        return next((value.reference for value in reversed(self.values) if value.reference is not None), None)

    @property
    def direction(self) -> str | None:
        """Better direction, `higher` or `lower`, or None if unknown."""
        return {True: "higher", False: "lower", None: None}[self.column.higher_is_better]

    @property
    def best(self) -> ScoreValue | None:
        """Best evaluation, or None if the direction is unknown."""
        if self.column.higher_is_better is None:
            return None
        known = ((self.column.sort_key(value.value), value) for value in self.values if value.value is not None)
        return min(known, key=lambda item: item[0], default=(0.0, None))[1]

    def chart(self) -> Chart:
        """Return the chart of the score over the steps."""
        kept = choose_evenly(self.values, MAX_POINTS)
        band = [item.spread for item in kept]
        notes = ["The band is one deviation."] if any(band) else []
        if len(kept) < len(self.values):
            notes.append(f"{len(kept):,} of {len(self.values):,} evaluations are drawn, evenly chosen.")
        name = self.column.score
        return Chart(
            self.column.name,
            [Series(name, [(item.step, item.value) for item in kept], band if any(band) else ())],
            name if self.direction is None else f"{name}, {self.direction} is better",
            references=[] if self.reference is None else [Reference("reference: real images", self.reference)],
            note=" ".join(notes),
        )


def scores_of(evaluations: Sequence[EvaluationRow]) -> list[Score]:
    """Return the scores of a run's evaluations, one per score, group of comparable protocols, and weights."""
    first, others = [], []
    for column in columns([("", evaluations)])[:MAX_SCORES]:
        kinds: dict[str, list[ScoreValue]] = {}
        for value in column.by_run[""]:
            kinds.setdefault(value.weights, []).append(value)
        if len(kinds) == 1:
            first.append(Score(column, column.by_run[""]))
            continue
        scores = [Score(replace(column, name=f"{column.name} of {name}"), kinds[name]) for name in kinds]
        first.append(scores[0])
        others += scores[1:]
    return first + others


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
    value = counts.get(name)
    return min(max(float(value), 0.0), 1.0) if isinstance(value, int | float) else 0.0


def protocol_facts(protocol: Protocol) -> Facts:
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
        ("latents", "" if latent is None else f"{latent.name} {_options(latent.options)}".strip()),
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

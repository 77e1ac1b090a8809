"""Scores of a run's evaluations, each with its protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ganforge.report.pages import Chart, Reference, Series, choose_evenly
from ganforge.report.record import number_of, table, text
from ganforge.runs.score_table import Column, ScoreValue, columns, valid_rows
from ganforge.utils.format import format_number

MAX_POINTS = 500
MAX_CLASSES = 200
MAX_SCORES = 48


@dataclass(frozen=True, slots=True)
class Score:
    """Comparable values of one score of a run, by step."""

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


def scores_of(evaluations: Sequence[Mapping[str, Any]]) -> list[Score]:
    """Return the scores of a run's evaluations, one per score and group of comparable protocols."""
    table = columns([("", list(valid_rows(evaluations)))])[:MAX_SCORES]
    return [Score(column, column.by_run[""]) for column in table]


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

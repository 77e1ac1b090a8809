"""The charts of a run: what training logged, and what evaluations scored."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from ganforge.report.pages import Chart, Series, thin

#: Where a row stands; no curve of their own.
PLACES = frozenset({"step", "epoch", "images_seen", "elapsed_seconds"})
MOST_CHARTS = 24


class Group(NamedTuple):
    """Hold which columns share a chart, by how their names begin, and how it is labelled."""

    title: str
    begins: str
    y_label: str
    note: str


GROUPS = (
    Group("Losses", "loss/", "loss", ""),
    Group(
        "How real the discriminator finds them",
        "score/",
        "mean probability of being real",
        "Near 0.5 for both, it cannot tell them apart; 1 for real and 0 for fake, it always can.",
    ),
    Group("Penalties", "penalty/", "penalty, unweighted", ""),
    Group("Augmentations", "augment/", "value", ""),
    Group("Speed", "images_per_second", "images/s", ""),
)
HEALTH = "health/"
HEALTH_NOTES = {
    "diversity": "How far the fakes of a batch lie apart, as a share of the same for real images: 1 is as diverse as "
    "the data, 0 is one image.",
    "findings": "How much was wrong at that step: each finding is explained under Health.",
}


def training_charts(columns: Mapping[str, array[float]]) -> list[Chart]:
    """Return the charts of the rows of metrics.jsonl. columns: name → a number for each row, NaN for none."""
    steps = columns.get("step")
    if steps is None:
        return []
    order = _order(steps)
    if order is not None:
        columns = {name: array("d", (values[row] for row in order)) for name, values in columns.items()}
        steps = columns["step"]
    left = [name for name in columns if name not in PLACES]
    charts: list[Chart] = []
    for group in GROUPS[:-1]:
        names = [name for name in left if name.startswith(group.begins)]
        left = [name for name in left if name not in names]
        charts.append(_chart(group, names, columns, steps))
    for name in [name for name in left if name.startswith(HEALTH)]:
        short = name.removeprefix(HEALTH)
        left.remove(name)
        if short == "findings" and not any(value > 0 for value in columns[name]):
            continue  # the page says that nothing was found
        group = Group(f"Health: {short}", name, short, HEALTH_NOTES.get(short, ""))
        charts.append(_chart(group, [name], columns, steps))
    speed = GROUPS[-1]
    names = [name for name in left if name == speed.begins]
    others = [name for name in left if name not in names]
    charts += [_chart(Group(name, name, "value", ""), [name], columns, steps) for name in others]
    charts.append(_chart(speed, names, columns, steps))
    return [chart for chart in charts if chart.series][:MOST_CHARTS]


def _order(steps: Sequence[float]) -> list[int] | None:
    """Return the rows in the order of their steps, or None where they stand in it."""
    if all(before <= after for before, after in pairwise(steps)):
        return None
    return sorted((row for row in range(len(steps)) if math.isfinite(steps[row])), key=steps.__getitem__)


def _chart(group: Group, names: Sequence[str], columns: Mapping[str, array[float]], steps: array[float]) -> Chart:
    """Return a chart of some columns, thinned to the rows that matter."""
    known = [name for name in names if any(map(math.isfinite, columns[name]))]
    kept = thin({name: columns[name] for name in known}) if known else []
    notes = [group.note] if group.note else []
    if known and len(kept) < len(steps):
        notes.append(f"{len(kept):,} of {len(steps):,} rows are drawn: the lowest and the highest of each stretch.")
    series = [
        Series(
            name.removeprefix(group.begins) or name.rpartition("/")[2].replace("_", " "),
            [(steps[row], columns[name][row]) for row in kept],
        )
        for name in known
    ]
    return Chart(group.title, series, group.y_label, note=" ".join(notes))

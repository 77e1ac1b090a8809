"""Charts of the columns of metrics.jsonl."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ganforge.utils.chart import Chart, Series, stretch_means, thin

#: Columns that locate a row, without curves.
POSITIONS = frozenset({"step", "epoch", "images_seen", "elapsed_seconds"})
MAX_CHARTS = 24
#: Charts of columns that change in steps, which are not smoothed.
STEPWISE = frozenset({"lr/", "health/alerts"})


class ChartGroup(NamedTuple):
    """Columns that share a chart, with names in the legend for those that are unclear after the slash."""

    title: str
    y_label: str = "value"
    note: str = ""
    names: Mapping[str, str] = {}


#: Charts by the prefix of their columns, in order.
GROUPS = {
    "loss/": ChartGroup("Losses", "loss"),
    "prob/": ChartGroup(
        "D(x) and D(G(z))",
        "mean probability of being real",
        "Both near 0.5: the discriminator cannot separate real images from fakes. At 1 and 0, it separates all.",
        {"prob/real": "D(x)", "prob/fake": "D(G(z))"},
    ),
    "logits/": ChartGroup("Logits", "mean logit"),
    "term/": ChartGroup("Terms", "term, unweighted"),
    "augment/": ChartGroup("Augmentations"),
}
#: Charts that come last.
LAST_GROUPS = {
    "health/diversity": ChartGroup(
        "Health: diversity",
        "diversity",
        "Mean squared distance between the fakes of a batch, relative to that of real images: 1 is as diverse as the "
        "data, 0 is one image.",
    ),
    "health/alerts": ChartGroup("Health: alerts", "active alerts", "Number of active alerts; see Health."),
    "lr/": ChartGroup("Learning rates", "learning rate"),
    "loss_scale/": ChartGroup("Loss scales", "loss scale"),
    "overflows/": ChartGroup("Overflows in float16", "updates so far"),
    "images_per_second": ChartGroup("Speed", "images/s"),
}


def training_charts(columns: Mapping[str, array[float]]) -> list[Chart]:
    """Return the charts of all columns, in the order of `GROUPS`; columns that terms log follow.

    A column has one value per row, NaN where a row has none.
    """
    steps = columns.get("step")
    if steps is None:
        return []
    order = sorted((row for row in range(len(steps)) if math.isfinite(steps[row])), key=steps.__getitem__)
    if order != list(range(len(steps))):
        columns = {name: array("d", (values[row] for row in order)) for name, values in columns.items()}
        steps = columns["step"]
    grouped: dict[str, list[str]] = {key: [] for key in GROUPS}
    for name in (name for name in columns if name not in POSITIONS):
        prefix = "".join(name.partition("/")[:2])  # columns of one term, as name/…, share a chart
        grouped.setdefault(name if name in LAST_GROUPS else prefix, []).append(name)
    keys = [*(key for key in grouped if key not in LAST_GROUPS), *(key for key in LAST_GROUPS if key in grouped)]
    charts = [_chart(key, grouped[key], columns, steps) for key in keys]
    return [chart for chart in charts if chart.series][:MAX_CHARTS]


def _chart(key: str, names: Sequence[str], columns: Mapping[str, array[float]], steps: array[float]) -> Chart:
    """Return the chart of some columns, thinned."""
    group = GROUPS.get(key) or LAST_GROUPS.get(key) or ChartGroup(key.removesuffix("/"))
    names = [name for name in names if any(map(math.isfinite, columns[name]))]
    if key == "health/alerts":
        names = [name for name in names if any(value > 0 for value in columns[name])]
    kept = thin({name: columns[name] for name in names}) if names else []
    notes = [group.note] if group.note else []
    is_thinned = bool(names) and len(kept) < len(steps)
    if is_thinned:
        notes.append(f"{len(kept):,} of {len(steps):,} rows are drawn: the lowest and highest values of each stretch.")
    series = []
    for name in names:
        points = [(steps[row], columns[name][row]) for row in kept]
        trend = stretch_means(steps, columns[name]) if is_thinned else points
        title = group.names.get(name) or name.removeprefix(key) or name.rpartition("/")[2].replace("_", " ")
        series.append(Series(title, points, trend=() if key in STEPWISE else trend))
    return Chart(group.title, series, group.y_label, note=" ".join(notes))

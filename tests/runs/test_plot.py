"""Charts of a run's metrics."""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from ganforge.errors import UsageError
from ganforge.runs import plot
from ganforge.runs.plot import plot_rows
from ganforge.utils.chart import Chart

ROWS: list[dict[str, float]] = [
    {"step": step, "loss/generator": math.sin(step), "loss/discriminator": 1.0, "a<b": 2.0} for step in range(20)
]


def texts(svg: str) -> list[str]:
    """Return the texts of an image."""
    return [element.text or "" for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]  # noqa: S314 - our own


def test_losses_are_plotted_by_default(tmp_path: Path) -> None:
    """The image is valid XML with the title, both names and the axes; the file has the same bytes."""
    drawn = plot_rows(ROWS)
    assert {"Losses", "generator", "discriminator", "step"} <= set(texts(drawn.svg))
    assert drawn._repr_svg_() == drawn.svg
    drawn.save(tmp_path / "losses.svg")
    assert (tmp_path / "losses.svg").read_text("utf-8") == drawn.svg
    assert len(repr(drawn)) < 50


def test_columns_by_name() -> None:
    """Any column can be plotted, also one whose name is markup; a misspelled one gets the nearest name."""
    assert "a<b, loss/generator" in texts(plot_rows(ROWS, ("a<b", "loss/generator")).svg)
    with pytest.raises(UsageError, match="no column 'loss/generater' in metrics"):
        plot_rows(ROWS, ("loss/generater",))


def test_gaps_and_empty_runs() -> None:
    """A missing or infinite value is a gap; a run without rows has an image without lines."""
    rows: list[dict[str, float]] = [*ROWS[:3], {"step": 3}, {"step": 4, "loss/generator": math.inf}, *ROWS[5:9]]
    paths = [part for part in plot_rows(rows, ["loss/generator"]).svg.split('"') if part.startswith("M0.0")]
    assert [path.count("M") for path in paths] == [2, 2], "the line, and its moving average"
    assert texts(plot_rows([]).svg) == ["Losses"]


def test_long_runs_are_thinned_with_the_means_of_all_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trend of more rows than a chart has points for is the means of stretches of steps."""
    charts: list[Chart] = []

    def to_svg(chart: Chart) -> str:
        charts.append(chart)
        return ""

    monkeypatch.setattr(plot, "to_svg", to_svg)
    rows: list[dict[str, float]] = [{"step": 10 * number, "loss/generator": number % 2} for number in range(20_000)]
    plot_rows(rows)
    (line,) = charts[0].series
    assert max(len(line.points), len(line.trend)) < len(rows)
    assert all(y is not None and 0.4 < y < 0.6 for _, y in line.trend)
    assert line.trend[-1][0] > 190_000

"""Laws of the parts of pages: thinning, axes, charts, pictures, the policy."""

from __future__ import annotations

import base64
import hashlib
import itertools
import math
import re
import struct
import zlib
from array import array
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganforge.report.pages.page import _environment
from ganforge.report.pages.pictures import PictureError, choose_evenly, embed, embed_series
from ganforge.utils.chart import Axis, Chart, Reference, Series, smoothed, stretch_means, thin
from ganforge.utils.format import format_bytes, format_duration, format_number
from tests.helpers.run_directories import grid

VALUES = st.floats(allow_nan=True, allow_infinity=True)


# Thinning


@given(st.integers(1, 4).flatmap(lambda width: st.lists(st.tuples(*[VALUES] * width), max_size=300)))
def test_thinning_hides_nothing(table: list[tuple[float, ...]]) -> None:
    """Each column keeps its lowest, highest, first and last value and its gaps; few rows are left."""
    columns = {str(index): array("d", column) for index, column in enumerate(zip(*table, strict=True))}
    kept = thin(columns, limit=50)
    assert kept == sorted(set(kept))
    for column in columns.values():
        finite = [value for value in column if math.isfinite(value)]
        drawn = [column[row] for row in kept if math.isfinite(column[row])]
        assert [min(drawn), max(drawn)] == [min(finite), max(finite)] if finite else not drawn
        assert (len(drawn) < len(kept)) == (len(finite) < len(column))
    if table:
        assert (kept[0], kept[-1]) == (0, len(table) - 1)
    assert len(kept) <= max(50, 50 * 3 / 2 + 2)


def test_a_peak_of_one_row_stays_where_it_is() -> None:
    """One different row of 100,000 is drawn."""
    flat = array("d", [0.0]) * 100_000
    flat[54_321] = 7.0
    assert 54_321 in thin({"loss": flat})


def test_short_curves_are_drawn_whole() -> None:
    """A curve within the limit keeps all rows."""
    assert thin({"a": [1.0, 2.0, 3.0]}) == [0, 1, 2]
    assert thin({}) == []


@given(st.integers(0, 300), st.integers(1, 60))
def test_chosen_evenly(count: int, limit: int) -> None:
    """The last item is chosen, of two or more the first; distances differ by one at most."""
    chosen = choose_evenly(range(count), limit)
    assert len(chosen) == min(count, limit)
    assert chosen == sorted(set(chosen))
    if count:
        assert chosen[-1] == count - 1
    if len(chosen) > 1:
        assert chosen[0] == 0
        distances = {after - before for before, after in itertools.pairwise(chosen)}
        assert max(distances) - min(distances) <= 1


# Axes and charts


@given(
    st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=20),
    st.sampled_from([0.0, 0.06]),
)
def test_axes_show_all_values(values: list[float], padding: float) -> None:
    """Every value is within the axis, and there are a few round, different labels in order."""
    axis = Axis.over(values, padding).from_zero()
    assert all(-1e-9 <= axis.share(value) <= 1 + 1e-9 for value in values)
    ticks = list(axis.ticks())
    assert len(ticks) <= 7
    assert [at for at, _ in ticks] == sorted(at for at, _ in ticks)
    assert all(-1e-6 <= axis.share(at) <= 1 + 1e-6 for at, _ in ticks)


def test_labels_of_an_axis() -> None:
    """Labels have as many decimals as their distance needs."""
    assert [text for _, text in Axis(0, 1).ticks()] == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    assert [text for _, text in Axis(0, 20_000).ticks()] == ["0", "5,000", "10,000", "15,000", "20,000"]


def test_a_gap_is_a_gap() -> None:
    """A line is interrupted by values that are not finite; a single point is a mark."""
    values = [1.0, 2.0, None, 3.0, math.nan, 4.0, 5.0]
    chart = Chart("c", [Series("s", [(step, value) for step, value in enumerate(values)])], "y")
    drawing = chart.drawing()
    assert drawing is not None
    (line,) = drawing.lines
    assert line.path.count("M") == 2
    assert drawing.data["series"] == [{"name": "s", "x": list(range(7)), "y": [1, 2, None, 3, None, 4, 5]}]
    assert line.lowest == ("1", "0")
    assert line.highest == ("5", "6")
    many = Chart("c", [Series("s", [(step, None if step in {51, 53} else 0.0) for step in range(99)])], "y")
    assert len(many.drawing().lines[0].marks) == 1  # type: ignore[union-attr]


def tensorboard_smoothed(values: Sequence[float | None], weight: float) -> list[float | None]:
    """Return the smoothed values of TensorBoard's line chart (vz_line_chart2), a plain loop."""
    last, count, result = 0.0, 0, list[float | None]()
    for value in values:
        if value is None:
            result.append(None)
            continue
        last = last * weight + (1 - weight) * value
        count += 1
        result.append(last / (1 - weight**count))
    return result


@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1), st.floats(0, 0.99))
def test_smoothing_is_tensorboards(values: list[float | None], weight: float) -> None:
    """A debiased average: a constant line stays, weight 0 changes nothing, gaps stay and are skipped."""
    line = smoothed(list(enumerate(values)), weight)
    assert [x for x, _ in line] == list(range(len(values)))
    expected = tensorboard_smoothed(values, weight)
    for (_, value), other in zip(line, expected, strict=True):
        assert value == (None if other is None else pytest.approx(other, rel=1e-6, abs=1e-6))
    if weight == 0:
        assert [y for _, y in line] == values
    constant = smoothed([(x, 3.5) for x in range(20)], weight)
    assert [y for _, y in constant] == pytest.approx([3.5] * 20)


def test_smoothed_line_of_a_thinned_curve_starts_from_means() -> None:
    """Each stretch counts by its mean, so that rare peaks, which thinning keeps, do not lift the line."""
    x, y = [float(step) for step in range(10_000)], [0.0] * 10_000
    y[7] = 100.0
    y[5_000] = math.nan
    means = stretch_means(x, y, limit=100)
    assert means[0] == (49.5, 1.0)
    assert [value for _, value in means[1:]] == [0.0] * 99
    assert means[50][0] == pytest.approx(5050, abs=1)


def test_chart_without_finite_points_is_empty() -> None:
    """Without a finite value there is no drawing."""
    assert Chart("c", [Series("s", [(0, None), (1, math.inf)])], "y").drawing() is None
    assert Chart("c", [], "y").drawing() is None


def test_lines_differ_without_color() -> None:
    """36 lines look different, and neighbors differ in both color and dashes."""
    drawing = Chart("c", [Series(str(index), [(0, index), (1, index)]) for index in range(36)], "y").drawing()
    assert drawing is not None
    looks = [(line.color, line.dash) for line in drawing.lines]
    assert len(set(looks)) == 36
    assert all(a[0] != b[0] and a[1] != b[1] for a, b in itertools.pairwise(looks))


def test_a_reference_lies_within_the_plot() -> None:
    """A reference and a band far from the line are within the plot."""
    line = Series("fid", [(0, 10.0), (1, 11.0)], [(2.0, 30.0), None])
    drawing = Chart("c", [line], "y", references=[Reference("reference", -50.0)]).drawing()
    assert drawing is not None
    assert 0 <= drawing.y(-50.0) <= drawing.height
    heights = [float(pair.split(",")[1]) for pair in re.findall(r"[\d.]+,[\d.-]+", drawing.lines[0].band)]
    assert heights
    assert all(0 <= height <= drawing.height for height in heights)


# Text


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "missing"),
        (math.nan, "not finite"),
        (0, "0"),
        (1234567, "1,234,567"),
        (10.0, "10"),
        (0.99999, "1"),
        (12.3456, "12.35"),
        (-0.123456, "-0.1235"),
        (1e-4, "0.0001"),
        (1.5e-9, "1.500e-09"),
        (2.5e11, "2.500e+11"),
        (10**400, "huge"),
    ],
)
def test_numbers(value: float | None, words: str) -> None:
    """Four significant digits; integers in full."""
    assert format_number(value) == words


def test_times_and_sizes() -> None:
    """Two units at most, and no minute has 60 seconds."""
    seconds = [0.25, 59.97, 65.0, 3600.0, 200_000.0]
    assert list(map(format_duration, seconds)) == ["250 ms", "1 min 00 s", "1 min 05 s", "1 h 00 min", "2 d 7 h"]
    assert [format_bytes(count) for count in (999, 2048, 25276510208)] == ["999 bytes", "2.0 KiB", "23.5 GiB"]


# Pictures


def test_small_pictures_are_embedded_to_the_byte(tmp_path: Path) -> None:
    """A small file is embedded unchanged."""
    path = tmp_path / "a.png"
    grid(50, 1).save(path)
    picture = embed(path)
    kind, _, data = picture.uri.partition(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(data) == path.read_bytes()
    assert (picture.width, picture.height, picture.reduced) == (50, 50, False)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "I;16"])
def test_large_pictures_are_reduced(mode: str, tmp_path: Path) -> None:
    """A large picture of any mode is reduced to the size of a page."""
    path = tmp_path / "a.png"
    picture = grid(1100, 1)
    (picture if mode == "I;16" else picture.convert(mode)).save(path)
    shown = embed(path)
    assert shown.reduced
    assert max(shown.width, shown.height) == 1024
    assert len(shown.uri) < 1_500_000


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", None])
def test_damaged_pictures_are_named(content: bytes | None, tmp_path: Path) -> None:
    """A missing, empty or torn file is an error that names it."""
    path = tmp_path / "torn.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PictureError, match=r"torn\.png"):
        embed(path)


def test_a_decompression_bomb_is_not_opened(tmp_path: Path) -> None:
    """A small file with a header of too many pixels is an error."""
    path = tmp_path / "bomb.png"
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)))
    with pytest.raises(PictureError, match=r"bomb\.png"):
        embed(path)


def test_pictures_keep_within_their_limit(tmp_path: Path) -> None:
    """As many as fit are chosen evenly; damaged ones are named and replaced."""
    paths = [tmp_path / f"{index:02d}.png" for index in range(20)]
    for index, path in enumerate(paths):
        grid(40, index).save(path)
    paths[19].write_bytes(b"torn")
    one = len(embed(paths[0]).uri)
    shown, problems = embed_series(paths, limit=60, max_characters=5 * one + one // 2)
    assert 3 <= len(shown) <= 5
    assert sum(len(picture.uri) for _, picture in shown) <= 5 * one + one // 2
    assert (shown[0][0], shown[-1][0]) == (paths[0], paths[18])
    assert [problem.split()[0] for problem in problems] == ["19.png"]
    assert embed_series(paths, limit=60, max_characters=10)[0] == []


# The page


def test_the_policy_has_the_hashes_of_style_and_script() -> None:
    """The hashes are those of the style sheet and the script; besides, only data URIs are allowed."""
    known = _environment().globals
    policy = dict(part.split(maxsplit=1) for part in str(known["policy"]).split("; "))
    for text, name in ((known["style"], "style-src"), (known["script"], "script-src")):
        digest = base64.b64encode(hashlib.sha256(str(text).encode()).digest()).decode()
        assert policy[name] == f"'sha256-{digest}'"
        assert "</" not in str(text)
    assert policy["default-src"] == "'none'"
    assert policy["img-src"] == "data:"


CONTRAST = re.compile(r"--(\w[\w-]*): (#[0-9a-f]{6});")


def test_colors_have_enough_contrast() -> None:
    """Text has a contrast of 4.5 to 1 and lines of 3 to 1, in light and in dark (WCAG 2.2 AA)."""
    style = str(_environment().globals["style"])
    light, dark = style.split("@media (prefers-color-scheme: dark)", 1)
    for scheme in (light, dark.split("\n}\n", 1)[0]):
        colors = dict(CONTRAST.findall(scheme))
        for words in ("text", "quiet", "accent"):
            assert contrast(colors[words], colors["ground"]) >= 4.5
            assert contrast(colors[words], colors["card"]) >= 4.5
        for status in ("good", "bad", "warn", "busy"):
            assert contrast(colors[status], colors[f"{status}-ground"]) >= 4.5
        for line in range(6):
            assert contrast(colors[f"c{line}"], colors["card"]) >= 3


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colors (WCAG 2.2, relative luminance)."""

    def luminance(color: str) -> float:
        parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    darker, lighter = sorted(map(luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)

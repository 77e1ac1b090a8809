"""Rows as lists, tables and DataFrames."""

from __future__ import annotations

import builtins
import math
from typing import Any

import pytest

from ganforge.errors import UsageError
from ganforge.runs.table import Table

ROWS: list[dict[str, Any]] = [{"step": step, "fid": step / 2} for step in range(12)]


def test_a_table_is_a_list() -> None:
    """It compares, iterates and slices as a list of rows."""
    assert Table(ROWS) == ROWS
    assert Table(ROWS)[-1]["step"] == 11


def test_a_data_frame_has_the_steps_as_index() -> None:
    """Columns are the union of all rows' names; missing values are NaN, and an empty table is an empty frame."""
    rows: list[dict[str, float | None]] = [{"step": 1, "fid": 2.0}, {"step": 2, "kid": None}]
    frame = Table(rows).to_pandas()
    assert list(frame.index) == [1, 2]
    assert list(frame.columns) == ["fid", "kid"]
    assert math.isnan(frame.loc[2, "fid"])
    assert len(Table([]).to_pandas()) == 0


def test_without_pandas_the_error_has_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    """The import is tried on demand."""
    importing = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name == "pandas":
            raise ModuleNotFoundError(name)
        return importing(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UsageError, match="needs pandas\npython -m pip install pandas"):
        Table(ROWS).to_pandas()


def test_a_notebook_shows_the_last_rows() -> None:
    """The table has the newest rows and the number of all; names are text, and the text is one line."""
    html = Table([*ROWS, {"step": 12, "<b>": None}])._repr_html_()
    assert html.count("<tr>") == 11
    assert "the last 10 of 13 rows" in html
    assert "&lt;b&gt;" in html
    assert repr(Table(ROWS)) == "<Table of 12 rows: step, fid>"

"""Rows of a run's files, as lists, tables and DataFrames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, TypeVar

from ganforge.errors import UsageError
from ganforge.utils.format import format_number
from ganforge.utils.text import printable

if TYPE_CHECKING:
    import pandas as pd

#: Rows that a notebook shows of a longer table.
SHOWN = 10

Row = TypeVar("Row", bound=Mapping[str, Any])


class Table(list[Row]):
    """List of rows, shown by a notebook as a table."""

    def columns(self) -> list[str]:
        """Return the names of all columns, in the order in which they appear."""
        return list(dict.fromkeys(name for row in self for name in row))

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as a DataFrame with the index `step`; a missing value is NaN.

        Raises:
            UsageError: pandas is not installed.
        """
        try:
            import pandas as pd  # noqa: PLC0415 - no dependency of ganforge
        except ModuleNotFoundError:
            raise UsageError("a DataFrame needs pandas", fix="python -m pip install pandas") from None
        frame = pd.DataFrame(list(self), columns=self.columns() or ["step"])
        return frame.set_index("step")

    def __repr__(self) -> str:
        return f"<Table of {len(self):,} rows: {', '.join(map(printable, self.columns()))}>"

    def _repr_html_(self) -> str:
        columns = self.columns()
        left_out = max(0, len(self) - SHOWN)
        note = f"<p>the last {SHOWN} of {len(self):,} rows</p>" if left_out else ""
        head = "".join(f"<th>{escape(printable(name))}</th>" for name in columns)
        body = "".join(f"<tr>{''.join(_cells(row, columns))}</tr>" for row in self[left_out:])
        return f"{note}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cells(row: Mapping[str, Any], columns: Sequence[str]) -> Iterator[str]:
    for name in columns:
        value = row.get(name)
        text = "" if value is None else format_number(value) if isinstance(value, int | float) else str(value)
        yield f"<td>{escape(printable(text))}</td>"

"""Health alerts of a run, read from run.json."""

from __future__ import annotations

from typing import NamedTuple

from ganforge.report.record import number_of, rows, text


class AlertRow(NamedTuple):
    """Alert as a page shows it.

    Attributes:
        name: Failure mode.
        period: Steps between which it lasted.
        message: Description.
        hint: Flags that usually help.
    """

    name: str
    period: str
    message: str
    hint: str

    def line(self) -> str:
        """Return the alert as one line."""
        return f"{self.name} {self.period}: {self.message}"


def alert_rows(content: object) -> list[AlertRow]:
    """Return the alerts of run.json, in order.

    Args:
        content: Value of the key `health`.
    """
    return [
        AlertRow(
            name=text(item.get("alert")) or "unnamed alert",
            period=_period(number_of(item.get("since_step")), number_of(item.get("until_step"))),
            message=text(item.get("message")) or "",
            hint=text(item.get("hint")) or "",
        )
        for item in rows(content)
    ]


def _period(since: float | None, until: float | None) -> str:
    if since is None:
        return ""
    return f"from step {since:,.0f}" + (", to the end" if until is None else f" to {until:,.0f}")

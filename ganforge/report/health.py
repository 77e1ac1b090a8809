"""Health alerts of a run, read from run.json."""

from __future__ import annotations

from typing import NamedTuple

from ganforge.schemas.manifest import AlertRecord, Manifest


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


def alert_rows(manifest: Manifest | None) -> list[AlertRow]:
    """Return the alerts of run.json, in order."""
    alerts = [] if manifest is None else manifest.health
    return [AlertRow(alert.alert, _period(alert), alert.message, alert.hint) for alert in alerts]


def _period(alert: AlertRecord) -> str:
    end = ", to the end" if alert.until_step is None else f" to {alert.until_step:,}"
    return f"from step {alert.since_step:,}{end}"

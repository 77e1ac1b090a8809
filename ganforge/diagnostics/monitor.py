"""Health monitor: raises alerts and resolves them.

Its state is a function of the rows so far and part of the checkpoint, so that a resumed run raises the same alerts at
the same steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

from ganforge.diagnostics.alerts import Alert
from ganforge.diagnostics.detectors import DETECTORS, SmoothedStats
from ganforge.errors import CheckpointError
from ganforge.schemas.checkpoint import MAX_ALERTS
from ganforge.schemas.manifest import FailureMode

#: Values of alerts are clamped to this size.
MAX_VALUE = 1e30


class HealthMonitor:
    """Monitor of the rows of a training run, one per step.

    Attributes:
        alerts: All alerts, in the order in which they were raised.
        active: Unresolved alerts by failure mode.
    """

    def __init__(self, *, watch_diversity: bool = True) -> None:
        """Create a monitor without history.

        Args:
            watch_diversity: False for batches of one image, which have no diversity.
        """
        self.alerts: list[Alert] = []
        self.active: dict[FailureMode, Alert] = {}
        self._stats = SmoothedStats()
        self._streaks: dict[FailureMode, int] = dict.fromkeys(DETECTORS, 0)
        self._detectors = {
            failure: detector for failure, detector in DETECTORS.items() if watch_diversity or failure != "collapse"
        }

    def update(self, step: int, row: Mapping[str, float]) -> list[Alert]:
        """Add the finite metrics of a step; return the alerts that were raised or resolved."""
        stats, streaks, changes = self._stats, self._streaks, []
        stats.update(row, freeze_baselines="divergence" in self.active or streaks["divergence"] > 0)
        for failure, detector in self._detectors.items():
            alert = self.active.get(failure)
            if not (detector.raised if alert is None else detector.resolved)(stats):
                streaks[failure] = 0
                continue
            streaks[failure] += 1
            if streaks[failure] < detector.patience:
                continue
            since = step - streaks[failure] + 1
            streaks[failure] = 0
            if alert is None:
                value = max(-MAX_VALUE, min(detector.value(stats), MAX_VALUE))
                changes.append(self._raise(Alert(failure, since, None, value)))
            else:
                changes.append(self._resolve(alert, since))
        return changes

    def alert_not_finite(self, step: int) -> None:
        """Raise an alert for a step with numbers that are not finite."""
        self._raise(Alert("not-finite", step, None, 0.0))

    def _raise(self, alert: Alert) -> Alert:
        self.active[alert.failure] = alert
        self._append(alert)
        return alert

    def _append(self, alert: Alert) -> None:
        self.alerts.append(alert)
        if len(self.alerts) > MAX_ALERTS:
            self.alerts.remove(next(old for old in self.alerts if old.until_step is not None))

    def _resolve(self, alert: Alert, step: int) -> Alert:
        del self.active[alert.failure]
        resolved = replace(alert, until_step=step)
        self.alerts[self.alerts.index(alert)] = resolved
        return resolved

    def report(self) -> list[dict[str, Any]]:
        """Return all alerts as run.json holds them."""
        return [alert.as_dict() for alert in self.alerts]

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        stats = asdict(self._stats)
        return {
            "rows": stats.pop("rows"),
            "stats": stats,
            "streaks": dict(self._streaks),
            "alerts": [alert.as_state() for alert in self.alerts],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state of a checkpoint whose types have been checked.

        Raises:
            CheckpointError: The state has other names.
        """
        names = {field.name for field in fields(SmoothedStats)} - {"rows"}
        if state["stats"].keys() != names or state["streaks"].keys() != DETECTORS.keys():
            raise CheckpointError("the health of this checkpoint has other statistics; it is from another ganforge")
        self._stats = SmoothedStats(state["rows"], **{name: float(value) for name, value in state["stats"].items()})
        self._streaks = dict(state["streaks"])
        self.alerts = [
            Alert(alert["alert"], alert["since_step"], alert["until_step"], float(alert["value"]))
            for alert in state["alerts"]
        ]
        self.active = {alert.failure: alert for alert in self.alerts if alert.until_step is None}

    def resolved_at(self, step: int) -> list[Alert]:
        """Return all alerts, the active ones resolved at a step, as a rollback after that step leaves them."""
        resolved = {alert: replace(alert, until_step=step) for alert in self.active.values()}
        return [resolved.get(alert, alert) for alert in self.alerts]

    def keep_alerts(self, discarded: Sequence[Alert]) -> None:
        """Append the alerts of steps that a rollback discarded.

        Args:
            discarded: All alerts at the rollback; those of the restored checkpoint come first.
        """
        for alert in discarded[len(self.alerts) :]:
            self._append(alert)

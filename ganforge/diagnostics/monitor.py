"""Alerts of a training, with a message and a hint for each failure mode, and the health monitor that raises them.

The monitor's state is a function of the rows so far and part of the checkpoint, so that a resumed run raises the same
alerts at the same steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

from ganforge.diagnostics.detectors import DETECTORS, SmoothedStats
from ganforge.errors import CheckpointError
from ganforge.schemas.checkpoint import MAX_ALERTS
from ganforge.schemas.manifest import FailureMode

#: Values of alerts are clamped to this size.
MAX_VALUE = 1e30


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Text of an alert: a message with a placeholder for the value, and flags that usually help.

    Components of other distributions are named with their plugin.
    """

    message: str
    hint: str


DIAGNOSES: Final[dict[FailureMode, Diagnosis]] = {
    "collapse": Diagnosis(
        message="the fakes are nearly identical; their diversity is {:.2g} times that of the real images",
        hint="a smaller learning rate helps most often (--optimizer.lr 5e-5); then a weaker discriminator (--term r1 "
        "of ganforge-losses, --augment diffaugment of ganforge-augment), or another loss (--loss relativistic or "
        "--loss wasserstein-gp, both of ganforge-losses)",
    ),
    "saturation": Diagnosis(
        message="the discriminator recognizes every fake; its loss is {:.2g} times its first value, and the generator "
        "gets almost no gradient",
        hint="weaken the discriminator: --optimizer.disc.lr 5e-5, --generator-steps 2, --disc.dropout 0.5 if it has "
        "dropout as mlp does, --term r1 of ganforge-losses, --augment diffaugment of ganforge-augment",
    ),
    "divergence": Diagnosis(
        message="a loss grows without bound; it is {:.3g} times its usual size",
        hint="reduce the learning rate (--optimizer.lr 5e-5), clip gradients (--optimizer.clip-norm 1.0), or "
        "regularize the discriminator (--term r1 or --term gradient-penalty, both of ganforge-losses)",
    ),
    "fooled": Diagnosis(
        message="the discriminator takes fakes for real images and real images for fakes; D(G(z)) exceeds D(x) by "
        "{:.2g}",
        hint="strengthen the discriminator: --optimizer.disc.lr 5e-4, --critic-steps 2, --disc.dropout 0.2 if it has "
        "dropout as mlp does, another one such as --disc dcgan, or smaller weights of its gradient penalties",
    ),
    "not-finite": Diagnosis(
        message="a loss, logit, term, gradient or weight is not finite",
        hint="reduce the learning rate (--optimizer.lr 5e-5, or automatically: --on-nan rollback), clip gradients "
        "(--optimizer.clip-norm 1.0), or compute in --precision fp32",
    ),
}


@dataclass(frozen=True, slots=True)
class Alert:
    """Failure of a training run between two steps.

    Attributes:
        failure: The failure mode.
        since_step: First step with the failure.
        until_step: First step without it, or None while it lasts.
        value: Value that triggered the alert.
    """

    failure: FailureMode
    since_step: int
    until_step: int | None
    value: float

    @property
    def message(self) -> str:
        """Description with the value."""
        return DIAGNOSES[self.failure].message.format(self.value)

    @property
    def hint(self) -> str:
        """Flags that usually help."""
        return DIAGNOSES[self.failure].hint

    @property
    def summary(self) -> str:
        """One line for the terminal, when the alert is raised and when it is resolved."""
        if self.until_step is None:
            return f"{self.failure} since step {self.since_step}: {self.message}. Hint: {self.hint}"
        return f"{self.failure} since step {self.since_step} resolved at step {self.until_step}"

    def as_state(self) -> dict[str, Any]:
        """Return the alert as state.json holds it."""
        steps = {"since_step": self.since_step, "until_step": self.until_step}
        return {"alert": self.failure, **steps, "value": self.value}

    def as_dict(self) -> dict[str, Any]:
        """Return the alert as run.json holds it."""
        return {**self.as_state(), "message": self.message, "hint": self.hint}


class HealthMonitor:
    """Monitor of the rows of a training run, one per step.

    Attributes:
        alerts: All alerts, in the order in which they were raised.
        active: Unresolved alerts by failure mode.
    """

    def __init__(self, *, watch_diversity: bool = True) -> None:
        """Create a monitor without history; batches of one image have no diversity to watch."""
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
        """Restore the state of a checkpoint whose types have been checked. Raises CheckpointError for other names."""
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

        `discarded` has all alerts at the rollback, those of the restored checkpoint first.
        """
        for alert in discarded[len(self.alerts) :]:
            self._append(alert)

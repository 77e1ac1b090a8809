"""Whether a training is well: what is found wrong begins at a step, and is over at another.

What is known is a function of the rows so far and goes into the checkpoint, so that a resumed run finds the same at the
same steps. Nothing waits for the device: rows are looked at when the ledger is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

from ganforge.diagnostics.alerts import MOST_FINDINGS, Ailment, Finding
from ganforge.diagnostics.detectors import SYMPTOMS, Levels
from ganforge.errors import CheckpointError

#: Worse numbers are as bad as this one.
WORST = 1e30


class Health:
    """Watch the rows of a training, one for each step and none left out.

    watch_diversity: False where a batch has one image, which has none. `findings` are all so far, in the order in which
    they were found; `current` are those that are not over.
    """

    def __init__(self, *, watch_diversity: bool = True) -> None:
        self.findings: list[Finding] = []
        self.current: dict[Ailment, Finding] = {}
        self._levels = Levels()
        self._streaks: dict[Ailment, int] = dict.fromkeys(SYMPTOMS, 0)
        self._watched = {
            ailment: symptom for ailment, symptom in SYMPTOMS.items() if watch_diversity or ailment != "collapse"
        }

    def watch(self, step: int, row: Mapping[str, float]) -> list[Finding]:
        """Look at the finite numbers of one step; return what was found now, or is over now."""
        levels, streaks, changes = self._levels, self._streaks, []
        levels.follow(row, usual_stands_still="divergence" in self.current or streaks["divergence"] > 0)
        for ailment, symptom in self._watched.items():
            found = self.current.get(ailment)
            if not (symptom.there if found is None else symptom.over)(levels):
                streaks[ailment] = 0
                continue
            streaks[ailment] += 1
            if streaks[ailment] < symptom.patience:
                continue
            since = step - streaks[ailment] + 1
            streaks[ailment] = 0
            if found is None:
                value = max(-WORST, min(symptom.value(levels), WORST))
                changes.append(self._begin(Finding(ailment, since, None, value)))
            else:
                changes.append(self._end(found, since))
        return changes

    def not_finite(self, step: int) -> None:
        """Hear that a number of a step, whose row is not watched, is not finite."""
        self._begin(Finding("not-finite", step, None, 0.0))

    def _begin(self, finding: Finding) -> Finding:
        self.current[finding.ailment] = finding
        self._add(finding)
        return finding

    def _add(self, finding: Finding) -> None:
        self.findings.append(finding)
        if len(self.findings) > MOST_FINDINGS:
            self.findings.remove(next(old for old in self.findings if old.until_step is not None))

    def _end(self, finding: Finding, step: int) -> Finding:
        del self.current[finding.ailment]
        ended = replace(finding, until_step=step)
        self.findings[self.findings.index(finding)] = ended
        return ended

    def report(self) -> list[dict[str, Any]]:
        """Return all findings as run.json tells them."""
        return [finding.as_dict() for finding in self.findings]

    def state(self) -> dict[str, Any]:
        """Return what is known, for a checkpoint."""
        levels = asdict(self._levels)
        return {
            "rows": levels.pop("rows"),
            "levels": levels,
            "streaks": dict(self._streaks),
            "findings": [finding.as_state() for finding in self.findings],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Know what a checkpoint says, whose types have been checked. Raises CheckpointError for names of its own."""
        names = {field.name for field in fields(Levels)} - {"rows"}
        if state["levels"].keys() != names or state["streaks"].keys() != SYMPTOMS.keys():
            raise CheckpointError("this checkpoint's health is another ganforge's: it has other levels")
        self._levels = Levels(state["rows"], **{name: float(value) for name, value in state["levels"].items()})
        self._streaks = dict(state["streaks"])
        self.findings = [
            Finding(found["finding"], found["since_step"], found["until_step"], float(found["value"]))
            for found in state["findings"]
        ]
        self.current = {finding.ailment: finding for finding in self.findings if finding.until_step is None}

    def given_up(self, step: int) -> list[Finding]:
        """Return all findings as they are where the training is given up after a step, to go back: all are over."""
        over = {finding: replace(finding, until_step=step) for finding in self.current.values()}
        return [over.get(finding, finding) for finding in self.findings]

    def remember(self, given_up: Sequence[Finding]) -> None:
        """Keep what was found in a training that was given up, after what the checkpoint knew already."""
        for finding in given_up[len(self.findings) :]:
            self._add(finding)

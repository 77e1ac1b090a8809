"""What checking a component found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Failure:
    """Say which check failed, why, and what helps."""

    check: str
    reason: str
    fix: str


@dataclass(slots=True)
class Report:
    """Hold what came of every check of a component, each in exactly one of four lists.

    component: its kind and qualified name. passed: names of checks. expected_failures, skipped: names with reasons; a
    skipped check does not apply. A check that applies and did not run, or was expected to fail and passed, has failed.
    """

    component: str
    passed: list[str] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    expected_failures: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def conformant(self) -> bool:
        """Whether no check failed."""
        return not self.failed

    def as_dict(self) -> dict[str, Any]:
        """Return it as `check --json` prints it."""
        return {
            "component": self.component,
            "passed": list(self.passed),
            "failed": [
                {"check": failure.check, "reason": failure.reason, "fix": failure.fix} for failure in self.failed
            ],
            "expected_failures": _with_reasons(self.expected_failures),
            "skipped": _with_reasons(self.skipped),
        }

    def raise_for_failures(self) -> None:
        """Raise AssertionError that names every failed check, with its reason and what helps; do nothing otherwise."""
        if self.failed:
            lines = [f"{failure.check}: {failure.reason}\n    fix: {failure.fix}" for failure in self.failed]
            raise AssertionError(f"{self.component} is not conformant:\n  " + "\n  ".join(lines))

    def __str__(self) -> str:
        counts = {
            "passed": len(self.passed),
            "failed": len(self.failed),
            "failed as expected": len(self.expected_failures),
            "skipped": len(self.skipped),
        }
        told = [f"{count} {words}" for words, count in counts.items() if count]
        return f"{self.component}: {', '.join(told) or 'nothing was checked'}"


def _with_reasons(reasons: dict[str, str]) -> list[dict[str, str]]:
    return [{"check": check, "reason": reason} for check, reason in reasons.items()]

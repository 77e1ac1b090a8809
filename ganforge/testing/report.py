"""Outcome of examining a component."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Failure:
    """Failed check.

    Attributes:
        check: Name of the check.
        reason: Why it failed.
        fix: How to meet the requirement.
    """

    check: str
    reason: str
    fix: str


@dataclass(slots=True)
class Report:
    """Outcome of every check of a component, each in exactly one of five lists.

    A check that was expected to fail, but passed or does not apply, has failed.

    Attributes:
        component: Kind and qualified name.
        passed: Names of checks.
        failed: Failures.
        expected_failures: Reasons by check that failed as expected.
        not_run: Reasons by check that was not run, because one that it needs failed.
        skipped: Reasons by check that does not apply.
    """

    component: str
    passed: list[str] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    expected_failures: dict[str, str] = field(default_factory=dict)
    not_run: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def conformant(self) -> bool:
        """Whether no check failed."""
        return not self.failed

    def as_dict(self) -> dict[str, Any]:
        """Return the report as `check --json` prints it."""
        return {
            "component": self.component,
            "passed": list(self.passed),
            "failed": [asdict(failure) for failure in self.failed],
            "expected_failures": _with_reasons(self.expected_failures),
            "not_run": _with_reasons(self.not_run),
            "skipped": _with_reasons(self.skipped),
        }

    def raise_for_failures(self) -> None:
        """Raise AssertionError with the reason and the fix of every failed check, if any failed."""
        if self.failed:
            lines = [f"{failure.check}: {failure.reason}\n    fix: {failure.fix}" for failure in self.failed]
            raise AssertionError(f"{self.component} is not conformant:\n  " + "\n  ".join(lines))

    def __str__(self) -> str:
        counts = {
            "passed": len(self.passed),
            "failed": len(self.failed),
            "failed as expected": len(self.expected_failures),
            "not run": len(self.not_run),
            "skipped": len(self.skipped),
        }
        parts = [f"{count} {outcome}" for outcome, count in counts.items() if count]
        return f"{self.component}: {', '.join(parts) or 'nothing was checked'}"


def _with_reasons(reasons: dict[str, str]) -> list[dict[str, str]]:
    return [{"check": check, "reason": reason} for check, reason in reasons.items()]

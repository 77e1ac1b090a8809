"""Examination of a component by every check of its kind, and its report."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

from ganforge.components import ImageSpec
from ganforge.components.spec import Kind
from ganforge.errors import GanforgeError, UsageError
from ganforge.plugins.registry import Entry, Registry
from ganforge.testing import (
    augmentations,
    common,
    datasets,
    discriminators,
    extractors,
    generators,
    gradients,
    integration,
    losses,
    metrics,
    networks,
    optimizers,
    sandbox,
    state,
    terms,
)
from ganforge.testing.checks import Check, CheckFailed, CheckSkipped
from ganforge.testing.fixture import Fixture, open_fixture
from ganforge.testing.global_state import kept_settings
from ganforge.utils.suggest import did_you_mean
from ganforge.utils.tracebacks import summarize_exception

#: All checks: the cheap ones first, whole trainings last.
CHECKS: tuple[Check, ...] = (
    *common.checks,
    *generators.checks,
    *discriminators.checks,
    *networks.checks,
    *losses.checks,
    *terms.checks,
    *augmentations.checks,
    *generators.latent_checks,
    *optimizers.checks,
    *optimizers.schedule_checks,
    *datasets.checks,
    *extractors.checks,
    *sandbox.checks,
    *metrics.checks,
    *state.checks,
    *gradients.checks,
    *integration.checks,
)
REMOVE = "remove it from the expected failures"
#: Outcome of one check, and why it failed, was skipped, or was not run.
Verdict: TypeAlias = "tuple[Literal['passed', 'failed', 'skipped', 'not run'], str]"
PASSED: Verdict = ("passed", "")


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
        """True if no check failed."""
        return not self.failed

    def as_dict(self) -> dict[str, Any]:
        """Return the report as `check --json` prints it."""
        document = asdict(self)
        for outcome in ("expected_failures", "not_run", "skipped"):
            reasons = document[outcome].items()
            document[outcome] = [{"check": check, "reason": reason} for check, reason in reasons]
        return document

    def raise_for_failures(self) -> None:
        """Raise AssertionError with the reason and the fix of every failed check, if any failed."""
        if self.failed:
            lines = [f"{failure.check}: {failure.reason}\n    fix: {failure.fix}" for failure in self.failed]
            raise AssertionError(f"{self.component} is not conformant:\n  " + "\n  ".join(lines))

    def __str__(self) -> str:
        outcomes: dict[str, Collection[object]] = {
            "passed": self.passed,
            "failed": self.failed,
            "failed as expected": self.expected_failures,
            "not run": self.not_run,
            "skipped": self.skipped,
        }
        parts = [f"{len(checks)} {outcome}" for outcome, checks in outcomes.items() if checks]
        return f"{self.component}: {', '.join(parts) or 'nothing was checked'}"


def checks_of(kind: Kind) -> tuple[Check, ...]:
    """Return the checks of a kind of component."""
    return tuple(check for check in CHECKS if kind in check.kinds)


def check_component(
    kind: Kind,
    name: str,
    *,
    options: Mapping[str, Any] | None = None,
    image: ImageSpec | None = None,
    expected_failures: Mapping[str, str] | None = None,
    expected_on_linear: Callable[[float], float] | None = None,
    registry: Registry | None = None,
) -> Report:
    """Examine one component by every check of its kind.

    Args:
        kind: Kind of the component.
        name: Name of the component.
        options: Options of the component, such as the folder of a dataset.
        image: Images and condition that it is examined with; by default the first usual ones that it accepts, with ten
            classes, or those of the dataset that its class names in `partners`.
        expected_failures: Reasons by check that must fail.
        expected_on_linear: For a gradient penalty: its value for D(x) = ⟨w, x⟩ as a function of |w|.
        registry: Registry of components; all installed ones by default.

    Returns:
        The outcome of each check.

    Raises:
        UsageError: It cannot be examined.
        PluginError: It cannot be imported.
    """
    registry = Registry.discover() if registry is None else registry
    entry = registry.find(kind, name)
    return examine(open_fixture(registry, entry, options, image, expected_on_linear), expected_failures or {})


def examine(fixture: Fixture, expected: Mapping[str, str]) -> Report:
    """Run every check of a fixture's kind. Raises UsageError for an expected failure of an unknown check."""
    examination = Examination(fixture, expected)
    report = Report(f"{fixture.kind} {fixture.entry.qualified_name}")
    for check in checks_of(fixture.kind):
        _record(report, check, examination.verdict(check), expected.get(check.name))
    return report


def check_expected(entry: Entry, expected: Mapping[str, str]) -> None:
    """Raise UsageError for an expected failure of an unknown check."""
    names = [check.name for check in checks_of(entry.component.kind)]
    for name in expected:
        if name not in names:
            raise UsageError(f"no check {name!r} of a {entry.component.kind}{did_you_mean(name, names)}")


class Examination:
    """Verdicts of one component, each check run once, after those that it needs.

    Each cause is reported once: a check is not run if one that it needs failed, or if another failed for the same
    reason, such as an exception.

    Raises:
        UsageError: An expected failure names an unknown check.
    """

    def __init__(self, fixture: Fixture, expected: Mapping[str, str] | None = None) -> None:
        self._fixture = fixture
        self._expected = expected or {}
        self._checks = {check.name: check for check in checks_of(fixture.kind)}
        self._verdicts: dict[str, Verdict] = {}
        check_expected(fixture.entry, self._expected)

    def verdict(self, check: Check) -> Verdict:
        """Return the outcome of a check."""
        if check.name not in self._verdicts:
            self._verdicts[check.name] = self._determine(check)
        return self._verdicts[check.name]

    def _determine(self, check: Check) -> Verdict:
        if check.name in self._expected:
            return attempt(check, self._fixture)
        causes: list[str] = []
        for name in check.needs:
            outcome, reason = self.verdict(self._checks[name]) if name in self._checks else PASSED
            if outcome == "not run":
                return outcome, reason
            if outcome == "failed":
                causes.append(name)
                if name not in self._expected:
                    return "not run", f"not run because {name} failed"
        verdict = attempt(check, self._fixture)
        causes += [name for name, earlier in self._verdicts.items() if earlier == verdict]
        return ("not run", f"not run because {causes[0]} failed") if verdict[0] == "failed" and causes else verdict


def attempt(check: Check, fixture: Fixture) -> Verdict:
    """Run one check, and leave no trace."""
    try:
        with kept_settings():
            check.examine(fixture)
    except CheckSkipped as reason:
        return "skipped", str(reason)
    except CheckFailed as reason:
        return "failed", str(reason)
    except GanforgeError as error:
        return "failed", error.message
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - any exception of a component is its failure
        return "failed", f"it raises {summarize_exception(error)}"
    return PASSED


def _record(report: Report, check: Check, verdict: Verdict, expected: str | None) -> None:
    """Add the outcome of a check to a report."""
    outcome, reason = verdict
    if expected is not None and outcome in {"passed", "skipped"}:
        instead = f" ({expected}), but passes" if outcome == "passed" else f", but does not apply: {reason}"
        report.failed.append(Failure(check.name, f"it was expected to fail{instead}", REMOVE))
    elif outcome == "passed":
        report.passed.append(check.name)
    elif outcome == "skipped":
        report.skipped[check.name] = reason
    elif outcome == "not run":
        report.not_run[check.name] = reason
    elif expected is None:
        report.failed.append(Failure(check.name, reason, check.fix))
    else:
        report.expected_failures[check.name] = expected

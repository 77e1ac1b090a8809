"""Examine a component with every check of its kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ganforge.components import ImageSpec
from ganforge.components.spec import Kind
from ganforge.errors import UsageError
from ganforge.plugins.registry import Entry, Registry
from ganforge.plugins.sources import explain
from ganforge.testing import (
    augmentations,
    common,
    datasets,
    discriminators,
    extractors,
    generators,
    integration,
    losses,
    metrics,
    networks,
    offline,
    penalties,
)
from ganforge.testing.checks import Check, Failed, NotApplicable
from ganforge.testing.fixture import Subject, open_subject
from ganforge.testing.report import Failure, Report
from ganforge.utils.suggest import did_you_mean

#: Every check, in the order in which they are made: the cheap ones first, whole trainings last.
CHECKS: tuple[Check, ...] = tuple(
    check
    for module in (
        common,
        networks,
        generators,
        discriminators,
        losses,
        penalties,
        datasets,
        extractors,
        offline,
        metrics,
        augmentations,
        integration,
    )
    for check in module.CHECKS
)
BUILDS = "builds"


def checks_of(kind: Kind) -> tuple[Check, ...]:
    """Return the checks for a kind of component."""
    return tuple(check for check in CHECKS if kind in check.kinds)


def check_component(
    kind: Kind,
    name: str,
    *,
    options: Mapping[str, Any] | None = None,
    image: ImageSpec | None = None,
    expected_failures: Mapping[str, str] | None = None,
    registry: Registry | None = None,
) -> Report:
    """Examine one component with every check of its kind, and return what came of each.

    options: the component's own, such as the folder of a data set. image: the shape that a network or an extractor is
    examined at; the first of some usual ones that it accepts by default, with ten classes. expected_failures: names of
    checks that must fail, with the reasons. registry: where to find it; all that is installed by default. Raises
    UsageError where it cannot be examined at all, and PluginError where it cannot be imported.
    """
    found = Registry.discover() if registry is None else registry
    entry = found.find(kind, name)
    return examine(open_subject(found, entry, options, image), expected_failures or {})


def examine(subject: Subject, expected: Mapping[str, str]) -> Report:
    """Make every check of a subject's kind. Raises UsageError for an expected failure of no check."""
    checks = checks_of(subject.kind)
    check_expected(subject.entry, expected)
    report = Report(subject.label)
    unbuilt: str | None = None
    for check in checks:
        if unbuilt is not None:
            report.failed.append(Failure(check.name, f"it could not be checked, since it {unbuilt}", check.fix))
            continue
        verdict = attempt(check, subject)
        settle(report, check, verdict, expected.get(check.name))
        if check.name == BUILDS and isinstance(verdict, str):
            unbuilt = f"cannot be built: {verdict}"
    return report


def check_expected(entry: Entry, expected: Mapping[str, str]) -> None:
    """Raise UsageError where a failure is expected of a check that there is not."""
    names = [check.name for check in checks_of(entry.component.kind)]
    for name in expected:
        if name not in names:
            raise UsageError(f"no check {name!r} of a {entry.component.kind}{did_you_mean(name, names)}")


def attempt(check: Check, subject: Subject) -> str | NotApplicable | None:
    """Make one check, and leave no trace; return why it failed, that it does not apply, or None where it passed."""
    try:
        with common.kept_settings():
            check.examine(subject)
    except NotApplicable as reason:
        return reason
    except Failed as reason:
        return str(reason)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a component raises is its failure
        return f"it raises {explain(error)}"
    return None


def settle(report: Report, check: Check, verdict: str | NotApplicable | None, expected: str | None) -> None:
    """Write down what came of a check."""
    if isinstance(verdict, NotApplicable):
        if expected is None:
            report.skipped[check.name] = str(verdict)
        else:
            report.failed.append(Failure(check.name, f"it was expected to fail, but does not apply: {verdict}", REMOVE))
    elif verdict is None and expected is None:
        report.passed.append(check.name)
    elif verdict is None:
        report.failed.append(Failure(check.name, f"it was expected to fail ({expected}), but passes", REMOVE))
    elif expected is None:
        report.failed.append(Failure(check.name, verdict, check.fix))
    else:
        report.expected_failures[check.name] = expected


REMOVE = "remove it from the expected failures"

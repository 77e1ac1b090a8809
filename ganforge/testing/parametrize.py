"""Every check of every component of a distribution as a pytest test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from ganforge.components import ImageSpec
from ganforge.errors import UsageError
from ganforge.plugins.registry import Entry, Registry
from ganforge.plugins.sources import canonical
from ganforge.testing.checks import Check
from ganforge.testing.conformance import Examination, check_expected, checks_of
from ganforge.testing.fixture import open_fixture
from ganforge.utils.suggest import did_you_mean

if TYPE_CHECKING:
    import pytest

ByComponent = Mapping[str, Mapping[str, Any]]


def parametrize_components(
    distribution: str,
    *,
    options: ByComponent | None = None,
    images: Mapping[str, ImageSpec] | None = None,
    expected_failures: Mapping[str, Mapping[str, str]] | None = None,
    expected_on_linear: Mapping[str, Callable[[float], float]] | None = None,
    leave_out: tuple[str, ...] = (),
) -> pytest.MarkDecorator:
    """Parametrize a test with every check of every component of an installed distribution.

    The test has one parameter, `check`, and calls it: `def test_conforms(check): check()`. It fails with the reason and
    the fix, and is skipped if the check does not apply, or needs one that failed.

    Args:
        distribution: Name of the distribution.
        options: As `check_component` takes them, by component, such as "loss/hinge".
        images: As above.
        expected_failures: As above.
        expected_on_linear: As above.
        leave_out: Components that are examined elsewhere, such as datasets that need a folder.

    Raises:
        UsageError: The distribution has no components, or not one that is named.
    """
    import pytest  # noqa: PLC0415 - the kit works without it

    registry = Registry.discover()
    entries = {_name(entry): entry for entry in components_of(registry, distribution)}
    for named in (options or {}, images or {}, expected_failures or {}, expected_on_linear or {}, leave_out):
        for name in named:
            if name not in entries:
                raise UsageError(f"{distribution} has no {name!r}{did_you_mean(name, entries)}")
    cases = []
    for name, entry in entries.items():
        if name in leave_out:
            continue
        expected = (expected_failures or {}).get(name, {})
        check_expected(entry, expected)
        arguments = (options or {}).get(name), (images or {}).get(name), (expected_on_linear or {}).get(name)
        examination = cache(partial(_examination, registry, entry, expected, *arguments))
        for check in checks_of(entry.component.kind):
            xfail = pytest.mark.xfail(reason=expected.get(check.name, ""), strict=True, raises=AssertionError)
            marks = [xfail] if check.name in expected else []
            cases.append(pytest.param(partial(_test, check, examination), id=f"{name}-{check.name}", marks=marks))
    return pytest.mark.parametrize("check", cases)


def components_of(registry: Registry, distribution: str) -> list[Entry]:
    """Return the components of a distribution. Raises UsageError if it has none."""
    wanted = canonical(distribution)
    entries = [entry for entry in registry.entries if canonical(entry.source.distribution) == wanted]
    if not entries:
        known = {entry.source.distribution for entry in registry.entries}
        fix = registry.fix_for_missing(near=True) or "install it: python -m pip install ."
        raise UsageError(f"no components of {distribution!r}{did_you_mean(distribution, known)}", fix=fix)
    return entries


def _name(entry: Entry) -> str:
    return f"{entry.component.kind}/{entry.component.name}"


def _examination(registry: Registry, entry: Entry, expected: Mapping[str, str], *arguments: Any) -> Examination:  # noqa: ANN401 - as `open_fixture`
    """Return the examination of a component, which is imported when its first check runs."""
    return Examination(open_fixture(registry, entry, *arguments), expected)


def _test(check: Check, examination: Callable[[], Examination]) -> None:
    import pytest  # noqa: PLC0415 - as above

    outcome, reason = examination().verdict(check)
    if outcome in {"skipped", "not run"}:
        pytest.skip(reason)
    assert outcome == "passed", f"{check.name}: {reason}\nfix: {check.fix}"  # noqa: S101 - what a test does

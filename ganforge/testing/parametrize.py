"""Every check of every component of a distribution as a pytest test of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name

from ganforge.components import ImageSpec
from ganforge.errors import UsageError
from ganforge.plugins.registry import Entry, Registry
from ganforge.testing.checks import Check, NotApplicable
from ganforge.testing.conformance import attempt, check_expected, checks_of
from ganforge.testing.fixture import Subject, open_subject
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
    leave_out: tuple[str, ...] = (),
) -> pytest.MarkDecorator:
    """Parametrize a test with every check of every component of an installed distribution.

    The test has one parameter, `check`, and calls it: `def test_conforms(check): check()`. It fails with the reason and
    what helps, and is skipped where the check does not apply. options, images, expected_failures: as `check_component`
    takes them, by component, such as "loss/hinge". leave_out: components that are examined elsewhere, such as data sets
    that need a folder. Raises UsageError where nothing of that distribution is installed, or a component is named that
    it does not have.
    """
    import pytest  # noqa: PLC0415 - the kit works without it

    registry = Registry.discover()
    entries = {_name(entry): entry for entry in components_of(registry, distribution)}
    for named in (options or {}, images or {}, expected_failures or {}, leave_out):
        for name in named:
            if name not in entries:
                raise UsageError(f"{distribution} has no {name!r}{did_you_mean(name, entries)}")
    cases = []
    for name, entry in entries.items():
        if name in leave_out:
            continue
        expected = (expected_failures or {}).get(name, {})
        check_expected(entry, expected)
        subjects = _Once(registry, entry, (options or {}).get(name), (images or {}).get(name))
        for check in checks_of(entry.component.kind):
            marks = (
                [pytest.mark.xfail(reason=expected[check.name], strict=True, raises=AssertionError)]
                if check.name in expected
                else []
            )
            cases.append(pytest.param(_test(check, subjects), id=f"{name}-{check.name}", marks=marks))
    return pytest.mark.parametrize("check", cases)


def components_of(registry: Registry, distribution: str) -> list[Entry]:
    """Return a distribution's components. Raises UsageError where there are none."""
    wanted = canonicalize_name(distribution)
    found = [entry for entry in registry.entries if canonicalize_name(entry.source.distribution) == wanted]
    if not found:
        there = {entry.source.distribution for entry in registry.entries}
        fix = registry.why_missing(near=True) or "install it: python -m pip install ."
        raise UsageError(f"no components of {distribution!r}{did_you_mean(distribution, there)}", fix=fix)
    return found


def _name(entry: Entry) -> str:
    return f"{entry.component.kind}/{entry.component.name}"


class _Once:
    """Open a subject when its first check is made, and keep it for the others."""

    def __init__(
        self, registry: Registry, entry: Entry, options: Mapping[str, Any] | None, image: ImageSpec | None
    ) -> None:
        self._arguments = (registry, entry, options, image)
        self._subject: Subject | None = None

    def subject(self) -> Subject:
        if self._subject is None:
            self._subject = open_subject(*self._arguments)
        return self._subject


def _test(check: Check, once: _Once) -> Callable[[], None]:
    def run() -> None:
        import pytest  # noqa: PLC0415 - as above

        verdict = attempt(check, once.subject())
        if isinstance(verdict, NotApplicable):
            pytest.skip(str(verdict))
        assert verdict is None, f"{check.name}: {verdict}\nfix: {check.fix}"  # noqa: S101 - what a test does

    return run

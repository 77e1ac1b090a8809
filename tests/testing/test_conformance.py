"""Mutants of the conformance kit: for each check a component that is broken in exactly that way."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ganforge.components.spec import KINDS, Kind
from ganforge.testing import CHECKS, checks_of
from ganforge.testing.checks import Check
from ganforge.testing.conformance import Examination, attempt, examine
from ganforge.testing.stubs import StubGenerator
from tests.helpers import (
    conformance_datasets,  # noqa: F401 - as above
    conformance_metrics,
    conformance_networks,
    conformance_terms,  # noqa: F401 - as above
)
from tests.helpers.conformance import GOOD, MUTANTS, Good, Mutant, fixture_of

#: Separate processes, or slow to start; run where a mutant is theirs, and once for a good component.
SLOW = ("light-import", "no-network", "missing-data", "compiles")


def fast(kind: Kind) -> list[Check]:
    """Return the checks of a kind except the slow ones."""
    return [check for check in checks_of(kind) if check.name not in SLOW]


def failures(case: Good | Mutant) -> dict[str, str]:
    """Return the checks that a component fails, with the reasons."""
    examination = Examination(fixture_of(case))
    verdicts = {check.name: examination.verdict(check) for check in fast(case.kind)}
    return {name: reason for name, (outcome, reason) in verdicts.items() if outcome == "failed"}


@pytest.mark.parametrize("case", GOOD, ids=lambda case: f"{case.kind}-{case.name}")
def test_a_good_component_passes_every_check(case: Good) -> None:
    """Correct components pass every check."""
    assert failures(case) == {}


@pytest.mark.parametrize("case", MUTANTS, ids=lambda case: f"{case.kind}-{case.check}-{case.cls.__name__}")
def test_each_mutant_is_caught_by_its_check_alone(case: Mutant) -> None:
    """A component that is broken in one way fails the check for that, and no other but its named neighbors."""
    found = failures(case)
    assert case.check in found, found
    assert set(found) <= {case.check, *case.neighbors}, found


def test_every_check_has_a_mutant() -> None:
    """No check can be without one: it might never fail."""
    assert {check.name for check in CHECKS} == {case.check for case in MUTANTS} | set(SLOW)
    assert {kind for check in CHECKS for kind in check.kinds} == set(KINDS)
    names = {check.name for check in CHECKS}
    for check in CHECKS:
        assert check.requirement.endswith((".", "`.")), check.name
        assert check.fix, check.name
        assert set(check.needs) <= names, check.name


def test_one_cause_is_reported_once() -> None:
    """Checks that need a failed one, or stop at the same exception, are listed as not run, with the cause."""
    for case in MUTANTS:
        if case.check in {"builds", "input-unchanged", "outputs-unchanged", "loss-shape", "image-shape"} or (
            case.kind == "generator" and case.check == "initialized-weights"
        ):
            report = examine(fixture_of(case), {})
            assert [failure.check for failure in report.failed] == [case.check]
            assert set(report.not_run.values()) == {f"not run because {case.check} failed"}
            names = [*report.passed, *report.skipped, *report.not_run, case.check]
            assert sorted(names) == sorted(check.name for check in checks_of(case.kind))


def test_a_metric_that_raises_is_reported_with_its_exception() -> None:
    """The evaluation of a run leaves out its scores, which are not called infinite."""
    (case,) = (case for case in MUTANTS if case.cls is conformance_metrics.RaisesLater)
    assert "ValueError: one evaluation is enough" in failures(case)["trains"]


def test_a_map_of_patches_gets_a_hint() -> None:
    """Logits (N, 1, H, W) and (N, 1) fail with what to write instead."""
    reasons = [failures(case)["logits-shape"] for case in MUTANTS if case.check == "logits-shape"]
    assert any("return logits.flatten(1)" in reason for reason in reasons)
    assert any("return logits.squeeze(1)" in reason for reason in reasons)


def test_what_does_not_compile_is_reported_and_no_failure() -> None:
    """A network whose path depends on its numbers is skipped by `compiles`, with the reason; a plain one passes."""

    class Branches(StubGenerator):
        def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
            images = super().forward(z, condition)
            return images if float(z.sum()) > 0 else -images

    (compiles,) = (check for check in checks_of("generator") if check.name == "compiles")
    branches, plain = (
        attempt(compiles, fixture_of(Good("compiles", "generator", cls))) for cls in (Branches, StubGenerator)
    )
    assert branches[0] == "skipped"
    assert "not required" in branches[1]
    assert plain == ("passed", "")


def test_the_kit_leaves_torch_as_it_was() -> None:
    """Recorders of gradients' hooks are gone after a check."""
    register = torch.Tensor.register_hook
    failures(next(case for case in MUTANTS if case.cls is conformance_networks.HooksGradients))
    assert torch.Tensor.register_hook is register

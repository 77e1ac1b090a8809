"""Laws of the health monitor on synthetic rows: alerts, their steps, and the state between two rows."""

from __future__ import annotations

import json
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ganforge.diagnostics.detectors import DETECTORS
from ganforge.diagnostics.monitor import DIAGNOSES, Alert, HealthMonitor
from ganforge.errors import CheckpointError
from ganforge.plugins.registry import Registry
from ganforge.schemas.checkpoint import MAX_ALERTS, CheckpointState
from ganforge.schemas.manifest import FailureMode
from tests.helpers.runs import ROOT, tiny

#: Row of a healthy run: BCE's losses, D(x) a little above D(G(z)), and fakes nearly as diverse as real images.
HEALTHY = {
    "loss/discriminator": 1.2,
    "loss/generator": 0.9,
    "prob/real": 0.6,
    "prob/fake": 0.45,
    "health/diversity": 0.8,
}


def row(**changed: float) -> dict[str, float]:
    """Return the row of a healthy run with some values changed."""
    names = {"disc": "loss/discriminator", "gen": "loss/generator", "real": "prob/real", "fake": "prob/fake"}
    names["diversity"] = "health/diversity"
    return HEALTHY | {names[name]: value for name, value in changed.items()}


def watch(health: HealthMonitor, rows: list[dict[str, float]], *, first: int = 1) -> list[tuple[int, Alert]]:
    """Add rows from a step on; return the alerts that were raised or resolved, with the step at which they were."""
    return [(step, change) for step, values in enumerate(rows, first) for change in health.update(step, values)]


def raised(rows: list[dict[str, float]], **options: bool) -> list[tuple[FailureMode, int, int | None, int]]:
    """Return the alerts of a new monitor: failure, first step, step of its end, and step at which it is reported."""
    changes = watch(HealthMonitor(**options), rows)
    return [(change.failure, change.since_step, change.until_step, step) for step, change in changes]


def state_of(health: HealthMonitor, step: int) -> dict[str, object]:
    """Return the state.json of a checkpoint with the state of a monitor."""
    rest = {"format": 1, "step": step, "images_seen": 0, "seed": 0, "rollbacks": 0, "precision": "fp32"}
    content: dict[str, object] = json.loads(
        json.dumps(
            {**rest, "best": None, "last_stats": {}, "frozen": {}, "optimizers": {}, "health": health.state_dict()},
            allow_nan=False,
        )
    )
    return content


@pytest.mark.parametrize("diversity", [0.0, 1e-14, 1e-7, 9e-5])
def test_one_image_from_the_first_step_on_is_a_collapse(diversity: float) -> None:
    """Fakes that are equal up to rounding raise an alert after the patience of fifty steps, since the first step."""
    assert raised([row(diversity=diversity)] * 150) == [("collapse", 1, None, 50)]


def test_growing_low_diversity_is_not_collapse() -> None:
    """Deep networks without normalization start with almost none and gain it; an MLP keeps 0.003 for long."""
    assert raised([row(diversity=1e-5 * 1.05**step) for step in range(200)]) == []
    assert raised([row(diversity=0.0034 + 0.002 * math.sin(step)) for step in range(1000)]) == []


def test_decreasing_noise_is_not_collapse() -> None:
    """Networks with normalization start with noise, more diverse than real images, and may pass through a gray mean."""
    begun = [row(diversity=1.6 * 0.9**step + 0.02) for step in range(100)]
    assert raised([*begun, *[row(diversity=min(0.02 * 1.03**step, 0.9)) for step in range(300)]]) == []


@pytest.mark.parametrize("left", [0.0, 0.01, 0.07])
def test_lost_diversity_is_a_collapse_until_it_is_back(left: float) -> None:
    """Fakes that had 0.8 and keep less than a tenth of it have collapsed, until they have more than a fifth again."""
    healthy, collapsed = [row()] * 150, [row(diversity=left)] * 100
    found = raised([*healthy, *collapsed, *[row(diversity=0.5)] * 100])
    assert [(failure, step) for failure, *_, step in found] == [("collapse", found[0][3]), ("collapse", found[1][3])]
    (_, since, until, began), (_, again, over, ended) = found
    assert until is None
    assert since == again
    assert 150 < since <= 170 < began <= 220
    assert over is not None
    assert 250 < over <= 260 < ended <= 310


def test_a_dip_shorter_than_the_patience_raises_no_alert() -> None:
    """Forty bad steps raise no alert, and two thousand raise one."""
    assert raised([*[row()] * 150, *[row(diversity=0.0)] * 30, *[row()] * 100]) == []
    assert len(raised([*[row()] * 150, *[row(diversity=0.0)] * 2000])) == 1


def test_batches_of_one_image_have_no_diversity_to_lose() -> None:
    """Batches of one image have a diversity of 0 that means nothing; the other detectors work."""
    rows = [row(diversity=0.0)] * 20 + [row(diversity=0.0, disc=1e-4, real=1.0, fake=0.0)] * 200
    assert {failure for failure, *_ in raised(rows, watch_diversity=False)} == {"saturation"}


#: Rows of a saturated discriminator with each loss, after a healthy start: (first, saturated).
SATURATED = {
    "bce": (row(disc=1.386), row(disc=0.002, real=0.999, fake=0.001)),
    "hinge": (row(disc=2.0), row(disc=0.0, real=0.9, fake=0.1)),
    "least-squares": (row(disc=0.5), row(disc=0.001, real=0.731, fake=0.5)),
    "relativistic": (row(disc=0.693), row(disc=0.001, real=0.98, fake=0.3)),
}
#: Rows without saturation: critics whose logits are not log-odds, and strong discriminators.
UNSATURATED = {
    "wasserstein": (row(disc=-0.02), row(disc=-0.0001, real=1.0, fake=0.0)),
    "wasserstein-gp": (row(disc=-24.0), row(disc=-8.0, real=1.0, fake=0.0)),
    "clipped": (row(disc=0.02), row(disc=0.0001, real=1.0, fake=1.0)),
    "bce": (row(disc=1.386), row(disc=0.1, real=0.95, fake=0.05)),
    "least-squares": (row(disc=0.3), row(disc=0.03, real=0.72, fake=0.5)),
}


@pytest.mark.parametrize("loss", SATURATED)
def test_a_discriminator_that_recognizes_every_fake_is_saturated(loss: str) -> None:
    """With any loss, a value near zero and separated probabilities raise an alert, which is resolved later."""
    first, saturated = SATURATED[loss]
    found = raised([*[first] * 60, *[saturated] * 300, *[first] * 100])
    assert [failure for failure, *_ in found] == ["saturation"] * 2
    (_, since, _, began), (_, _, until, _) = found
    assert 60 < since < began < 300
    assert until is not None
    assert 360 < until < 380


@pytest.mark.parametrize("loss", UNSATURATED)
def test_a_loss_below_zero_or_a_strong_discriminator_is_not_saturation(loss: str) -> None:
    """A Wasserstein critic's loss near zero means that it separates nothing; a loss of a tenth still teaches."""
    first, later = UNSATURATED[loss]
    assert raised([*[first] * 60, *[later] * 500]) == []


def test_a_discriminator_that_prefers_fakes_is_fooled() -> None:
    """D(G(z)) above D(x) for fifty steps raises an alert; equal probabilities, which are the aim, do not."""
    found = raised([*[row()] * 50, *[row(real=0.3, fake=0.9)] * 150, *[row(real=0.5, fake=0.5)] * 150])
    assert [failure for failure, *_ in found] == ["fooled"] * 2
    assert 50 < found[0][1] <= 60
    assert raised([row(real=0.5, fake=0.5, disc=1.386)] * 500) == []


def test_rows_without_probabilities_raise_no_alert_about_them() -> None:
    """A method without discriminator outputs has no prob columns; its other detectors work."""
    bare = {name: value for name, value in row(disc=1e-4).items() if not name.startswith("prob/")}
    assert raised([row()] * 60 + [bare] * 300) == []
    assert {failure for failure, *_ in raised([bare | {"health/diversity": 0.0}] * 60)} == {"collapse"}
    absent = [{name: value for name, value in row().items() if not name.startswith("prob/")}] * 300
    assert raised(absent) == []


@settings(max_examples=40, deadline=None)
@given(st.floats(2, 40), st.floats(1e-3, 1e3), st.sampled_from(["disc", "gen"]), st.sampled_from([-1, 1]))
def test_exponential_growth_is_divergence(constant: float, size: float, loss: str, sign: int) -> None:
    """A loss that grows by a factor of e within forty steps raises an alert: either one, of any size and sign."""
    grown = [sign * size * math.exp(step / constant) for step in range(math.ceil(constant * 20))]
    rows = [row(**{loss: sign * size})] * 200 + [row(**{loss: value}) for value in grown if abs(value) < 1e30]
    assert "divergence" in {failure for failure, *_ in raised(rows)}


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 2.5), st.floats(1e-3, 1e3), st.floats(0, 0.5), st.integers(0, 1000))
def test_steady_growth_is_not_divergence(power: float, size: float, noise: float, seed: int) -> None:
    """Critics' losses drift for as long as they train: growth as t² and slower, with noise, is healthy."""
    rows = [
        row(disc=-size * (step / 100) ** power * (1 + noise * math.sin(seed + 7 * step)), gen=size)
        for step in range(1, 1500)
    ]
    assert raised(rows) == []


def test_divergence_is_resolved_when_the_loss_has_its_usual_size_again() -> None:
    """The baseline is frozen during a divergence: a loss that stays high does not become usual."""
    rows = [*[row()] * 200, *[row(gen=500.0)] * 2000, *[row()] * 50]
    (_, _, _, began), (_, _, until, _) = raised(rows)
    assert 210 <= began <= 215
    assert until is not None
    assert 2200 < until < 2230


ROWS = st.builds(
    row,
    disc=st.floats(-1e3, 1e3, width=32) | st.sampled_from([0.0, 1.2, 3.4e38, -3.4e38]),
    gen=st.floats(-1e3, 1e3, width=32) | st.sampled_from([0.9, 3.4e38]),
    real=st.floats(0, 1, width=32),
    fake=st.floats(0, 1, width=32),
    diversity=st.sampled_from([0.0, 1e-9, 0.01, 0.8, 1.6, 1e18]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(ROWS, st.integers(1, 90)), min_size=2, max_size=12), st.data())
def test_a_restored_state_continues_exactly(runs: list[tuple[dict[str, float], int]], data: st.DataObject) -> None:
    """Restored from JSON after any step, a monitor raises the same alerts at the same steps."""
    rows = [values for values, times in runs for _ in range(times)]
    stop = data.draw(st.integers(0, len(rows)))
    straight = HealthMonitor()
    expected = watch(straight, rows)
    before, after = HealthMonitor(), HealthMonitor()
    found = watch(before, rows[:stop])
    state = state_of(before, stop)
    CheckpointState.model_validate(state)
    after.load_state_dict(state["health"])  # type: ignore[arg-type]
    found += watch(after, rows[stop:], first=stop + 1)
    assert found == expected
    assert after.state_dict() == straight.state_dict()
    CheckpointState.model_validate(state_of(after, len(rows)))
    assert after.report() == straight.report()
    assert list(after.active.values()) == [alert for alert in after.alerts if alert.until_step is None]


def test_the_state_stays_small_with_many_alerts() -> None:
    """Beyond a hundred alerts the oldest resolved ones are dropped, and the checkpoint stays valid."""
    health = HealthMonitor()
    healthy, collapsed = [row()] * 70, [row(diversity=0.0)] * 70
    for number in range(130):
        watch(health, [*healthy, *collapsed], first=140 * number + 1)
    assert len(health.alerts) == MAX_ALERTS
    assert list(health.active) == ["collapse"]
    CheckpointState.model_validate(state_of(health, 140 * 130))


def test_a_rollback_keeps_alerts_as_resolved() -> None:
    """A rollback resolves the active alerts at its step; those of the checkpoint stay; nothing is listed twice."""
    health = HealthMonitor()
    watch(health, [row(diversity=0.0)] * 60)
    kept = json.loads(json.dumps(health.state_dict()))
    watch(health, [row(real=0.2, fake=0.9, diversity=0.0)] * 100, first=61)
    health.alert_not_finite(161)
    discarded = health.resolved_at(165)
    health.load_state_dict(kept)
    health.keep_alerts(discarded)
    found = [(alert.failure, alert.since_step, alert.until_step) for alert in health.alerts]
    since = found[1][1]
    assert found == [("collapse", 1, None), ("fooled", since, 165), ("not-finite", 161, 165)]
    assert list(health.active) == ["collapse"]


@pytest.mark.parametrize(
    "harm",
    [
        {"rows": 7},
        {"rows": -1},
        {"stats": {"diversity": "0.5"}},
        {"stats": {"diversity": float("inf")}},
        {"streaks": {"collapse": 4}},
        {"alerts": [{"alert": "plague", "since_step": 1, "until_step": None, "value": 0.0}]},
        {"alerts": [{"alert": "collapse", "since_step": 3, "until_step": 2, "value": 0.0}]},
        {"alerts": [{"alert": "collapse", "since_step": 1, "until_step": None, "value": 0.0}] * 2},
        {"alerts": [{"alert": "collapse", "since_step": 1, "until_step": 2, "value": 0.0}] * 101},
        {"alerts": [{"alert": ["collapse"], "since_step": 1, "until_step": 2, "value": 0.0}]},
    ],
)
def test_an_impossible_state_is_refused(harm: dict[str, object]) -> None:
    """Counts beyond the step, unknown alerts, two active ones of a failure, and bad numbers are CheckpointErrors."""
    health = HealthMonitor()
    watch(health, [row()] * 3)
    state = state_of(health, 3)
    state["health"] = {**health.state_dict(), **harm}
    with pytest.raises(ValidationError, match="health"):
        CheckpointState.model_validate(state)


def test_unknown_statistics_are_refused() -> None:
    """A state with other statistics is a CheckpointError."""
    state = HealthMonitor().state_dict()
    with pytest.raises(CheckpointError, match="other statistics"):
        HealthMonitor().load_state_dict({**state, "stats": {"mood": 1.0}})


FLAG = re.compile(r"--([a-z][a-z.-]*) ([\w.-]+)(?:,? (?:both )?of (ganforge-[a-z]+))?")


@pytest.mark.parametrize("failure", DIAGNOSES)
def test_hints_name_existing_flags(failure: FailureMode, registry: Registry) -> None:
    """Every flag of a hint is a setting with a valid value, and a component of a plugin is provided by that plugin."""
    hint = DIAGNOSES[failure].hint
    flags = [match.groups() for match in FLAG.finditer(hint)]
    assert len(flags) == hint.count("--") > 1
    several = re.findall(r"--\w+ ([\w-]+) or --\w+ ([\w-]+), both of (ganforge-\w+)", hint)
    owners = {name: plugin for *names, plugin in several for name in names} | {
        value: plugin for _, value, plugin in flags if plugin
    }
    for name, value, _ in flags:
        if value in owners:
            module = ROOT / "plugins" / owners[value] / owners[value].replace("-", "_") / "__init__.py"
            assert f'name="{value}"' in module.read_text()
        else:
            tiny(registry, "gen=mlp", "disc=mlp", f"{name.replace('-', '_')}={value}", "steps=1")


def test_every_failure_mode_has_a_diagnosis() -> None:
    """An alert is one line with its value and steps, and has the keys that run.json and state.json promise."""
    assert set(DETECTORS) | {"not-finite"} == set(DIAGNOSES)
    for failure in DIAGNOSES:
        alert = Alert(failure, 12, None, 0.25)
        assert alert.summary.startswith(f"{failure} since step 12: {alert.message}. Hint: ")
        assert "0.25" in alert.message or failure == "not-finite"
        assert "\n" not in alert.summary
        assert list(alert.as_state()) == ["alert", "since_step", "until_step", "value"]
        assert list(alert.as_dict()) == ["alert", "since_step", "until_step", "value", "message", "hint"]
        assert Alert(failure, 12, 40, 0.25).summary == f"{failure} since step 12 resolved at step 40"

"""Laws of health, on rows that are made up: what is found, from when to when, and what is known between two rows."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
from conftest import ROOT, tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from ganforge.diagnostics.alerts import MEANINGS, MOST_FINDINGS, Ailment, Finding
from ganforge.diagnostics.detectors import SYMPTOMS
from ganforge.diagnostics.monitor import Health
from ganforge.errors import CheckpointError
from ganforge.plugins.registry import Registry
from ganforge.training.checkpoint_io import check_state

#: A training in balance: BCE's losses, scores that differ a little, and fakes nearly as diverse as real images.
WELL = {
    "loss/discriminator": 1.2,
    "loss/generator": 0.9,
    "score/real": 0.6,
    "score/fake": 0.45,
    "health/diversity": 0.8,
}


def row(**changed: float) -> dict[str, float]:
    """Return a row of a training in balance, but for what is changed."""
    names = {"disc": "loss/discriminator", "gen": "loss/generator", "real": "score/real", "fake": "score/fake"}
    names["diversity"] = "health/diversity"
    return WELL | {names[name]: value for name, value in changed.items()}


def watch(health: Health, rows: list[dict[str, float]], *, first: int = 1) -> list[tuple[int, Finding]]:
    """Watch rows from a step on; return what was said, with the step it was said at."""
    return [(step, change) for step, values in enumerate(rows, first) for change in health.watch(step, values)]


def said(rows: list[dict[str, float]], **options: bool) -> list[tuple[Ailment, int, int | None, int]]:
    """Return what a fresh watch says of rows: the ailment, since when, until when, and at which step it is said."""
    changes = watch(Health(**options), rows)
    return [(change.ailment, change.since_step, change.until_step, step) for step, change in changes]


def state_of(health: Health, step: int) -> dict[str, object]:
    """Return a checkpoint's numbers around a health's state, as JSON gives them back."""
    rest = {"format": 1, "step": step, "images_seen": 0, "seed": 0, "rollbacks": 0, "precision": "fp32"}
    content: dict[str, object] = json.loads(
        json.dumps({**rest, "best": None, "judged": {}, "health": health.state()}, allow_nan=False)
    )
    return content


@pytest.mark.parametrize("diversity", [0.0, 1e-14, 1e-7, 9e-5])
def test_one_image_from_the_first_step_on_is_a_collapse(diversity: float) -> None:
    """Fakes that are alike up to rounding are found after the patience of fifty steps, as begun at the first."""
    assert said([row(diversity=diversity)] * 150) == [("collapse", 1, None, 50)]


def test_little_diversity_is_no_collapse_while_it_grows() -> None:
    """Deep networks without normalisation begin with nearly none, and get more; an MLP keeps 0.003 for hundreds."""
    assert said([row(diversity=1e-5 * 1.05**step) for step in range(200)]) == []
    assert said([row(diversity=0.0034 + 0.002 * math.sin(step)) for step in range(1000)]) == []


def test_noise_that_calms_down_is_no_collapse() -> None:
    """Networks with normalisation begin with noise, more diverse than real images, and may pass through a grey mean."""
    begun = [row(diversity=1.6 * 0.9**step + 0.02) for step in range(100)]
    assert said([*begun, *[row(diversity=min(0.02 * 1.03**step, 0.9)) for step in range(300)]]) == []


@pytest.mark.parametrize("left", [0.0, 0.01, 0.07])
def test_lost_diversity_is_a_collapse_until_it_is_back(left: float) -> None:
    """What had 0.8 and keeps less than a tenth of that has collapsed, and is over it with more than a fifth."""
    well, ill = [row()] * 150, [row(diversity=left)] * 100
    found = said([*well, *ill, *[row(diversity=0.5)] * 100])
    assert [(ailment, step) for ailment, *_, step in found] == [("collapse", found[0][3]), ("collapse", found[1][3])]
    (_, since, until, began), (_, again, over, ended) = found
    assert until is None
    assert since == again
    assert 150 < since <= 170 < began <= 220
    assert over is not None
    assert 250 < over <= 260 < ended <= 310


def test_a_dip_shorter_than_the_patience_is_not_said() -> None:
    """Forty bad steps are none; and no line comes for each step, however long it lasts."""
    assert said([*[row()] * 150, *[row(diversity=0.0)] * 30, *[row()] * 100]) == []
    assert len(said([*[row()] * 150, *[row(diversity=0.0)] * 2000])) == 1


def test_batches_of_one_image_have_no_diversity_to_lose() -> None:
    """Where each batch has one image, its diversity of 0 says nothing; the rest is watched."""
    rows = [row(diversity=0.0)] * 20 + [row(diversity=0.0, disc=1e-4, real=1.0, fake=0.0)] * 200
    assert {ailment for ailment, *_ in said(rows, watch_diversity=False)} == {"saturation"}


#: What a discriminator that tells everything shows in each loss, after a beginning in balance: (first, saturated).
SATURATED = {
    "bce": (row(disc=1.386), row(disc=0.002, real=0.999, fake=0.001)),
    "hinge": (row(disc=2.0), row(disc=0.0, real=0.9, fake=0.1)),
    "least-squares": (row(disc=0.5), row(disc=0.001, real=0.731, fake=0.5)),
    "relativistic": (row(disc=0.693), row(disc=0.001, real=0.98, fake=0.3)),
}
#: What is none: a critic whose logits are no log-odds (far apart, or both far from 0), and strong discriminators.
UNSATURATED = {
    "wasserstein": (row(disc=-0.02), row(disc=-0.0001, real=1.0, fake=0.0)),
    "wasserstein-gp": (row(disc=-24.0), row(disc=-8.0, real=1.0, fake=0.0)),
    "clipped": (row(disc=0.02), row(disc=0.0001, real=1.0, fake=1.0)),
    "bce": (row(disc=1.386), row(disc=0.1, real=0.95, fake=0.05)),
    "least-squares": (row(disc=0.3), row(disc=0.03, real=0.72, fake=0.5)),
}


@pytest.mark.parametrize("loss", SATURATED)
def test_a_discriminator_that_tells_everything_is_saturated(loss: str) -> None:
    """Whatever its logits mean, a loss of next to nothing beside scores that are apart is found, and over later."""
    first, saturated = SATURATED[loss]
    found = said([*[first] * 60, *[saturated] * 300, *[first] * 100])
    assert [ailment for ailment, *_ in found] == ["saturation"] * 2
    (_, since, _, began), (_, _, until, _) = found
    assert 60 < since < began < 300
    assert until is not None
    assert 360 < until < 380


@pytest.mark.parametrize("loss", UNSATURATED)
def test_a_loss_below_zero_or_a_strong_discriminator_is_not_saturation(loss: str) -> None:
    """A Wasserstein critic's loss near zero means that it tells nothing; a loss of a tenth still teaches."""
    first, later = UNSATURATED[loss]
    assert said([*[first] * 60, *[later] * 500]) == []


def test_a_discriminator_that_prefers_fakes_is_fooled() -> None:
    """Fakes scored above real images for fifty steps are found; equal scores, which are the aim, are not."""
    found = said([*[row()] * 50, *[row(real=0.3, fake=0.9)] * 150, *[row(real=0.5, fake=0.5)] * 150])
    assert [ailment for ailment, *_ in found] == ["fooled"] * 2
    assert 50 < found[0][1] <= 60
    assert said([row(real=0.5, fake=0.5, disc=1.386)] * 500) == []


@settings(max_examples=40, deadline=None)
@given(st.floats(2, 40), st.floats(1e-3, 1e3), st.sampled_from(["disc", "gen"]), st.sampled_from([-1, 1]))
def test_exponential_growth_is_divergence(constant: float, size: float, loss: str, sign: int) -> None:
    """A loss that grows by a factor of e within forty steps is found: either one, whatever its size and sign."""
    grown = [sign * size * math.exp(step / constant) for step in range(math.ceil(constant * 20))]
    rows = [row(**{loss: sign * size})] * 200 + [row(**{loss: value}) for value in grown if abs(value) < 1e30]
    assert "divergence" in {ailment for ailment, *_ in said(rows)}


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 2.5), st.floats(1e-3, 1e3), st.floats(0, 0.5), st.integers(0, 1000))
def test_steady_growth_is_no_divergence(power: float, size: float, noise: float, seed: int) -> None:
    """Critics' losses drift for as long as they train: growth as t² and slower, with noise, is none."""
    rows = [
        row(disc=-size * (step / 100) ** power * (1 + noise * math.sin(seed + 7 * step)), gen=size)
        for step in range(1, 1500)
    ]
    assert said(rows) == []


def test_divergence_is_over_when_the_loss_has_its_usual_size_again() -> None:
    """What is usual stands still meanwhile: a loss that stays high has not become usual by that."""
    rows = [*[row()] * 200, *[row(gen=500.0)] * 2000, *[row()] * 50]
    (_, _, _, began), (_, _, until, _) = said(rows)
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
def test_what_is_known_between_two_rows_is_in_the_state(
    runs: list[tuple[dict[str, float], int]], data: st.DataObject
) -> None:
    """Stopped after any step and gone on from its state, as JSON has it, it says the same at the same steps."""
    rows = [values for values, times in runs for _ in range(times)]
    stop = data.draw(st.integers(0, len(rows)))
    straight = Health()
    expected = watch(straight, rows)
    before, after = Health(), Health()
    found = watch(before, rows[:stop])
    state = state_of(before, stop)
    check_state(state, Path("state.json"))
    after.restore(state["health"])  # type: ignore[arg-type]
    found += watch(after, rows[stop:], first=stop + 1)
    assert found == expected
    assert after.state() == straight.state()
    check_state(state_of(after, len(rows)), Path("state.json"))
    assert after.report() == straight.report()
    assert list(after.current.values()) == [finding for finding in after.findings if finding.until_step is None]


def test_the_state_stays_small_however_often_something_is_found() -> None:
    """Beyond a hundred findings the oldest that are over are forgotten, and the checkpoint stays valid."""
    health = Health()
    ill, well = [row(diversity=0.0)] * 70, [row()] * 70
    for number in range(130):
        watch(health, [*well, *ill], first=140 * number + 1)
    assert len(health.findings) == MOST_FINDINGS
    assert list(health.current) == ["collapse"]
    check_state(state_of(health, 140 * 130), Path("state.json"))


def test_going_back_keeps_what_was_found_as_over() -> None:
    """Given up at a step, open findings end there; the checkpoint's own stay as they were; nothing stands twice."""
    health = Health()
    watch(health, [row(diversity=0.0)] * 60)
    kept = json.loads(json.dumps(health.state()))
    watch(health, [row(real=0.2, fake=0.9, diversity=0.0)] * 100, first=61)
    health.not_finite(161)
    given_up = health.given_up(165)
    health.restore(kept)
    health.remember(given_up)
    found = [(finding.ailment, finding.since_step, finding.until_step) for finding in health.findings]
    since = found[1][1]
    assert found == [("collapse", 1, None), ("fooled", since, 165), ("not-finite", 161, 165)]
    assert list(health.current) == ["collapse"]


@pytest.mark.parametrize(
    "harm",
    [
        {"rows": 7},
        {"rows": -1},
        {"levels": {"diversity": "0.5"}},
        {"levels": {"diversity": float("inf")}},
        {"streaks": {"collapse": 4}},
        {"findings": [{"finding": "plague", "since_step": 1, "until_step": None, "value": 0.0}]},
        {"findings": [{"finding": "collapse", "since_step": 3, "until_step": 2, "value": 0.0}]},
        {"findings": [{"finding": "collapse", "since_step": 1, "until_step": None, "value": 0.0}] * 2},
        {"findings": [{"finding": "collapse", "since_step": 1, "until_step": 2, "value": 0.0}] * 101},
        {"findings": [{"finding": ["collapse"], "since_step": 1, "until_step": 2, "value": 0.0}]},
    ],
)
def test_an_impossible_state_is_refused(harm: dict[str, object]) -> None:
    """Counts beyond the step, unknown findings, two of a kind at once, and what is no number are CheckpointErrors."""
    health = Health()
    watch(health, [row()] * 3)
    state = state_of(health, 3)
    state["health"] = {**health.state(), **harm}
    with pytest.raises(CheckpointError, match="health is "):
        check_state(state, Path("state.json"))


def test_levels_of_another_kind_are_refused() -> None:
    """A state without the levels that are needed is no state of this ganforge."""
    state = Health().state()
    with pytest.raises(CheckpointError, match="other levels"):
        Health().restore({**state, "levels": {"mood": 1.0}})


FLAG = re.compile(r"--([a-z][a-z.-]*) ([\w.-]+)(?:,? (?:both )?of (ganforge-[a-z]+))?")


@pytest.mark.parametrize("ailment", MEANINGS)
def test_what_helps_exists(ailment: Ailment, registry: Registry) -> None:
    """Every flag that is advised is a setting, with a possible value; what is a plugin's, that plugin provides."""
    helps = MEANINGS[ailment].helps
    flags = [found.groups() for found in FLAG.finditer(helps)]
    assert len(flags) == helps.count("--") > 1
    several = re.findall(r"--\w+ ([\w-]+) or --\w+ ([\w-]+), both of (ganforge-\w+)", helps)
    owners = {name: plugin for *names, plugin in several for name in names} | {
        value: plugin for _, value, plugin in flags if plugin
    }
    for name, value, _ in flags:
        if value in owners:
            module = ROOT / "plugins" / owners[value] / owners[value].replace("-", "_") / "__init__.py"
            assert f'name="{value}"' in module.read_text()
        else:
            tiny(registry, "gen=mlp", "disc=mlp", f"{name.replace('-', '_')}={value}", "steps=1")


def test_every_ailment_has_words() -> None:
    """What is found is said with its number, in a line that names its steps, and in the keys that run.json promises."""
    assert set(SYMPTOMS) | {"not-finite"} == set(MEANINGS)
    for ailment in MEANINGS:
        finding = Finding(ailment, 12, None, 0.25)
        assert finding.news.startswith(f"{ailment} since step 12: {finding.words}. What helps: ")
        assert "0.25" in finding.words or ailment == "not-finite"
        assert "\n" not in finding.news
        assert list(finding.as_dict()) == ["finding", "since_step", "until_step", "words", "helps"]
        assert "was over at step 40" in Finding(ailment, 12, 40, 0.25).news

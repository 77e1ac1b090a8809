"""Metrics and extractors that do what they must not: each is named, and falsifies nothing of the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ganforge.errors import DataError, PluginError
from ganforge.evaluation import image_sets
from ganforge.evaluation.evaluator import Evaluation, Evaluator
from ganforge.evaluation.validation import check, check_pictures, plain, plain_scores
from ganforge.plugins.registry import Entry, Registry
from ganforge.training.build import GANComponents, build
from tests.helpers.evaluation_plugin import SOURCE
from tests.helpers.plugins import local
from tests.helpers.runs import tiny

SMALL = ("gen=mlp", "disc=mlp", "gen.mlp.hidden=[8]", "disc.mlp.hidden=[8]")
SPOILS = '''
import numpy

from ganforge import Generator


class Spoils(Shown):
    """Writes into what it is given, and may raise then."""

    class Options(Metric.Options):
        what: str = "features"
        source: str = "real"
        fails: bool = False
        through: str = "torch"

    higher_is_better = {"spoils": False}
    needs = frozenset({"features", "logits", "train"})

    def score(self, context):
        what, source = self.options.what, self.options.source
        tensors = {
            "features": lambda: [context.features(source).features],
            "logits": lambda: [context.features(source).logits],
            "batches": lambda: context.batches(source),
            "condition": lambda: [context.condition(source)],
        }[what]()
        for tensor in tensors:
            if self.options.through == "numpy":
                numpy.random.default_rng(0).shuffle(tensor.numpy())
            else:
                tensor.zero_()
        if self.options.fails:
            raise ValueError("and fails")
        return 0


class Conditional(Generator):
    """Images as bright as their class."""

    def __init__(self, options, image):
        super().__init__(options, image)
        self.weight = torch.nn.Parameter(torch.ones(1))

    @property
    def conditional(self):
        return True

    def forward(self, z, condition=None):
        brightness = condition.view(-1, 1, 1, 1) / 10 * self.weight
        return brightness.expand(-1, *self.image.shape) * z[:, :1, None, None].sigmoid()


class Careless(Rows):
    """Writes into the images that it describes."""

    def forward(self, images):
        found = super().forward(images)
        images.zero_()
        return found
'''
SAID = "metric 'spoils' (scoring.py local) changes the features it is given; it must work on copies"

Make = Callable[..., Evaluator]


@pytest.fixture
def judge(tmp_path: Path) -> Make:
    """Return what makes an evaluator with the tests' own metrics and extractors, and one that spoils images."""
    source = SOURCE.replace("@hookimpl", f"{SPOILS}\n\n@hookimpl").replace("(Gap, ", "(Spoils, Gap, ")
    source = source.replace(
        "    return [\n", '    return [Component(kind="generator", name="conditional", target=Conditional),\n'
    )
    plugin = local(tmp_path / "scoring.py", source.replace('{"rows": Rows', '{"careless": Careless, "rows": Rows'))

    def make(metric: str, *settings: str, features: str = "rows", **more: Any) -> Evaluator:
        registry = Registry.discover([plugin], no_plugins=True)
        gan = build(tiny(registry, *SMALL, f"metric={metric}", f"features={features}", *settings))
        return Evaluator(gan, num_samples=60, split="test", seed=1, weights="generator", **more)

    return make


def evaluated(judge: Evaluator) -> Evaluation:
    """Return the evaluation of the generator that was built with the evaluator."""
    assert isinstance(judge.scoring, GANComponents)
    return judge.evaluate(judge.scoring.generator, judge.scoring.latent)


@pytest.fixture
def entry(judge: Make) -> Entry:
    """Return a metric's entry."""
    return judge("gap").scoring.resolved.chosen["metric"][0].entry


@pytest.mark.parametrize(("fails", "through"), [("no", "torch"), ("yes", "torch"), ("no", "numpy")])
@pytest.mark.parametrize("source", ["real", "fake", "train"])
@pytest.mark.parametrize("what", ["features", "logits"])
def test_a_metric_that_writes_into_the_features_falsifies_no_score(
    what: str, source: str, fails: str, through: str, judge: Make
) -> None:
    """It is named; in a training it and those after it have no scores then, and the next evaluation is as ever."""
    settings = (
        f"metric.spoils.what={what}",
        f"metric.spoils.source={source}",
        f"metric.spoils.fails={fails}",
        f"metric.spoils.through={through}",
    )
    one = judge("spoils,gap", *settings, features="classes")
    with pytest.raises(PluginError) as caught:
        evaluated(one)
    said = caught.value.message
    assert said.startswith("metric 'spoils' (scoring.py local) cannot score" if fails == "yes" else SAID)

    heard: list[str] = []
    one = judge("gap,spoils,draws", *settings, features="classes", keep_going=True, notice=heard.append)
    expected = evaluated(judge("gap", features="classes"))
    for _ in range(2):
        heard.clear()
        found = evaluated(one)
        assert found.scores == {"gap": expected.scores["gap"], "spoils": None, "draws": None}
        assert heard == [
            f"{said}; its scores are left out",
            f"metric 'draws' (scoring.py local) is not computed: {SAID}; its scores are left out",
        ]
        assert set(found.reference.values()) == {None}


@pytest.mark.parametrize("kept", [0, 10**9])
@pytest.mark.parametrize("source", ["real", "fake", "train"])
@pytest.mark.parametrize("what", ["batches", "condition"])
def test_batches_and_conditions_are_copies(
    what: str, source: str, kept: int, judge: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A metric that writes into them changes no other metric's scores, nor the next evaluation's."""
    monkeypatch.setattr(image_sets, "MAX_KEPT_BYTES", kept)
    settings = (f"metric.spoils.what={what}", f"metric.spoils.source={source}")
    metrics = "copied,sliced-wasserstein,gap"
    conditional = ("gen=conditional",) if (what, source) == ("condition", "fake") else ()
    expected = evaluated(judge(metrics, *conditional, features="classes")).scores
    one = judge(f"spoils,{metrics}", *settings, *conditional, features="classes")
    for _ in range(2):
        found = evaluated(one)
        assert {name: value for name, value in found.scores.items() if name != "spoils"} == expected


def test_an_extractor_that_gives_no_tensor_is_named(judge: Make) -> None:
    """The extractor is named, and not the metric that uses it."""
    one = judge("gap", features="listed")
    with pytest.raises(PluginError, match=r"^features 'listed' .* returns features that are list, not a tensor"):
        evaluated(one)


def test_memorization_metrics_refuse_the_training_split(judge: Make) -> None:
    """A metric that compares with training images refuses the training split; the fix names the test split."""
    with pytest.raises(DataError, match="copied compares with real images that were not trained on") as caught:
        check(judge("copied").scoring, num_samples=10, split="train")
    assert caught.value.fix == "pass --split test"
    check(judge("copied").scoring, num_samples=10, split="test")


def test_an_extractor_may_write_into_what_it_is_given(judge: Make) -> None:
    """It works on a copy: the scores are those of one that does not."""
    found = [evaluated(one).scores for one in (judge("gap"), judge("gap", features="careless"))]
    assert found[0] == found[1]


def test_images_that_are_not_finite_have_no_score(judge: Make) -> None:
    """In a training, too: one notice, scores of None, and the reference all the same."""
    heard: list[str] = []
    one = judge("gap,draws", keep_going=True, notice=heard.append)
    assert isinstance(one.scoring, GANComponents)
    before = evaluated(one)
    with torch.no_grad():
        for weight in one.scoring.generator.parameters():
            weight.fill_(float("nan"))
    found = evaluated(one)
    assert found.scores == {"gap": None, "draws": None}
    assert found.reference == before.reference
    assert heard == ["the generator returns numbers that are not finite in evaluation mode: 60 of 60 images"]


def endless() -> list[Any]:
    """Return a list that holds itself."""
    found: list[Any] = []
    found.append(found)
    return found


def endless_table() -> dict[str, Any]:
    """Return a table that holds itself."""
    found: dict[str, Any] = {}
    found["inner"] = found
    return found


@pytest.mark.parametrize(
    ("details", "said"),
    [
        ({"list": endless()}, "details are nested more than 20 deep, or contain themselves"),
        (endless_table(), "details are nested more than 20 deep, or contain themselves"),
        ({"count": 2**63}, r"details\['count'\] is an integer of more than 64 bits"),
        ({"count": -(10**400)}, r"details\['count'\] is an integer of more than 64 bits"),
        ({"text": "\ud800"}, r"details\['text'\] is '.ud800', which is not Unicode text"),
        ({"\udfff": 1}, r"details has the key '.udfff'; its keys must be text"),
        ({"inner": {3: 1}}, r"details\['inner'\] has the key 3; its keys must be text"),
    ],
)
def test_details_that_no_file_can_hold_are_refused(details: dict[str, Any], said: str, entry: Entry) -> None:
    """The message names the metric, and where it is."""
    with pytest.raises(PluginError, match=rf"metric 'gap' \(scoring.py local\): {said}"):
        plain(details, entry, "details")


def test_details_that_a_file_can_hold_are_kept(entry: Entry) -> None:
    """Up to the largest integer, and any text."""
    details = {"largest": 2**63 - 1, "least": -(2**63), "text": "é😀", "list": [[[True, None, 0.5]]]}
    assert plain(details, entry, "details") == details


def test_a_score_beyond_all_floats_is_not_finite(entry: Entry) -> None:
    """An integer of 400 digits is None, as infinity is."""
    assert plain_scores({"gap": 10**400}, ["gap"], entry) == {"gap": None}


@pytest.mark.parametrize("value", [True, "1", None, torch.ones(2)])
def test_score_that_is_not_a_number_is_refused(value: object, entry: Entry) -> None:
    """Flags, texts and several numbers are not scores; a tensor of one number is."""
    assert plain_scores({"gap": torch.tensor([2.0])}, ["gap"], entry) == {"gap": 2.0}
    with pytest.raises(PluginError, match=rf"metric 'gap' .*: gap is {type(value).__name__}; a number is required"):
        plain_scores({"gap": value}, ["gap"], entry)


@pytest.mark.parametrize("name", ["Two Words", "../up", "", 3])
def test_names_of_pictures_that_no_file_can_have_are_refused(name: object, entry: Entry) -> None:
    """Names are lower-case letters and digits, joined by dashes."""
    with pytest.raises(PluginError, match=r"metric 'gap' .*: a picture's name is lower-case letters"):
        check_pictures({name: torch.zeros(1, 2, 2, dtype=torch.uint8)}, entry)


@pytest.mark.parametrize("shape", [(1, 0, 5), (3, 5, 0), (0, 5, 5), (2, 5, 5), (4, 5, 5)])
def test_pictures_that_no_file_can_hold_are_refused(shape: tuple[int, ...], entry: Entry) -> None:
    """Gray or color, and at least one pixel."""
    with pytest.raises(PluginError, match=r"metric 'gap' .*: picture 'it' is .*; 1 or 3 channels"):
        check_pictures({"it": torch.zeros(shape, dtype=torch.uint8)}, entry)

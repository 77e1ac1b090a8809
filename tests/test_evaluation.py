"""Scoring a generator: what metrics are given, what they may do, and what is refused before anything is drawn."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import tiny
from evaluation_parts import scoring_plugin
from torch import Tensor, nn

from ganforge.components import Generator, ImageSpec
from ganforge.components.sampling import draw_latents
from ganforge.errors import ConfigError, DataError, GanforgeError, IncompatibleError, PluginError
from ganforge.evaluation.evaluator import Evaluation, Evaluator
from ganforge.evaluation.validation import check, score_directions, scored_split
from ganforge.plugins.registry import Registry
from ganforge.training.build import GANComponents, build

SMALL = ("gen=mlp", "disc=mlp", "gen.mlp.hidden=[8]", "disc.mlp.hidden=[8]")
COUNT = 60

Assemble = Callable[..., GANComponents]


@pytest.fixture
def assemble_scored(tmp_path: Path) -> Assemble:
    """Build an gan on the sample that ships, with the tests' own metrics and extractors."""
    plugin = scoring_plugin(tmp_path)

    def make(metric: str, *settings: str, features: str = "rows") -> GANComponents:
        registry = Registry.discover([plugin], no_plugins=True)
        return build(tiny(registry, *SMALL, f"metric={metric}", f"features={features}", *settings))

    return make


def plugin_of(gan: GANComponents) -> Any:
    """Return the local plugin's module, which tells what its parts were asked."""
    return sys.modules[next(iter(gan.metrics.values())).__class__.__module__]


def evaluator(gan: GANComponents, **more: Any) -> Evaluator:
    """Return what scores on 60 images of the test split."""
    asked: dict[str, Any] = {"count": COUNT, "split": "test", "seed": 1, "weights": "generator"}
    return Evaluator(gan, **(asked | more))


def evaluated(gan: GANComponents, **more: Any) -> Evaluation:
    """Score the gan's own generator."""
    return evaluator(gan, **more).evaluate(gan.generator)


class Planted(Generator):
    """Give back images that are known already, uint8 `(N, C, H, W)`, in their order, whatever the latents."""

    def __init__(self, images: Tensor) -> None:
        shape = ImageSpec(*images.shape[1:])
        super().__init__(Generator.Options(), shape)
        self.weight = nn.Parameter(torch.zeros(1))
        self.images = images
        self.given = 0

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the next images, scaled to [-1, 1]."""
        assert not self.training
        self.given += len(z)
        return self.images[self.given - len(z) : self.given].float() / 127.5 - 1


def test_scores_do_not_depend_on_how_images_are_described(assemble_scored: Assemble) -> None:
    """One, seven or a thousand images at once give the same scores within 1e-6, and the same floor."""
    found = [evaluated(assemble_scored("gap"), batch=batch) for batch in (1, 7, 1000)]
    for other in found[1:]:
        assert other.scores == pytest.approx(found[0].scores, rel=1e-6)
        assert other.floor == pytest.approx(found[0].floor, rel=1e-6)


def test_the_seed_decides_the_score_and_the_company_does_not(assemble_scored: Assemble) -> None:
    """Scored again, in another order, among other metrics, it is the same to the bit; another seed gives another."""
    alone = evaluated(assemble_scored("draws"))
    again = evaluated(assemble_scored("gap,draws,bright", features="classes"))
    assert again.scores["draws"] == alone.scores["draws"]
    assert evaluated(assemble_scored("gap")).scores["gap"] == again.scores["gap"]
    assert evaluated(assemble_scored("draws"), seed=2).scores != alone.scores


def test_no_random_number_is_taken_from_anybody(assemble_scored: Assemble) -> None:
    """torch's, Python's and numpy's global generators are as before, though a metric draws from all of them."""

    def states() -> tuple[Any, ...]:
        numpy_state = np.random.get_state()  # noqa: NPY002 - the global one is what is meant
        return torch.get_rng_state().tolist(), random.getstate(), numpy_state[1].tolist()  # type: ignore[index]

    before = states()
    evaluated(assemble_scored("draws"))
    assert states() == before


def test_the_fakes_are_what_files_would_hold(assemble_scored: Assemble) -> None:
    """They are drawn in evaluation mode, rounded to bytes, and the generator goes on as it was."""
    gan = assemble_scored("copied", "gen=dcgan", "gen.dcgan.base_channels=2")
    gan.generator.train()  # batch norm would show it
    evaluated(gan)
    context = plugin_of(gan).seen["copied"]
    assert gan.generator.training
    assert context.real.dtype == context.fake.dtype == torch.uint8
    assert context.real.shape == context.fake.shape == (COUNT, 1, 28, 28)
    latents = draw_latents(gan.generator, COUNT, seed=1, stream="evaluation")
    one_by_one = torch.cat([gan.generator.eval()(latent[None]) for latent in latents])
    away = (context.fake.float() - (one_by_one.detach() + 1) * 127.5).abs()
    assert away.max() < 0.501


def test_training_images_in_the_place_of_fakes_score_at_the_floor(assemble_scored: Assemble) -> None:
    """A generator that gives the floor's images scores exactly the floor, which is near, and no lower than nothing."""
    gan = assemble_scored("gap,bright", features="classes")
    judge = evaluator(gan)
    images = judge.material.floor()
    assert images is not None
    found = judge.evaluate(Planted(images.pixels))
    assert found.scores == found.floor
    trained = evaluated(gan)
    assert trained.floor == found.floor
    assert trained.scores["gap"] > 5 * found.floor["gap"] > 0  # type: ignore[operator]
    perfect = judge.evaluate(Planted(judge.material.real.pixels))
    assert perfect.scores["gap"] == 0


def test_a_floor_is_of_training_images_that_are_not_among_the_real_ones(assemble_scored: Assemble) -> None:
    """Of the test split any will do; of the training split others; where there are too few, there is no floor."""
    gan = assemble_scored("gap")
    train = gan.images("train")
    assert train is not None
    known = {image.numpy().tobytes() for image in train.pixels}
    judge = evaluator(gan)
    floor = judge.material.floor()
    assert floor is not None
    assert {image.numpy().tobytes() for image in floor.pixels} <= known
    assert not {image.numpy().tobytes() for image in judge.material.real.pixels} <= known

    judge = evaluator(gan, split="train", count=4000)
    floor = judge.material.floor()
    assert floor is not None
    halves = [{image.numpy().tobytes() for image in half} for half in (floor.pixels, judge.material.real.pixels)]
    assert len(halves[0] & halves[1]) < 5  # two images of the sample may be equal

    judge = evaluator(gan, split="train", count=5001)
    found = judge.evaluate(gan.generator)
    assert found.floor == {"gap": None}
    assert found.scores["gap"] is not None
    said = "no floor: data 'mnist' has too few training images to put 5,001 in the place of the fakes"
    assert judge.why_no_floor == said


def test_what_is_known_is_not_computed_again(assemble_scored: Assemble) -> None:
    """Over a run's evaluations real images are described once, the floor is scored once, and fakes are held briefly."""
    gan = assemble_scored("gap,bright", features="classes")
    judge = evaluator(gan, batch=COUNT)
    plugin = plugin_of(gan)
    plugin.described.clear()
    plugin.computed.clear()
    one, two = (judge.evaluate(gan.generator) for _ in range(2))
    assert plugin.described == [COUNT] * 4  # real images, fakes, the floor's; and the second fakes
    assert plugin.computed == ["gap", "bright"] * 3
    assert one.floor == two.floor
    assert one.scores == two.scores
    assert judge._extraction is not None
    assert len(judge._extraction._kept) == 1


def test_a_metric_is_given_what_it_says_that_it_needs(assemble_scored: Assemble) -> None:
    """Training images go to who needs them, features to who says so: others are told what to write."""
    gan = assemble_scored("gap,copied")
    found = evaluated(gan)
    seen = plugin_of(gan).seen
    assert seen["gap"].train is None
    assert len(seen["copied"].train) == gan.info.sizes["train"]
    assert "copied" not in found.floor
    assert found.protocol["train_images"] == gan.info.sizes["train"]
    train = gan.images("train")
    assert train is not None
    assert evaluator(gan).evaluate(Planted(train.pixels)).scores["copied"] == 1
    with pytest.raises(PluginError, match=r"'secret' \(scoring.py local\) asks for features; it must say so"):
        evaluated(assemble_scored("gap,secret"))


def test_images_are_described_in_float32(assemble_scored: Assemble) -> None:
    """Autocast, which a training may be within, changes no score."""
    expected = evaluated(assemble_scored("gap"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert evaluated(assemble_scored("gap")).scores == expected.scores
        assert torch.is_autocast_enabled("cpu")


def test_details_and_pictures_are_kept_as_files_can_hold_them(assemble_scored: Assemble) -> None:
    """Numbers that are not finite become None, in scores too; pictures are uint8; the floor leaves none of its own."""
    gan = assemble_scored("gap,infinite")
    found = evaluated(gan)
    assert found.details["gap"]["deviation"] == 0.25
    assert found.details["gap"]["none"] is None
    assert found.scores["infinite"] is None
    assert found.floor["infinite"] is None
    assert found.pictures.keys() == {"first"}
    assert evaluator(gan).evaluate(gan.generator).pictures["first"].shape == (1, 28, 28)
    assert score_directions(gan) == {"gap": "lower", "infinite": "lower"}
    assert found.seconds > 0


@pytest.mark.parametrize(
    ("metric", "settings", "said"),
    [
        ("raises", (), r"metric 'raises' \(scoring.py local\) cannot score 60 images: RuntimeError: cannot count"),
        ("exits", (), r"metric 'exits' \(scoring.py local\) cannot score 60 images: SystemExit: 3"),
        (
            "telling",
            (),
            r"metric 'telling' \(scoring.py local\): details\['telling'\]\['tensor'\] is Tensor, which JSON",
        ),
        ("telling", ("metric.telling.what=score",), r"metric 'telling' .* gives told; it declares telling"),
        ("telling", ("metric.telling.what=text",), r"metric 'telling' .*: telling is str; a number is needed"),
        ("telling", ("metric.telling.what=picture",), r"picture 'telling' is torch.float32 \(1, 28, 28\); a tensor"),
        ("telling", ("metric.telling.what=name",), r"a picture's name is lower-case .*, not '../telling'"),
    ],
)
def test_a_metric_that_fails_is_named(
    metric: str, settings: tuple[str, ...], said: str, assemble_scored: Assemble
) -> None:
    """It ends an evaluation with its name; within a training its scores are left out, and the others are there."""
    with pytest.raises(PluginError, match=said):
        evaluated(assemble_scored(metric, *settings))
    heard: list[str] = []
    found = evaluated(assemble_scored(f"{metric},gap", *settings), keep_going=True, notice=heard.append)
    assert found.scores[metric] is None
    assert found.scores["gap"] is not None
    assert found.details[metric].keys() == {"error"}
    assert heard
    assert all(line.endswith("; its scores are left out") for line in heard)


@pytest.mark.parametrize(
    ("features", "said"),
    [
        ("broken", r"features 'broken' \(scoring.py local\) cannot describe 60 images: ValueError: no eyes"),
        ("misshapen", r"features 'misshapen' .* gives features of shape \(60, 27\) for 60 images; \(60, 28\) is due"),
    ],
)
def test_an_extractor_that_fails_is_named(features: str, said: str, assemble_scored: Assemble) -> None:
    """The metric that asked it is not blamed."""
    with pytest.raises(PluginError, match=said):
        evaluated(assemble_scored("gap", features=features))


@pytest.mark.parametrize(
    ("metric", "features", "count", "error", "said"),
    [
        ("gap", "rows", 2001, DataError, r"2,001 images needs .*; data 'mnist' has 2,000 in its test split"),
        (
            "bright",
            "rows",
            60,
            IncompatibleError,
            r"'bright' needs a feature extractor that tells classes apart.*'rows'",
        ),
        ("many", "rows", 60, DataError, "many needs 100 images, not 60, for 28 features"),
        ("draws,sliced-wasserstein", "rows", 60, None, ""),
        ("many", "rows", 100, None, ""),
    ],
)
def test_what_gives_no_score_is_refused_before_anything_is_drawn(
    metric: str, features: str, count: int, error: type[GanforgeError] | None, said: str, assemble_scored: Assemble
) -> None:
    """A count above the split's, features without classes, too few images for a metric: one message, and the fix."""
    gan = assemble_scored(metric, features=features)
    if error is None:
        check(gan, count=count, split="test", option="--samples")
        return
    with pytest.raises(error, match=said) as caught:
        check(gan, count=count, split="test", option="--samples")
    fixes = {DataError: "pass --samples 2000 or less", IncompatibleError: "--features digits"}
    assert caught.value.fix is None or fixes[error] in caught.value.fix
    assert plugin_of(gan).seen == {}


def test_two_metrics_must_not_give_one_score(tmp_path: Path) -> None:
    """A plugin's `sliced-wasserstein` beside the built-in one is refused with both names."""
    plugin = scoring_plugin(tmp_path)
    plugin.write_text(plugin.read_text().replace('better = {"gap"', 'better = {"sliced-wasserstein"'))
    registry = Registry.discover([plugin], no_plugins=True)
    gan = build(tiny(registry, *SMALL, "metric=gap,sliced-wasserstein", "features=rows"))
    with pytest.raises(ConfigError, match="two of the metrics gap, sliced-wasserstein give a score of the same name"):
        check(gan, count=60, split="test", option="--samples")


def test_the_split_is_the_test_split_where_there_is_one(assemble_scored: Assemble) -> None:
    """One that the data does not have is refused with those that it has."""
    gan = assemble_scored("gap")
    assert scored_split(gan) == "test"
    assert scored_split(gan, "train") == "train"
    del gan.info.sizes["test"]
    assert scored_split(gan) == "train"
    with pytest.raises(DataError, match="data 'mnist' has no test split; it has train"):
        scored_split(gan, "test")

"""Evaluation of generators: inputs of metrics, their isolation, and checks before any image is generated."""

from __future__ import annotations

import dataclasses
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ganforge.components import Generator, ImageSpec, Split
from ganforge.components.sampling import draw_latents
from ganforge.errors import ConfigError, DataError, GanforgeError, IncompatibleError, PluginError, TooFewImagesError
from ganforge.evaluation import extraction, image_sets
from ganforge.evaluation.evaluator import Evaluation, Evaluator
from ganforge.evaluation.validation import check, score_directions, scored_split
from ganforge.plugins.registry import Registry
from ganforge.training.build import GANComponents, build
from tests.helpers.evaluation_plugin import scoring_plugin
from tests.helpers.runs import tiny

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
    """Return the local plugin's module, which records the calls of its parts."""
    return sys.modules[next(iter(gan.metrics.values())).__class__.__module__]


def evaluator(gan: GANComponents, **more: Any) -> Evaluator:
    """Return an evaluator on 60 images of the test split."""
    arguments: dict[str, Any] = {"num_samples": COUNT, "split": "test", "seed": 1, "weights": "generator"}
    return Evaluator(gan, **(arguments | more))


def evaluated(gan: GANComponents, **more: Any) -> Evaluation:
    """Score the components' own generator."""
    return evaluator(gan, **more).evaluate(gan.generator, gan.latent)


def images_at(gan: GANComponents, split: Split, indices: Tensor | None) -> Tensor:
    """Return images of a split, `(N, C, H, W)` uint8."""
    images = gan.images(split)
    assert images is not None
    assert indices is not None
    return images.images[indices]


class Planted(Generator):
    """Generator of known images, uint8 `(N, C, H, W)`, in their order, whatever the latents."""

    def __init__(self, images: Tensor) -> None:
        shape = ImageSpec(*images.shape[1:])
        super().__init__(Generator.Options(), shape)
        self.weight = nn.Parameter(torch.zeros(1))
        self.images = images
        self.given = 0

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the next images, scaled to [-1, 1]."""
        assert not self.training
        self.given += len(z)
        return self.images[self.given - len(z) : self.given].float() / 127.5 - 1


def test_scores_do_not_depend_on_how_images_are_described(assemble_scored: Assemble) -> None:
    """One, seven or a thousand images at once give the same scores within 1e-6, and the same reference."""
    found = [evaluated(assemble_scored("gap"), batch_size=size) for size in (1, 7, 1000)]
    for other in found[1:]:
        assert other.scores == pytest.approx(found[0].scores, rel=1e-6)
        assert other.reference == pytest.approx(found[0].reference, rel=1e-6)


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
    """They are drawn in evaluation mode, rounded to bytes, and the generator is unchanged."""
    gan = assemble_scored("copied", "gen=dcgan", "gen.dcgan.base_channels=2")
    gan.generator.train()  # batch norm would show it
    evaluated(gan)
    context = plugin_of(gan).seen["copied"]
    real, fake = (torch.cat(list(context.batches(source))) for source in ("real", "fake"))
    assert gan.generator.training
    assert real.dtype == fake.dtype == torch.uint8
    assert real.shape == fake.shape == (COUNT, 1, 28, 28)
    latents = draw_latents(gan.latent, gan.generator, COUNT, seed=1, stream="evaluation")
    one_by_one = torch.cat([gan.generator.eval()(latent[None]) for latent in latents])
    away = (fake.float() - (one_by_one.detach() + 1) * 127.5).abs()
    assert away.max() < 0.501


def test_training_images_in_place_of_fakes_score_the_reference(assemble_scored: Assemble) -> None:
    """A generator of the reference images scores exactly the reference, which is near but above 0."""
    gan = assemble_scored("gap,bright", features="classes")
    judge = evaluator(gan)
    found = judge.evaluate(Planted(images_at(gan, "train", judge.selection.reference)), gan.latent)
    assert found.scores == found.reference
    trained = evaluated(gan)
    assert trained.reference == found.reference
    assert trained.scores["gap"] > 5 * found.reference["gap"] > 0  # type: ignore[operator]
    perfect = judge.evaluate(Planted(images_at(gan, "test", judge.selection.real)), gan.latent)
    assert perfect.scores["gap"] == 0


def test_reference_images_are_not_among_the_real_ones(assemble_scored: Assemble) -> None:
    """With the test split they are any training images; with the training split, others; None if too few."""
    gan = assemble_scored("gap")
    judge = evaluator(gan)
    reference = judge.selection.reference
    assert reference is not None
    assert len(set(reference.tolist())) == COUNT
    assert int(reference.max()) < gan.info.sizes["train"]

    judge = evaluator(gan, split="train", num_samples=4000)
    reference = judge.selection.reference
    assert reference is not None
    assert not set(reference.tolist()) & set(judge.selection.real.tolist())

    notices: list[str] = []
    judge = evaluator(gan, split="train", num_samples=5001, notice=notices.append)
    found = judge.evaluate(gan.generator, gan.latent)
    assert found.reference == {"gap": None}
    assert found.scores["gap"] is not None
    expected = "no reference scores: data 'mnist' has too few training images to put 5,001 in place of the fakes"
    assert notices == [expected]


def test_features_of_real_images_are_extracted_once(assemble_scored: Assemble) -> None:
    """Over a run's evaluations real images are described once and the reference is scored once; stages are reported."""
    gan = assemble_scored("gap,bright", features="classes")
    stages: list[str] = []
    judge = evaluator(gan, batch_size=COUNT, progress=stages.append)
    plugin = plugin_of(gan)
    plugin.described.clear()
    plugin.computed.clear()
    one, two = (judge.evaluate(gan.generator, gan.latent) for _ in range(2))
    assert plugin.described == [COUNT] * 4  # real images, fakes, reference; and the second fakes
    assert plugin.computed == ["gap", "bright"] * 3
    once = ["reading 60 real images", "generating 60 fakes", "gap", "bright"]
    assert stages == [*once, "reference: gap", "reference: bright", *once]
    assert one.reference == two.reference
    assert one.scores == two.scores


def test_dataset_that_makes_no_pictures_is_named(assemble_scored: Assemble, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another result of `to_pixels` than a tensor is the dataset's error."""
    gan = assemble_scored("gap")
    monkeypatch.setattr(type(gan.dataset), "to_pixels", lambda _, images: images.tolist())
    with pytest.raises(PluginError, match=r"'mnist' .* cannot make pictures of images: .*list"):
        gan.pictures(torch.zeros(1, 1, 28, 28))


@pytest.mark.parametrize(("pixels", "size"), [(7 * 28 * 28 + 5, 7), (5, 1)])
def test_an_extractor_gets_few_pixels_at_once(
    pixels: int, size: int, assemble_scored: Assemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images of any size are described, as many at once as the limit of pixels permits, or one."""
    monkeypatch.setattr(extraction, "MAX_BATCH_PIXELS", pixels)
    gan = assemble_scored("gap")
    plugin_of(gan).described.clear()
    evaluated(gan, num_samples=9)
    assert max(plugin_of(gan).described) == size


@pytest.mark.parametrize("kept", [0, 10**9])
def test_fakes_are_the_same_at_every_pass(
    kept: int, assemble_scored: Assemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kept in memory or generated again they have the same pixels, though the generator draws noise."""
    monkeypatch.setattr(image_sets, "MAX_KEPT_BYTES", kept)
    gan = assemble_scored("sees")
    noisy = Noisy(gan.generator.options, gan.info.image)
    evaluator(gan, batch_size=13).evaluate(noisy, gan.latent)
    context = plugin_of(gan).seen["sees"]
    one, two = (torch.cat(list(context.batches("fake"))) for _ in range(2))
    assert torch.equal(one, two)
    assert len({image.numpy().tobytes() for image in one}) == COUNT
    assert noisy.calls == 0  # a copy was sampled
    rows = one.float().div(255).mean(3).squeeze(1)
    torch.testing.assert_close(context.features("fake").features, rows)


class Noisy(Generator):
    """Generator of nothing but noise from torch's default generator."""

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.weight = nn.Parameter(torch.zeros(1))
        self.calls = 0

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return noise."""
        self.calls += 1
        return torch.rand(len(z), *self.image.shape) * 2 - 1


def test_pixels_are_never_all_in_memory(assemble_scored: Assemble, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dataset and the generator yield a batch at a time, for every source and every pass."""
    gan = assemble_scored("gap,copied")
    sizes: list[int] = []
    take = type(gan).take

    def counted(self: Any, split: Split, indices: Any, stream: str) -> Any:
        sizes.append(len(indices))
        return take(self, split, indices, stream)

    monkeypatch.setattr(type(gan), "take", counted)
    evaluated(gan, batch_size=25)
    assert max(sizes) == 25
    everything = 2 * COUNT + gan.info.sizes["train"]  # real, reference and training images
    assert sum(sizes) == everything + gan.info.sizes["train"] + 25  # and pixels of training images, of a reference


def test_a_metric_gets_what_it_declares(assemble_scored: Assemble) -> None:
    """Training images, features and the generator go to metrics that declare them; others get an error with the fix."""
    gan = assemble_scored("gap,copied,sees")
    found = evaluated(gan)
    seen = plugin_of(gan).seen
    assert seen["gap"].num_train == 0
    assert seen["gap"].generator is None
    assert seen["gap"].latent is None
    with pytest.raises(PluginError, match=r"'gap' \(scoring.py local\) reads 'train' but does not declare it"):
        next(seen["gap"].batches("train"))
    assert seen["copied"].num_train == gan.info.sizes["train"]
    assert found.reference.keys() == {"gap"}
    assert found.protocol.train_images == gan.info.sizes["train"]
    copies = images_at(gan, "train", torch.arange(COUNT))
    assert evaluator(assemble_scored("copied")).evaluate(Planted(copies), gan.latent).scores["copied"] == 1
    with pytest.raises(PluginError, match=r"'secret' \(scoring.py local\) reads 'features' but does not declare it"):
        evaluated(assemble_scored("gap,secret"))


def test_a_metric_has_a_generator_of_its_own(assemble_scored: Assemble) -> None:
    """Changes of the generator by a metric reach neither the training nor the fakes of other metrics."""
    alone, gan = evaluated(assemble_scored("gap")), assemble_scored("sees,gap")
    before = [weight.clone() for weight in gan.generator.parameters()]
    found = [evaluated(gan) for _ in range(2)]
    assert found[0].scores == found[1].scores
    assert found[0].scores["gap"] == alone.scores["gap"]
    assert all(map(torch.equal, before, gan.generator.parameters()))


def test_images_are_described_in_float32(assemble_scored: Assemble) -> None:
    """Autocast, which a training may be within, changes no score."""
    expected = evaluated(assemble_scored("gap"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert evaluated(assemble_scored("gap")).scores == expected.scores
        assert torch.is_autocast_enabled("cpu")


def test_details_and_pictures_are_kept_as_files_can_hold_them(assemble_scored: Assemble) -> None:
    """Numbers that are not finite become None, in scores too; pictures are uint8; the reference leaves none."""
    gan = assemble_scored("gap,infinite")
    notices: list[str] = []
    found = evaluated(gan, notice=notices.append)
    entry = "metric 'infinite' (scoring.py local)"
    assert notices == [f"{entry}: infinite is not finite", f"reference: {entry}: infinite is not finite"]
    assert found.details["gap"]["deviation"] == 0.25
    assert found.details["gap"]["none"] is None
    assert found.scores["infinite"] is None
    assert found.reference["infinite"] is None
    assert found.pictures.keys() == {"first"}
    assert found.pictures["first"].shape == (1, 28, 28)
    assert score_directions(gan) == {"gap": False, "infinite": False}
    assert found.seconds > 0


@pytest.mark.parametrize(
    ("metric", "settings", "said"),
    [
        ("raises", (), r"metric 'raises' \(scoring.py local\) cannot score 60 images: RuntimeError: cannot count"),
        ("exits", (), r"metric 'exits' \(scoring.py local\) cannot score 60 images: SystemExit: 3"),
        (
            "telling",
            (),
            r"metric 'telling' \(scoring.py local\): details\['tensor'\] is Tensor, which JSON",
        ),
        ("telling", ("metric.telling.what=score",), r"metric 'telling' .* returns told; it declares telling"),
        ("telling", ("metric.telling.what=text",), r"metric 'telling' .*: telling is str; a number is required"),
        ("telling", ("metric.telling.what=picture",), r"picture 'telling' is torch.float32 \(1, 28, 28\); a tensor"),
        (
            "telling",
            ("metric.telling.what=type",),
            r"metric 'telling' .* returns dict; MetricResult\(scores\) is required",
        ),
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
        ("broken", r"features 'broken' \(scoring.py local\) cannot extract features of 60 images: ValueError: no eyes"),
        ("misshapen", r"features 'misshapen' .* returns features of shape \(60, 27\); \(60, 28\) is required"),
    ],
)
def test_an_extractor_that_fails_is_named(features: str, said: str, assemble_scored: Assemble) -> None:
    """The metric that needs it is not blamed."""
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
            r"'bright' needs a feature extractor that is a classifier.*'rows'",
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
        check(gan, num_samples=count, split="test")
        return
    with pytest.raises(error, match=said) as caught:
        check(gan, num_samples=count, split="test")
    fixes: dict[type[GanforgeError], str] = {
        DataError: "pass --num-samples 2000 or less",
        IncompatibleError: "--features digits",
    }
    assert caught.value.fix is None or fixes[error] in caught.value.fix
    assert plugin_of(gan).seen == {}


def test_metric_that_needs_more_images_than_the_data_have_is_the_first_error(assemble_scored: Assemble) -> None:
    """No fix leads to the next error: fewer images than the split has would be too few for this metric."""
    gan = assemble_scored("fid", features="random-convolutions")
    cast("dict[str, int]", gan.info.sizes)["test"] = 61
    with pytest.raises(TooFewImagesError, match="97 images or more, real ones and fakes each, not 61") as caught:
        check(gan, num_samples=1000, split="test")
    assert caught.value.fix == "choose other metrics: data 'mnist' has 61 images in its test split"


def test_two_metrics_must_not_give_one_score(tmp_path: Path) -> None:
    """A plugin's `sliced-wasserstein` next to the built-in one is refused with both names."""
    plugin = scoring_plugin(tmp_path)
    plugin.write_text(plugin.read_text().replace('better = {"gap"', 'better = {"sliced-wasserstein"'))
    registry = Registry.discover([plugin], no_plugins=True)
    gan = build(tiny(registry, *SMALL, "metric=gap,sliced-wasserstein", "features=rows"))
    with pytest.raises(ConfigError, match="two of the metrics gap, sliced-wasserstein give a score of the same name"):
        check(gan, num_samples=60, split="test")


def test_the_split_is_the_test_split_where_there_is_one(assemble_scored: Assemble) -> None:
    """One that the data does not have is refused with those that it has."""
    gan = assemble_scored("gap")
    assert scored_split(gan) == "test"
    assert scored_split(gan, "train") == "train"
    gan.info = dataclasses.replace(gan.info, sizes={"train": gan.info.sizes["train"]})
    assert scored_split(gan) == "train"
    with pytest.raises(DataError, match="data 'mnist' has no test split; it has train"):
        scored_split(gan, "test")

"""Protocols: differences that matter for a score are found and named, and no others."""

from __future__ import annotations

import copy
import hashlib
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from ganforge.config import command_line_layer
from ganforge.config.resolve import resolve
from ganforge.evaluation.comparability import bounds, diff
from ganforge.evaluation.evaluator import Evaluator
from ganforge.evaluation.image_sets import ImageSelection
from ganforge.plugins.registry import Registry
from ganforge.schemas.rows import Protocol
from ganforge.training.build import GANComponents, build
from ganforge.utils.code import code_sha256
from tests.helpers.evaluation_plugin import scoring_plugin
from tests.helpers.image_folders import save
from tests.helpers.runs import tiny

SMALL = ("gen=mlp", "disc=mlp", "gen.hidden=[8]", "disc.hidden=[8]")

EXAMPLE: dict[str, Any] = {
    "data": "mnist",
    "fingerprint": "a" * 64,
    "split": "test",
    "real_images": 10_000,
    "fake_images": 10_000,
    "train_images": 60_000,
    "train_fingerprint": "b" * 64,
    "features": {
        "name": "digits",
        "distribution": "ganforge",
        "options": {"layer": "last"},
        "weights": "c" * 64,
        "preprocessing": "none",
        "source": "d" * 64,
    },
    "metrics": {
        "fid": {"distribution": "ganforge", "options": {}, "higher_is_better": {"fid": False}, "needs": ["features"]},
        "kid": {
            "distribution": "ganforge",
            "options": {"subsets": 100},
            "higher_is_better": {"kid": False},
            "needs": ["features"],
        },
        "modes": {
            "distribution": "ganforge",
            "options": {},
            "higher_is_better": {"modes": True, "modes-divergence": False},
            "needs": ["logits"],
        },
        "data-copying": {
            "distribution": "ganforge",
            "options": {},
            "higher_is_better": {"data-copying": True, "copies": False},
            "needs": ["features", "train"],
        },
        "sliced-wasserstein": {
            "distribution": "ganforge",
            "options": {"directions": 512},
            "higher_is_better": {"sliced-wasserstein": False},
            "needs": [],
        },
    },
    "sampling": {"truncation": 0.7},
    "latent": {"name": "normal", "distribution": "ganforge", "options": {}},
    "weights": "generator",
    "checkpoint": "d" * 64,
    "seed": 0,
    "versions": {"ganforge": "0.1.0", "torch": "2.10.0"},
}


def changed(path: str, value: object) -> dict[str, Any]:
    """Return the example with one thing otherwise; `path` has slashes between keys."""
    protocol = copy.deepcopy(EXAMPLE)
    *tables, key = path.split("/")
    place = protocol
    for table in tables:
        place = place[table]
    place[key] = value
    return protocol


@pytest.mark.parametrize(
    ("path", "value", "score", "said"),
    [
        ("data", "fashion-mnist", "fid", "data: mnist, fashion-mnist"),
        ("fingerprint", "e" * 64, "fid", "images of the data (fingerprint): aaaaaaaaaaaa, eeeeeeeeeeee"),
        ("split", "train", "sliced-wasserstein", "split: test, train"),
        ("real_images", 2000, "kid", "real images: 10,000, 2,000"),
        ("fake_images", 2000, "modes", "fakes: 10,000, 2,000"),
        ("train_images", 10_000, "copies", "training images: 60,000, 10,000"),
        ("train_fingerprint", None, "copies", "training images (fingerprint): bbbbbbbbbbbb, unknown"),
        ("features/name", "inception", "fid", "features: digits, inception"),
        ("features/distribution", "other", "fid", "features from: ganforge, other"),
        ("features/options", {"layer": "first"}, "kid", "options of the features, layer: last, first"),
        ("features/weights", "e" * 64, "modes", "weights of the features (SHA-256): cccccccccccc, eeeeeeeeeeee"),
        ("features/source", "e" * 64, "fid", "code of the features (SHA-256): dddddddddddd, eeeeeeeeeeee"),
        ("metrics/kid/source", "e" * 64, "kid", "code of kid (SHA-256): unknown, eeeeeeeeeeee"),
        ("features/preprocessing", "resized", "data-copying", "preprocessing: none, resized"),
        ("features", None, "fid", "features: digits, unknown"),
        ("metrics/kid/options", {"subsets": 50}, "kid", "options of kid, subsets: 100, 50"),
        ("metrics/kid/distribution", "mine", "kid", "kid from: ganforge, mine"),
        ("metrics/kid/higher_is_better", {"kid": True}, "kid", "higher_is_better of kid: False, True"),
        ("metrics/modes/needs", ["features"], "modes", "inputs of modes: ['logits'], ['features']"),
        ("metrics", {}, "kid", "one protocol has no metric that gives kid"),
        ("sampling", {"truncation": 1.0}, "fid", "sampling options, truncation: 0.7, 1.0"),
        ("sampling", {}, "sliced-wasserstein", "sampling options, truncation: 0.7, unknown"),
    ],
)
def test_what_matters_is_noticed_and_named(path: str, value: object, score: str, said: str) -> None:
    """One difference that a score depends on is named as text, with both values."""
    example, other = Protocol(**EXAMPLE), Protocol(**changed(path, value))
    assert said in diff(example, other, score)
    swapped = diff(other, example, score)
    assert len(swapped) == len(diff(example, other, score))


@pytest.mark.parametrize(
    ("path", "value", "score"),
    [
        ("seed", 7, "fid"),
        ("checkpoint", "e" * 64, "fid"),
        ("weights", "generator_ema", "fid"),
        ("latent", {"name": "uniform", "distribution": "ganforge", "options": {}}, "fid"),
        ("versions", {"ganforge": "0.2.0", "torch": "3.0"}, "fid"),
        ("features/name", "inception", "sliced-wasserstein"),
        ("features/weights", "e" * 64, "sliced-wasserstein"),
        ("features", None, "sliced-wasserstein"),
        ("features/options", {"layer": "last", "weights": "/somewhere/else"}, "fid"),
        ("metrics/kid/options", {"subsets": 50}, "fid"),
        ("train_images", 10_000, "fid"),
        ("train_fingerprint", "e" * 64, "modes-divergence"),
    ],
)
def test_what_does_not_matter_is_not_noticed(path: str, value: object, score: str) -> None:
    """The generator, versions, other metrics' options, and features for a score that needs none: comparable."""
    example = Protocol(**EXAMPLE)
    assert diff(example, Protocol(**changed(path, value)), score) == []
    assert diff(example, example, score) == []


def test_protocols_without_a_metric_of_the_score_are_not_comparable() -> None:
    """The message counts them."""
    example, empty = Protocol(**EXAMPLE), Protocol(**changed("metrics", {}))
    assert diff(empty, example, "fid") == ["one protocol has no metric that gives fid"]
    assert diff(empty, empty, "fid") == ["both protocols have no metric that gives fid"]


@pytest.mark.parametrize("key", [key for key in EXAMPLE if not key.startswith("train_")])
def test_protocol_without_an_entry_is_refused(key: str) -> None:
    """Each entry is required, and an unknown one is refused."""
    with pytest.raises(ValidationError, match=key):
        Protocol(**{name: value for name, value in EXAMPLE.items() if name != key})
    with pytest.raises(ValidationError, match="extra_forbidden"):
        Protocol(**EXAMPLE | {"more": 1})


@pytest.fixture
def assembled(tmp_path: Path) -> Callable[..., GANComponents]:
    """Build an gan on the sample that ships, with the tests' own metrics and extractors."""
    registry = Registry.discover([scoring_plugin(tmp_path)], no_plugins=True)
    return lambda *settings: build(tiny(registry, *SMALL, *settings))


def stamped(gan: GANComponents, seed: int = 0, count: int = 20) -> Protocol:
    """Return the protocol that an evaluation of the gan's generator gives."""
    evaluator = Evaluator(gan, num_samples=count, split="test", seed=seed, weights="generator")
    return evaluator.evaluate(gan.generator, gan.latent).protocol


def test_a_protocol_has_everything_that_scores_depend_on(assembled: Callable[..., GANComponents]) -> None:
    """Every key of the contract, hashes of the weights that were really used, and no features if metrics need none."""
    gan = assembled("metric=gap,telling", "metric.telling.what=none", "features=classes")
    found = stamped(gan).model_dump()
    test = gan.images("test")
    assert test is not None
    assert (found["data"], found["fingerprint"], found["split"]) == ("mnist", test.fingerprint(), "test")
    assert (found["real_images"], found["fake_images"], found["seed"]) == (20, 20, 0)
    extractor = gan.extractor()
    assert found["features"] == {
        "name": "classes",
        "distribution": "scoring.py",
        "options": {},
        "weights": extractor.fingerprint(),
        "preprocessing": "none",
        "source": code_sha256(type(extractor)),
    }
    assert found["metrics"] == {
        "gap": {
            "distribution": "scoring.py",
            "options": {},
            "higher_is_better": {"gap": False},
            "needs": ["features"],
            "source": code_sha256(type(gan.metrics["gap"])),
            "bounds": {},
        },
        "telling": {
            "distribution": "scoring.py",
            "options": {"what": "none"},
            "higher_is_better": {"telling": False},
            "needs": [],
            "source": code_sha256(type(gan.metrics["telling"])),
            "bounds": {},
        },
    }
    assert found["sampling"] == {}
    assert found["latent"] == {"name": "normal", "distribution": "ganforge", "options": {}}
    digest = hashlib.sha256()
    for name, value in sorted(gan.generator.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode() + value.numpy().tobytes())
    assert found["checkpoint"] == digest.hexdigest()
    assert found["versions"].keys() == {"ganforge", "torch", "scoring.py"}
    assert stamped(assembled("metric=sliced-wasserstein")).features is None


def test_two_generators_are_comparable_and_two_ways_of_measuring_are_not(
    assembled: Callable[..., GANComponents],
) -> None:
    """Other weights and seeds change nothing but the checkpoint's hash; another count or extractor is named."""
    gan = assembled("metric=gap", "features=rows")
    one = stamped(gan)
    with torch.no_grad():
        next(gan.generator.parameters()).add_(1)
    other = stamped(gan, seed=3)
    assert one.checkpoint != other.checkpoint
    assert diff(one, other, "gap") == []
    assert diff(one, stamped(gan, count=30), "gap") == ["real images: 20, 30", "fakes: 20, 30"]
    elsewhere = stamped(assembled("metric=gap", "features=classes"))
    assert diff(one, elsewhere, "gap")[0] == "features: rows, classes"


@pytest.mark.parametrize(
    ("old", "new", "score"),
    [("images.float().div(255)", "images.float().div(127.5)", "gap"), ("brightness - 30", "brightness - 31", None)],
)
def test_edited_code_of_an_extractor_separates_its_scores(
    old: str, new: str, score: str | None, tmp_path: Path
) -> None:
    """The same name, options, preprocessing and weights, but other code: not comparable; other code of the file is."""
    protocols = []
    for edited in (False, True):
        plugin = scoring_plugin(tmp_path)
        if edited:
            source = plugin.read_text()
            assert source.count(old) >= 1
            plugin.write_text(source.replace(old, new))
        registry = Registry.discover([plugin], no_plugins=True)
        protocols.append(stamped(build(tiny(registry, *SMALL, "metric=gap", "features=rows"))))
    one, other = protocols
    lines = diff(one, other, "gap")
    assert [line.partition(":")[0] for line in lines] == ([] if score is None else ["code of the features (SHA-256)"])


def test_a_changed_test_picture_changes_the_fingerprint_of_streamed_data(tmp_path: Path) -> None:
    """A picture of the scored split is replaced by one of the same name, size in bytes and time."""
    for split in ("train", "test"):
        for number in range(8):
            save(tmp_path / split / f"{number}.bmp", 20 * number)
    data = ("data=folder", f"data.path={tmp_path}", "data.stream=yes", "batch_size=4")
    registry = Registry.discover(no_plugins=True)

    def fingerprint() -> str:
        gan = build(resolve([command_line_layer([*SMALL, *data])], registry))
        return ImageSelection(scoring=gan, num_samples=4, split="test", seed=0).fingerprint

    before, changed = fingerprint(), tmp_path / "test" / "5.bmp"
    facts = changed.stat()
    assert fingerprint() == before
    save(changed, 255)
    os.utime(changed, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert changed.stat().st_size == facts.st_size
    assert fingerprint() != before


def test_bounds_of_the_features_classes_are_in_the_protocol(assembled: Callable[..., GANComponents]) -> None:
    """A count of classes has the number of classes as its upper bound."""
    found = stamped(assembled("metric=modes,kid", "metric.kid.subset_size=5", "features=classes"))
    assert bounds(found, "modes") == (0, 2)
    assert bounds(found, "kid") == (-math.inf, math.inf)

"""`ganforge evaluate --save-reference` and `--reference`: features of real images in place of the dataset."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ganforge as package
from ganforge.config import command_line_layer
from ganforge.config.reload import SCORING
from ganforge.config.resolve import resolve
from ganforge.errors import DataError, GanforgeError, IncompatibleError
from ganforge.evaluation import reference_statistics
from ganforge.evaluation.reference_statistics import ReferenceStatistics
from ganforge.plugins.registry import Registry
from ganforge.runs import launch
from ganforge.runs.evaluate import EvaluationRequest, evaluation_layers
from ganforge.runs.setup import prepare
from ganforge.runs.trained_run import TrainedRun
from tests.helpers.plugins import command
from tests.helpers.runs import ROOT

PLUGIN = ROOT / "tests" / "helpers" / "sampling_plugin.py"
COUNT = 30
SETTINGS = ("gen=any", "disc=any", "batch_size=8", "precision=fp32", "device=cpu", "steps=2", "features=pixels")
#: KID of small subsets: 30 images are fewer than the features.
METRICS: dict[str, Any] = {
    "metrics": ["kid", "precision"],
    "options": {"metric.kid.subset_size": 10},
    "device": "cpu",
    "record": False,
}
FLAGS = ("--metric", "kid,precision", "--metric.kid.subset-size", "10", "--device", "cpu", "--plugin", PLUGIN)

Train = Callable[[str], TrainedRun]


@pytest.fixture
def train(tmp_path: Path) -> Train:
    """Return a function that trains two steps on some data, whose files are in the folder `data`."""

    def run(data: str) -> TrainedRun:
        registry = Registry.discover([PLUGIN], no_plugins=True)
        (tmp_path / "data").mkdir()
        for split in ("train", "test"):
            (tmp_path / "data" / split).touch()
        layer = command_line_layer([f"data={data}", f"data.path={tmp_path / 'data'}", *SETTINGS])
        launch.start_run(prepare(resolve([layer], registry), registry), out=tmp_path / "run")
        return package.load(tmp_path / "run", plugins=[PLUGIN])

    return run


@pytest.fixture
def statistics(train: Train, tmp_path: Path) -> Path:
    """Return statistics of pictures with vectors; the dataset is gone."""
    train("vectors").evaluate(**METRICS, save_reference=tmp_path / "reference.npz")
    shutil.rmtree(tmp_path / "data")
    return tmp_path / "reference.npz"


def test_statistics_stand_for_the_dataset(train: Train, tmp_path: Path) -> None:
    """A run and its images have the same scores, reference and protocol without the dataset, to the bit.

    The generator gets the vectors of the real images from the file.
    """
    trained, path = train("vectors"), tmp_path / "reference.npz"
    of_dataset = trained.evaluate(**METRICS, save_reference=path)
    trained.sample(COUNT, condition=np.zeros((1, 2), np.float32)).save_npz("images.npz")
    data = ("--data", "vectors", "--data.path", tmp_path / "data", "--features", "pixels")
    images = [command("evaluate", "images.npz", *data, *FLAGS, "--json")]
    shutil.rmtree(tmp_path / "data")
    with pytest.raises(DataError, match=r"(test|train) is missing"):
        trained.evaluate(**METRICS)
    of_file = trained.evaluate(**METRICS, reference=path)
    images.append(command("evaluate", "images.npz", *FLAGS, "--json", "--reference", "reference.npz"))
    first, second = (json.loads(done.stdout) for done in images)
    for one, other in ((of_dataset.as_dict(), of_file.as_dict()), (first, second)):
        assert {key: one[key] for key in ("scores", "reference", "details", "protocol")} == {
            key: other[key] for key in ("scores", "reference", "details", "protocol")
        }
    assert set(of_file.scores) == {"kid", "precision"}
    assert of_file.reference["kid"] is not None


def test_file_of_statistics_carries_its_protocol_and_no_path(statistics: Path, tmp_path: Path) -> None:
    """The document names data, split, number and features; no path of the machine is in it."""
    with np.load(statistics) as archive:
        text = str(archive["document"])
        assert archive["real_features"].shape == archive["reference_features"].shape == (COUNT, 64)
        assert archive["real_condition"].shape == (COUNT, 2)
    document = json.loads(text)
    assert document["protocol"]["split"] == "test"
    assert document["protocol"]["features"]["name"] == "pixels"
    assert str(tmp_path) not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-n", "20"], "reference.npz was saved by another protocol than this evaluation's: real images: 30, 20"),
        (["--split", "train"], "split: test, train"),
        (["--features", "random-convolutions"], "features: pixels, random-convolutions"),
        (["--metric", "sliced-wasserstein"], "metric 'sliced-wasserstein' needs images of the dataset"),
        (["--metric", "data-copying"], "metric 'data-copying' needs images of the dataset"),
        (["--data", "mnist"], "invalid option 'data' of an evaluation"),
    ],
)
def test_other_protocols_are_refused(arguments: Sequence[str], message: str, statistics: Path) -> None:
    """One error names each difference; a metric that reads images is refused before any image is generated."""
    metric = () if "--metric" in arguments else FLAGS[:4]
    done = command("evaluate", "run", *metric, *arguments, "--reference", statistics, *FLAGS[4:])
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert "generating" not in done.stderr


def test_damaged_statistics_are_refused(statistics: Path, tmp_path: Path) -> None:
    """A changed number, a missing array or protocol, and a file that is not an archive are one message each."""
    with np.load(statistics) as archive:
        arrays = dict(archive)

    def refused(message: str, **changes: Any) -> None:
        kept = {name: array for name, array in (arrays | changes).items() if array is not None}
        np.savez(tmp_path / "changed.npz", **kept)
        with pytest.raises(GanforgeError, match=message):
            ReferenceStatistics.load(tmp_path / "changed.npz")

    changed = arrays["real_features"].copy()
    changed[3, 3] += 1
    refused("SHA-256 of an array does not match", real_features=changed)
    refused("SHA-256 of an array does not match", real_features=None)
    refused("has no protocol", document=None)
    refused("is damaged: format = 2", document=np.array(str(arrays["document"]).replace('"format":1', '"format":2')))
    document = str(arrays["document"])
    few = arrays["real_features"][:-1]
    sha256 = json.loads(document)["sha256"]["real_features"]
    refused(
        "is damaged: it has not .* images for real",
        real_features=few,
        document=np.array(document.replace(sha256, reference_statistics._sha256(few))),
    )
    statistics.write_bytes(b"0" * 100)
    with pytest.raises(GanforgeError, match="cannot be read"):
        ReferenceStatistics.load(statistics)


def test_the_path_of_the_weights_of_features_is_the_readers_own(statistics: Path) -> None:
    """Options of the features are those of the file, except where its author kept their weights."""
    stored = ReferenceStatistics.load(statistics)
    assert stored.protocol.features is not None
    stored.protocol.features.options.update(weights="/elsewhere/weights.pt", size=32)
    layers = evaluation_layers(EvaluationRequest(reference=statistics), SCORING, stored)
    assert layers[1].values["features"] == {"name": "pixels", "pixels": {"size": 32}}


def test_features_of_an_edited_file_are_found_like_any_others(statistics: Path, tmp_path: Path) -> None:
    """A feature extractor or an option that does not exist is one message with the file as its origin."""
    with np.load(statistics) as archive:
        arrays = dict(archive)
    for change, message in (({"name": "pixel"}, "no features 'pixel'"), ({"options": {"no": 1}}, r"other\.npz")):
        document = json.loads(str(arrays["document"]))
        document["protocol"]["features"] |= change
        np.savez(tmp_path / "other.npz", **(arrays | {"document": np.array(json.dumps(document))}))
        with pytest.raises(GanforgeError, match=message):
            package.load(tmp_path / "run", plugins=[PLUGIN]).evaluate(**METRICS, reference=tmp_path / "other.npz")


def test_statistics_of_other_data_are_refused(statistics: Path, tmp_path: Path) -> None:
    """A run needs the statistics of its own data."""
    with np.load(statistics) as archive:
        arrays = dict(archive)
    document = json.loads(str(arrays["document"]))
    document["data"]["fingerprint"] = "0" * 64
    np.savez(tmp_path / "other.npz", **(arrays | {"document": np.array(json.dumps(document))}))
    with pytest.raises(DataError, match="was trained on other data"):
        package.load(tmp_path / "run", plugins=[PLUGIN]).evaluate(**METRICS, reference=tmp_path / "other.npz")


def test_data_that_no_file_can_stand_for(train: Train, tmp_path: Path) -> None:
    """Data with pictures of its own cannot be saved; an existing file is kept."""
    trained = train("encoded")
    with pytest.raises(IncompatibleError, match="'encoded' makes pictures itself"):
        trained.evaluate(**METRICS, save_reference=tmp_path / "reference.npz")
    (tmp_path / "reference.npz").touch()
    done = command("evaluate", "run", *FLAGS, "--save-reference", "reference.npz")
    assert done.returncode == 2
    assert "reference.npz exists already" in done.stderr


def test_conditions_that_are_images_are_not_stored(train: Train, tmp_path: Path) -> None:
    """The features of the real images are saved; a generator that needs their pictures is an error with a fix."""
    trained = train("sketches")
    trained.evaluate(**METRICS, save_reference=tmp_path / "reference.npz")
    with pytest.raises(IncompatibleError, match="needs conditions, and the reference statistics have none"):
        trained.evaluate(**METRICS, reference=tmp_path / "reference.npz")

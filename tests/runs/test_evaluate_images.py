"""`ganforge evaluate DIR|FILE.npz`: scores of images without a generator, and of bundles."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import ganforge as package
from ganforge.components import DatasetInfo, ImageSpec
from ganforge.components.sampling import draw_latents
from ganforge.errors import DataError, GanforgeError
from ganforge.plugins.registry import Registry
from ganforge.runs import bundle, launch
from ganforge.runs import evaluate_images as evaluate_module
from ganforge.runs.evaluate import EvaluationRequest
from ganforge.runs.evaluate_images import ImageScores, evaluate_images
from ganforge.runs.setup import prepare
from ganforge.runs.trained_run import TrainedRun
from tests.helpers.evaluation_plugin import scoring_plugin
from tests.helpers.image_folders import noise, save
from tests.helpers.plugins import command, local
from tests.helpers.runs import tiny

COUNT = 40
DIGITS = {"data": "mnist", "data.source": "sample"}
SETTINGS = ("gen=mlp", "disc=mlp", "gen.hidden=[8]", "disc.hidden=[8]", "batch_size=10", "steps=2", "features=rows")


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the local plugin of metrics and features."""
    return scoring_plugin(tmp_path_factory.mktemp("plugin"))


@pytest.fixture(scope="module")
def trained(plugin: Path) -> TrainedRun:
    """Train two steps."""
    registry = Registry.discover([plugin], no_plugins=True)
    path = plugin.parent / "run"
    launch.start_run(prepare(tiny(registry, *SETTINGS), registry), out=path)
    return package.load(path, plugins=[plugin])


def scored(path: Path, plugin: Path, metric: str = "gap", *, resize: bool = False, **more: Any) -> ImageScores:
    """Score images against digits with the local plugin."""
    options = DIGITS | {"features": "rows"} | more.pop("options", {})
    request = EvaluationRequest(metrics=[metric], options=options, device="cpu", **more)
    return evaluate_images(path, request, Registry.discover([plugin], no_plugins=True), resize=resize)


def archive(path: Path, **arrays: NDArray[Any]) -> Path:
    """Write a .npz file."""
    np.savez(path, **arrays)  # type: ignore[arg-type]  # numpy types allow_pickle as any keyword
    return path


def grays(count: int = COUNT, size: int = 28, channels: int = 1) -> NDArray[np.uint8]:
    """Return random pictures, `(N, H, W, C)`."""
    return np.random.default_rng(0).integers(0, 256, (count, size, size, channels), dtype=np.uint8)


def test_stored_fakes_have_the_scores_of_their_run(trained: TrainedRun, plugin: Path, tmp_path: Path) -> None:
    """The fakes of an evaluation as an archive or as pictures have its scores and its reference, to the bit.

    Both files have one SHA-256, that of the pixels.
    """
    loaded = trained.load()
    latents = draw_latents(loaded.latent, loaded.generator, COUNT, seed=0, stream="evaluation")
    samples = trained.sample(latents=latents)
    samples.save_npz(tmp_path / "fakes.npz")
    samples.save_folder(tmp_path / "fakes")
    of_run = trained.evaluate("gap", num_samples=COUNT, seed=0, device="cpu", record=False)
    results = [scored(tmp_path / name, plugin) for name in ("fakes.npz", "fakes")]
    for result in results:
        assert (result.scores, result.reference) == (of_run.scores, of_run.reference)
        assert result.protocol.weights == "images"
        assert (result.protocol.latent, result.protocol.sampling) == (None, {})
    assert results[0].protocol == results[1].protocol
    changed = np.load(tmp_path / "fakes.npz")["images"].copy()
    changed[-1, -1, -1] ^= 1
    other = scored(archive(tmp_path / "changed.npz", images=changed), plugin)
    assert other.protocol.checkpoint != results[0].protocol.checkpoint


def test_archives_of_pictures_have_the_scores_of_their_folder(trained: TrainedRun, plugin: Path) -> None:
    """A zip file of pictures is not a bundle; a zip, a tar and an array have the folder's scores and SHA-256."""
    samples = trained.sample(COUNT)
    samples.save_folder("pictures")
    np.save("pictures.npy", samples.images)
    for form in ("zip", "tar"):
        shutil.make_archive("pictures", form, "pictures")
    words = ("--data", "mnist", "--data.source", "sample", "--metric", "gap", "--features", "rows", "--plugin", plugin)
    documents = []
    for name in ("pictures", "pictures.zip", "pictures.tar", "pictures.npy"):
        done = command("evaluate", name, *words, "--device", "cpu", "--json")
        assert done.returncode == 0, done.stderr
        documents.append(json.loads(done.stdout))
    for document in documents[1:]:
        assert document["scores"] == documents[0]["scores"]
        assert document["protocol"] == documents[0]["protocol"]
    Path("broken.zip").write_bytes(b"no archive")
    done = command("evaluate", "broken.zip", *words)
    assert done.returncode == 2
    assert "broken.zip is not a valid bundle" in done.stderr


def test_images_are_chosen_by_the_seed(plugin: Path, tmp_path: Path) -> None:
    """The seed chooses among more images than are compared; by default all are compared."""
    path = archive(tmp_path / "images.npz", arr_0=grays())
    assert scored(path, plugin).protocol.fake_images == COUNT
    for too_many in (COUNT + 1, 100_000):  # the data has fewer than 100,000, too
        with pytest.raises(DataError, match=f"fewer than {too_many:,}\npass num_samples={COUNT} or less"):
            scored(path, plugin, num_samples=too_many)
    chosen = [scored(path, plugin, num_samples=20, seed=seed).protocol.checkpoint for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]


CLASSES_SEEN = """
from ganforge import Metric, MetricResult


class Sum(Metric):
    higher_is_better = {"sum": True}

    def compute(self, context):
        condition = context.condition("fake")
        return MetricResult({"sum": -1.0 if condition is None else float(condition.sum())})


@hookimpl
def ganforge_components():
    return [Component(kind="metric", name="sum", target=Sum)]
"""


def test_metrics_get_the_classes_of_files(tmp_path: Path) -> None:
    """Subfolders named like the data's classes, or labels of an archive, are the fakes' conditions; others are not."""
    plugin = local(tmp_path / "sum.py", CLASSES_SEEN)
    for name in ("7", "2"):
        save(tmp_path / "digits" / name / "1.png", noise("L", (28, 28)))
    for name in ("cat", "2"):
        save(tmp_path / "others" / name / "1.png", noise("L", (28, 28)))
    labels = archive(tmp_path / "labels.npz", arr_0=grays(2), arr_1=np.array([3, 4]))
    options = {"features": "pixels"}
    assert scored(tmp_path / "digits", plugin, "sum", options=options).scores == {"sum": 9}
    assert scored(labels, plugin, "sum", options=options).scores == {"sum": 7}
    assert scored(tmp_path / "others", plugin, "sum", options=options).scores == {"sum": -1}
    wrong = archive(tmp_path / "wrong.npz", arr_0=grays(2), arr_1=np.array([3, 10]))
    with pytest.raises(DataError, match=r"conditions in .*wrong\.npz are not those of the data, 10 classes"):
        scored(wrong, plugin, "sum", options=options)


def test_two_folders_are_compared_without_a_model(plugin: Path, tmp_path: Path) -> None:
    """A folder against itself has distance 0, and a darker one does not; gray pictures fit RGB data."""
    for number in range(COUNT):
        picture = noise("L", (8, 8)).rotate(90 * number)
        save(tmp_path / "gray" / f"{number}.png", picture)
        save(tmp_path / "rgb" / f"{number}.png", picture.convert("RGB"))
        save(tmp_path / "colors" / f"{number}.png", noise("RGB", (8, 8)))
    arguments = ("--metric", "sliced-wasserstein", "--json", "--device", "cpu", "-q")

    def distance(images: str, data: str) -> float:
        path = ("--data", "folder", "--data.path", str(tmp_path / data))
        done = command("evaluate", str(tmp_path / images), *path, *arguments)
        assert done.returncode == 0, done.stderr
        return float(json.loads(done.stdout)["scores"]["sliced-wasserstein"])

    assert distance("gray", "gray") == distance("rgb", "gray") == distance("gray", "rgb") == 0
    assert distance("colors", "rgb") > 0


def test_pictures_are_resized_on_request_only(plugin: Path, tmp_path: Path) -> None:
    """Pictures of another size are an error with the option that resizes them."""
    for number in range(COUNT):
        save(tmp_path / "large" / f"{number}.png", noise("L", (56, 56)))
    with pytest.raises(DataError, match=r"are 1×56×56, those of data 'mnist' 1×28×28\nresize makes"):
        scored(tmp_path / "large", plugin)
    assert scored(tmp_path / "large", plugin, resize=True).protocol.fake_images == COUNT
    save(tmp_path / "large" / "odd.png", noise("L", (40, 40)))
    with pytest.raises(DataError, match=r"2 different sizes.*\nresize makes"):
        scored(tmp_path / "large", plugin)


def test_a_document_goes_to_stdout_and_to_a_file(trained: TrainedRun, plugin: Path, tmp_path: Path) -> None:
    """`--json` and `--out` have the same document; the images' folder is unchanged; an existing file is kept."""
    trained.sample(COUNT).save_folder(tmp_path / "fakes")
    names = sorted(path.name for path in (tmp_path / "fakes").iterdir())
    words = ("--data", "mnist", "--data.source", "sample", "--metric", "gap", "--features", "rows", "--plugin", plugin)
    done = command("evaluate", "fakes", *words, "--device", "cpu", "--json", "--out", "scores.json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document.keys() == {"images", "scores", "reference", "details", "protocol", "seconds", "pictures"}
    assert document["pictures"] == {"first": "scores-first.png"}
    assert (tmp_path / "scores-first.png").read_bytes().startswith(b"\x89PNG")
    assert document == json.loads((tmp_path / "scores.json").read_text())
    assert sorted(path.name for path in (tmp_path / "fakes").iterdir()) == names
    again = command("evaluate", "fakes", *words, "--out", "scores.json")
    assert again.returncode == 2
    assert "scores.json exists already" in again.stderr
    for option in ("--out", "--save-reference"):
        nowhere = command("evaluate", "fakes", *words, option, "missing/file.npz")
        assert nowhere.returncode == 2
        message = "missing/file.npz cannot be written: the folder missing does not exist"
        assert nowhere.stderr == f"error: {message}\n→ mkdir -p missing\n"
    table = command("evaluate", "fakes", *words, "--device", "cpu", "-q")
    assert f"{COUNT} fakes and {COUNT} real images: test split of mnist" in " ".join(table.stdout.split())
    assert f"images {document['protocol']['checkpoint'][:12]}, seed 0" in table.stdout


@pytest.mark.filterwarnings("default:MNIST")
def test_images_are_scored_from_python(plugin: Path) -> None:
    """`ganforge.evaluate` takes a file or an array, and a dataset with its options; both have the same protocol."""
    path = archive(Path("images.npz"), images=grays())
    data = {"name": "mnist", "source": "sample"}
    results = [
        package.evaluate(images, data, "gap", features="rows", device="cpu", plugins=[plugin])
        for images in (str(path), grays())
    ]
    assert results[0].protocol == results[1].protocol
    assert results[0].scores == results[1].scores
    assert (results[0].as_dict()["images"], results[1].as_dict()["images"]) == ("images.npz", None)
    with pytest.raises(GanforgeError, match="the array is not a run, and images are compared with a dataset's"):
        package.evaluate(grays())


def test_bundle_has_the_scores_of_its_run(trained: TrainedRun, plugin: Path, tmp_path: Path) -> None:
    """A bundle is scored like the run; the scores are in no run directory."""
    bundle.write_bundle(trained, trained.checkpoint(), trained.weights_file(ema=None), tmp_path / "run.zip")
    words = ("--metric", "gap", "-n", "30", "--device", "cpu", "--json", "--plugin", plugin)
    done = [command("evaluate", path, *words) for path in (str(tmp_path / "run.zip"), trained.path)]
    assert [each.returncode for each in done] == [0, 0], done[0].stderr
    of_bundle, of_run = (json.loads(each.stdout) for each in done)
    assert of_bundle["scores"] == of_run["scores"]
    assert (of_bundle["recorded"], of_run["recorded"]) == (False, True)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"latents": grays()}, "neither an array images nor arr_0 .available: latents"),
        ({"images": grays()[..., 0]}, r"uint8 of shape \(40, 28, 28\)"),
        ({"images": grays().astype(np.float64)}, "float64"),
        ({"images": grays(size=32)}, "are 1×32×32, those of data 'mnist' 1×28×28"),
        ({"images": grays(channels=3)}, "are 3×28×28, .*\nRGB pictures have colors"),
        ({"images": np.zeros((4, 28, 28, 1), np.float32)}, "are float32, those of data 'mnist' uint8"),
        ({"images": np.full((4, 28, 28, 1), np.nan, np.float32)}, "not finite"),
        ({"images": grays(0)}, r"of shape \(0, 28, 28, 1\)"),
    ],
)
def test_invalid_archives_are_refused(
    arrays: dict[str, NDArray[Any]], message: str, plugin: Path, tmp_path: Path
) -> None:
    """Arrays of other names, types and shapes are one message that names the file."""
    with pytest.raises(DataError, match=rf"(?s)images\.npz.*{message}|{message}"):
        scored(archive(tmp_path / "images.npz", **arrays), plugin)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "images.npz is not a run, and images are compared with a dataset's"),
        (["--data", "mnist", "--metric", "ppl"], "metric 'ppl' needs the generator, not only its images"),
        (["--data", "mnist", "--metric", "fid", "-n", "90"], "images.npz has 80 images"),
        (["--data", "mnist", "--checkpoint", "best"], "images.npz holds images; checkpoints"),
        (["--data", "mnist", "--sampling.truncation", "0.5"], "images.npz holds images; checkpoints"),
        (["--data", "mnist", "--resize"], "--resize is for pictures; images.npz holds arrays"),
        (["--data", "mnits"], "no dataset 'mnits'; did you mean 'mnist'"),
        (["--gen", "dcgan", "--data", "mnist"], "invalid option '--gen'"),
    ],
)
def test_impossible_evaluations_of_images_are_refused(words: Sequence[str], message: str) -> None:
    """Exit code 2, one message, nothing on stdout."""
    archive(Path("images.npz"), images=grays(80))
    done = command("evaluate", "images.npz", *words, "--device", "cpu")
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert done.stdout == ""


def test_folders_without_a_clear_meaning_are_refused(plugin: Path, tmp_path: Path) -> None:
    """A folder without pictures, or with splits, is one message without the options of a dataset."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(GanforgeError, match=r"empty holds no pictures$"):
        scored(tmp_path / "empty", plugin)
    for split in ("train", "test"):
        save(tmp_path / "splits" / split / "1.png")
    with pytest.raises(DataError, match=r"splits has the splits train, test\nname one: .*test"):
        scored(tmp_path / "splits", plugin)


def test_a_run_keeps_its_data(trained: TrainedRun, plugin: Path) -> None:
    """Another dataset for a run is an error, which leads to its own."""
    done = command("evaluate", trained.path, "--data", "folder", "--plugin", plugin)
    assert done.returncode == 2
    assert "a run is scored on its own data" in done.stderr


def test_float_images_are_scored_as_they_are(tmp_path: Path) -> None:
    """Data of float32 numbers needs float32 arrays, which are not rounded for raw features."""
    points = local(
        tmp_path / "points.py",
        "import torch\nfrom ganforge import Dataset, ImageTensors\n\n\nclass Points(Dataset):\n"
        "    splits = ('train',)\n\n    def open(self, split):\n"
        "        return ImageTensors(torch.randn(90, 2, 1, 1, generator=torch.Generator().manual_seed(1)))\n\n\n"
        "@hookimpl\ndef ganforge_components():\n"
        "    return [Component(kind='dataset', name='points', target=Points)]\n",
    )
    options = {"data": "points", "features": "raw"}
    registry = Registry.discover([points], no_plugins=True)
    request = EvaluationRequest(metrics=["fid"], options=options, device="cpu")
    numbers = torch.randn(90, 1, 1, 2, generator=torch.Generator().manual_seed(2)).numpy() + 3
    result = evaluate_images(archive(tmp_path / "images.npz", images=numbers), request, registry)
    assert result.scores["fid"] == pytest.approx(18, rel=0.3)


@pytest.mark.parametrize("count", [1, 3])
def test_gray_images_are_compared_with_color(count: int) -> None:
    """Gray images become RGB ones with equal channels where the data have colors."""
    gray = torch.arange(count * 16, dtype=torch.uint8).reshape(count, 1, 4, 4)
    fitted = evaluate_module._fitted(
        gray, DatasetInfo(ImageSpec(3, 4, 4), None, {"test": 1}, "fingerprint"), "pictures"
    )
    assert fitted.shape == (count, 3, 4, 4)
    assert torch.equal(fitted, torch.cat([gray] * 3, dim=1))

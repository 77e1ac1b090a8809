"""Samples of runs with vectors, pictures, float images and points: grids, conditions, files and the command line."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

import ganforge as package
from ganforge import TrainedRun, load
from ganforge.components import ConditionSpec, DatasetInfo, ImageSpec
from ganforge.config import command_line_layer
from ganforge.config.resolve import resolve
from ganforge.errors import CheckpointError, DataError, IncompatibleError, RunDirectoryError
from ganforge.plugins.registry import Registry
from ganforge.runs import launch
from ganforge.runs.conditions import class_number
from ganforge.runs.sample import Samples
from ganforge.runs.setup import prepare
from ganforge.schemas.manifest import Manifest
from ganforge.training.build import build
from ganforge.training.callbacks import Callback
from ganforge.training.run_directory import RunDirectory
from ganforge.training.writer import FixedSamples
from tests.helpers.plugins import command
from tests.helpers.run_directories import MANIFEST, write_json
from tests.helpers.runs import ROOT

Train = Callable[..., TrainedRun]
PLUGIN = ROOT / "tests" / "helpers" / "sampling_plugin.py"
SETTINGS = ("gen=any", "disc=any", "batch_size=8", "precision=fp32", "device=cpu", "steps=2", "seed=5")


class Watcher(Callback):
    """Callback that keeps messages and samples."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.samples: list[torch.Tensor] = []

    def on_message(self, message: str) -> None:
        self.messages.append(message)

    def on_sample(self, images: torch.Tensor) -> None:
        self.samples.append(images)


@pytest.fixture
def watcher() -> Watcher:
    """Return the callback of the training."""
    return Watcher()


@pytest.fixture
def train(tmp_path: Path, watcher: Watcher) -> Train:
    """Return a function that trains two steps on some data, in the folder `run`."""

    def run(data: str, *settings: str) -> TrainedRun:
        registry = Registry.discover([PLUGIN], no_plugins=True)
        if data != "mnist":
            (tmp_path / "data").mkdir()
            for split in ("train", "test"):
                (tmp_path / "data" / split).touch()
        source = f"data.path={tmp_path / 'data'}" if data != "mnist" else "data.source=sample"
        resolved = resolve([command_line_layer([f"data={data}", source, *SETTINGS, *settings])], registry)
        launch.start_run(prepare(resolved, registry), out=tmp_path / "run", callback=watcher)
        return load(tmp_path / "run", plugins=[PLUGIN])

    return run


def real(train: TrainedRun, split: str) -> package.ImageTensors:
    """Return the images of a run's data."""
    registry = Registry.discover([PLUGIN], no_plugins=True)
    cls = registry.load(registry.find("dataset", train.experiment.data.name))
    images = cls(cls.Options(**train.experiment.data.options)).open(split)
    assert isinstance(images, package.ImageTensors)
    return images


@pytest.mark.parametrize(
    ("data", "count", "columns"), [("vectors", 64, 8), ("sketches", 32, 4), ("encoded", 64, 8), ("points", 1024, None)]
)
def test_grid_of_the_training_is_what_sampling_draws(data: str, count: int, columns: int | None, train: Train) -> None:
    """The picture of the last step has the latents of the run's seed, and real conditions if it needs them."""
    run = train(data)
    expected = run.sample(count, seed=5).picture(columns)
    with Image.open(run.path / "samples" / "step-00000002.png") as picture:
        shown = torch.from_numpy(np.array(picture)).reshape(*picture.size[::-1], -1).permute(2, 0, 1)
    assert torch.equal(shown, expected)


def test_default_conditions_are_those_of_the_first_test_images(train: Train) -> None:
    """They are in the order of the test split, and repeat if there are too few; a grid's are the same at every step."""
    run = train("vectors")
    samples = run.sample(35)
    conditions = real(run, "test").condition
    assert samples.condition is not None
    assert conditions is not None
    assert np.array_equal(samples.condition, torch.cat([conditions, conditions[:5]]).numpy())


def test_vector_is_one_for_all_or_one_for_each_image(train: Train) -> None:
    """A vector applies to all images, `(N, D)` to one each; their number is that of the images by default."""
    run = train("vectors")
    one, each = run.sample(3, condition=[0.3, 0.7]), run.sample(condition=np.array([[0.3, 0.7]] * 3))
    assert (len(one), len(each)) == (3, 3)
    assert np.array_equal(one.images, each.images)
    assert np.array_equal(one.condition, np.array([[0.3, 0.7]] * 3, np.float32))  # type: ignore[arg-type]
    assert not np.array_equal(one.images, run.sample(3, condition=[0.7, 0.3]).images)
    with pytest.raises(IncompatibleError, match=r"float32 of shape \(2,\) for each image, not float32 of shape \(3,\)"):
        run.sample(2, condition=[0.1, 0.2, 0.3])
    with pytest.raises(IncompatibleError, match="2 conditions for 3 images"):
        run.sample(3, condition=np.zeros((2, 2)))
    with pytest.raises(IncompatibleError, match="invalid condition 'smile': the dataset has float32 2 for each image"):
        run.sample(3, condition="smile")


def test_data_is_read_only_for_default_conditions(train: Train) -> None:
    """A run is sampled without its data, unless real images' conditions are needed; the error names what is missing."""
    run = train("vectors")
    expected = run.sample(2, condition=[0.5, 0.5])
    for split in ("train", "test"):
        (run.path.parent / "data" / split).unlink()
    again = load(run.path, plugins=[PLUGIN])
    assert np.array_equal(again.sample(2, condition=[0.5, 0.5]).images, expected.images)
    assert again.module("generator") is not None
    with pytest.raises(DataError, match="is missing"):
        again.sample(2)


def test_classes_are_named_or_numbered(train: Train) -> None:
    """A class may be given by number or name, one for all images or one for each."""
    run = train("mnist")
    conditions: tuple[Any, ...] = (3, "3", np.int64(3), [3, "3"], torch.tensor([3, 3]))
    for condition in conditions:
        samples = run.sample(2, condition=condition)
        assert samples.condition is not None
        assert samples.condition.tolist() == [3, 3]
        assert samples.class_names == run.dataset_info().class_names
    words = ("-n", "3", "--condition", "3", "--condition", "5", "--seed", "4", "--out", "s.npz")
    done = command("sample", run.path, "--plugin", PLUGIN, *words)
    assert done.returncode == 0, done.stderr
    with np.load("s.npz") as arrays:
        assert arrays["condition"].tolist() == [3, 5, 3]
        assert np.array_equal(arrays["images"], run.sample(seed=4, condition=[3, 5, 3]).images)
    refused: tuple[tuple[Any, str], ...] = (
        ("seven", "no class 'seven'"),
        (10, "invalid class 10"),
        ([1.5, 2], "invalid class 1.5"),
    )
    for condition, message in refused:
        with pytest.raises(IncompatibleError, match=message):
            run.sample(2, condition=condition)


def test_numbers_among_names_that_are_numbers_are_names() -> None:
    """02 is neither the third of the classes 0, 1 and 10 nor 2; among names that are words a number is the class's."""
    assert class_number("10", ("0", "1", "10")) == 2
    assert class_number("02", ("02", "10")) == 0
    for names in (("cat", "dog"), ("2024", "cat", "dog"), ()):
        assert class_number("1", names) == 1
    for name, names in (("02", ("0", "1", "10")), ("2", ("02", "10"))):
        with pytest.raises(IncompatibleError, match=f"no class '{name}'"):
            class_number(name, names)


def test_files_of_samples_name_classes(tmp_path: Path) -> None:
    """Classes have their names, not numbers, in .npz files and, with safe characters, in names of pictures."""
    names = ("02", "a/b \x1b[1m", "x" * 300)
    images, latents = np.zeros((3, 4, 4, 3), np.uint8), np.zeros((3, 2), np.float32)
    samples = Samples(images, latents, condition=np.array([1, 0, 2]), class_names=names)
    samples.save_folder(tmp_path / "named")
    assert sorted(path.name for path in (tmp_path / "named").iterdir()) == [
        "00000-a_b_1m.png",
        "00001-02.png",
        f"00002-{'x' * 60}.png",
    ]
    samples.save_npz(tmp_path / "named.npz")
    with np.load(tmp_path / "named.npz", allow_pickle=False) as arrays:
        assert [arrays["class_names"][label] for label in arrays["condition"]] == [names[1], names[0], names[2]]
    replace(samples, class_names=("C+", "C#", "D")).save_folder(tmp_path / "equal")
    assert sorted(path.name for path in (tmp_path / "equal").iterdir()) == [
        "00000-1-C_.png",
        "00001-0-C_.png",
        "00002-D.png",
    ]
    replace(samples, class_names=None).save_folder(tmp_path / "numbered")
    assert sorted(path.name for path in (tmp_path / "numbered").iterdir()) == [
        "00000-1.png",
        "00001-0.png",
        "00002-2.png",
    ]


def test_previews_are_images_of_the_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a grid with a row for each class they are the first images of the rows, also with noise in the generator."""
    registry = Registry.discover([PLUGIN], no_plugins=True)
    gan = build(resolve([command_line_layer(["data=mnist", "data.source=sample", *SETTINGS])], registry))
    network: Any = type(gan.generator)
    exact = network.forward

    def noisy(generator: package.Generator, z: torch.Tensor, condition: torch.Tensor | None = None) -> Any:
        images = exact(generator, z, condition)
        return images + torch.randn_like(images)

    monkeypatch.setattr(network, "forward", noisy)
    samples = FixedSamples(gan, seed=3)
    assert torch.equal(samples.previews(gan.generator), samples.picture(gan.generator)[1])


def test_picture_conditions_stand_to_the_left_of_results(train: Train, watcher: Watcher) -> None:
    """A grid and the previews have pairs of condition and result; images alone are in `images` and in folders."""
    run = train("sketches")
    samples = run.sample(4)
    sketches = real(run, "test").condition
    assert sketches is not None
    assert np.array_equal(samples.condition, sketches[:4].numpy())  # type: ignore[arg-type]
    assert (samples.images.shape, samples.picture(4).shape) == ((4, 8, 8, 3), (3, 12, 4 * 18 + 2))
    pair = samples.picture(1)[:, 2:10, 2:18]
    assert torch.equal(pair[:, :, :8], sketches[0].expand(3, -1, -1))
    assert torch.equal(pair[:, :, 8:], torch.from_numpy(samples.images[0]).permute(2, 0, 1))
    assert watcher.samples[-1].shape == (10, 3, 8, 16)
    with Image.open(io.BytesIO(samples._repr_png_())) as picture:
        assert picture.size == (2 * 18 + 2, 2 * 10 + 2)


def test_float_images_are_kept_and_decoded(train: Train) -> None:
    """`raw` has the generator's numbers, `images` what `to_pixels` makes of them; .npz has both, and latents."""
    run = train("encoded")
    samples = run.sample(5)
    z = torch.from_numpy(samples.latents)
    assert samples.raw is not None
    assert np.allclose(samples.raw, run.generator()(z).permute(0, 2, 3, 1).numpy(), atol=1e-6)
    assert np.abs(samples.raw).max() > 1, "a generator that is not bounded is not clamped"
    assert (samples.images.shape, samples.images.dtype) == ((5, 4, 4, 3), np.dtype(np.uint8))
    samples.save_npz("five.npz")
    with np.load("five.npz", allow_pickle=False) as arrays:
        assert sorted(arrays) == ["checkpoint", "images", "pixels", "seeds", "z"]
        assert np.array_equal(arrays["images"], samples.raw)
        assert np.array_equal(arrays["pixels"], samples.images)


def test_rendered_data_is_one_picture(train: Train, watcher: Watcher) -> None:
    """A dataset's `render` replaces the grid in training, in a notebook and in a file."""
    run = train("points")
    samples = run.sample(100)
    assert samples.picture().shape == (1, 16, 16)
    assert int(samples.picture().count_nonzero()) > 1
    assert watcher.samples[-1].shape == (1, 1, 16, 16)


def test_sampling_options_change_samples(train: Train) -> None:
    """Truncation 0 gives one image for all latents, from Python and from the command line."""
    run = train("encoded")
    images = run.sample(3, sampling={"truncation": 0.0}).images
    assert np.array_equal(images, images[:1].repeat(3, axis=0))
    arguments = ("-n", "3", "--sampling.truncation", "0", "--out", "s.npz")
    done = command("sample", run.path, "--plugin", PLUGIN, *arguments)
    assert done.returncode == 0, done.stderr
    with np.load("s.npz") as arrays:
        assert np.array_equal(arrays["pixels"], images)


def test_module_of_a_further_phase_is_found_by_name(train: Train) -> None:
    """An encoder that a term trains in a further phase has the checkpoint's weights, by short and long name."""
    run = train("encoded", "term=inverse", "checkpoint_every=1")
    encoder = run.module("encoder")
    assert isinstance(encoder, nn.Linear)
    assert torch.equal(encoder.weight, run.checkpoint().file("encoder")["inverse.encoder.weight"])
    other = run.module("inverse.encoder", checkpoint=1)
    assert isinstance(other, nn.Linear)
    assert not torch.equal(encoder.weight, other.weight)
    assert run.module("inverse") is not None
    assert run.latent.sample(2, 6, torch.Generator()).shape == (2, 6)


def test_conditions_on_the_command_line(train: Train) -> None:
    """Vectors are numbers with commas; values that are given several times take turns; .npz files hold many."""
    run = train("vectors")

    def draw(*arguments: str | Path) -> tuple[NDArray[Any], NDArray[Any]]:
        done = command("sample", run.path, "--plugin", PLUGIN, "--out", "s.npz", "--force", *arguments)
        assert done.returncode == 0, done.stderr
        with np.load("s.npz") as arrays:
            return arrays["condition"], arrays["images"]

    condition, images = draw("-n", "3", "--condition", "-0.5,1e-1", "--condition", "1,0")
    assert np.array_equal(condition, np.array([[-0.5, 0.1], [1, 0], [-0.5, 0.1]], np.float32))
    assert np.array_equal(images, run.sample(condition=condition).images)
    Path("s.npz").rename("old.npz")
    assert np.array_equal(draw("--condition", "old.npz")[1], images)
    assert np.array_equal(draw("--condition", "0.3,0.7")[0], np.array([[0.3, 0.7]] * 64, np.float32))
    for word, message in (("0.3", "not 2 numbers (smile, age)"), ("x.npz", "x.npz cannot be read")):
        refused = command("sample", run.path, "--plugin", PLUGIN, "--condition", word)
        assert (refused.returncode, message in refused.stderr) == (2, True), refused.stderr


def test_a_missing_folder_is_named_before_a_generator_is_built(train: Train) -> None:
    """`sample --out missing/x.png` is one error with the command that makes the folder, also without the plugin."""
    refused = command("sample", train("vectors").path, "--out", "missing/x.png")
    assert refused.returncode == 2
    assert refused.stderr.endswith("the folder missing does not exist\n→ mkdir -p missing\n")


def test_picture_files_are_conditions(train: Train, tmp_path: Path) -> None:
    """Pictures and folders of any format and depth are read in the conditions' channels; another size is an error."""
    run = train("sketches")
    sketches = real(run, "test").condition
    assert sketches is not None
    folder = tmp_path / "sketches"
    folder.mkdir()
    pixels = sketches[:, 0].numpy()
    Image.fromarray(pixels[0].astype(np.uint16) * 257).save(folder / "0.tiff")
    Image.fromarray(pixels[1]).convert("RGB").save(folder / "1.png")
    Image.fromarray(pixels[2]).convert("RGBA").save(folder / "2.PNG")
    (folder / "notes.txt").touch()
    expected = run.sample(condition=sketches[:3].numpy())
    out = ("--plugin", PLUGIN, "--out", "s.npz", "--force", "--json")
    done = command("sample", run.path, *out, "--condition", folder)
    assert json.loads(done.stdout)["num_samples"] == 3
    with np.load("s.npz") as arrays:
        assert np.array_equal(arrays["images"], expected.images)
        assert arrays["condition"].dtype == np.uint8
    done = command("sample", run.path, *out, "-n", "3", "--condition", folder / "1.png")
    assert done.returncode == 0, done.stderr
    with np.load("s.npz") as arrays:
        assert np.array_equal(arrays["images"][1], expected.images[1])
    Image.new("L", (9, 8)).save("wide.png")
    for path, message in (
        ("wide.png", "wide.png has 9×8 pixels; conditions have 8×8"),
        ("none.png", "none.png cannot be read as a picture"),
        ("run", "no pictures in this folder"),
    ):
        refused = command("sample", run.path, "--plugin", PLUGIN, "--condition", path)
        assert (refused.returncode, message in refused.stderr) == (2, True), refused.stderr


@pytest.mark.parametrize(("channels", "shown"), [(2, "two side by side"), (5, "the first three")])
def test_no_channel_is_dropped_in_silence(channels: int, shown: str, train: Train, watcher: Watcher) -> None:
    """Two channels are both shown; of more than three, a message gives the number shown."""
    run = train("channels", f"data.channels={channels}")
    assert run.sample(3).images.shape == (3, 8, 8, channels)
    with Image.open(run.path / "samples" / "step-00000002.png") as picture:
        assert picture.size[0] == 2 + 8 * (2 + (16 if channels == 2 else 8)), shown
    notices = [line for line in watcher.messages if "channels" in line]
    assert [line.startswith("images have 5 channels; grids show the first 3") for line in notices] == [True] * (
        channels > 3
    )


def test_sampling_leaves_the_training_unchanged(train: Train, tmp_path: Path) -> None:
    """Networks and latents that change whenever they are used get the same weights, however often grids are drawn."""
    settings = ("gen=counting", "latent=drifting", "steps=4", "checkpoint_every=4")
    run = train("encoded", *settings, "sample_every=1")
    expected = run.checkpoint()
    run.path.rename(tmp_path / "often")
    (tmp_path / "data").rename(tmp_path / "old")
    seldom = train("encoded", *settings, "sample_every=4").checkpoint()
    for file, tensors in expected.tensors.items():
        assert all(torch.equal(value, seldom.tensors[file][name]) for name, value in tensors.items()), file
    again = load(tmp_path / "often", plugins=[PLUGIN])
    images = again.sample(3).images
    assert np.array_equal(images, again.sample(3).images), "sampling does not even change what is sampled next"
    draws = again.latent.state_dict()["draws"]
    assert float(draws) > 0
    assert torch.equal(draws, expected.file("latent")["draws"])
    assert torch.equal(again.generator().state_dict()["calls"], expected.file("generator")["calls"])


def test_frozen_weights_must_be_those_of_the_training(train: Train, tmp_path: Path) -> None:
    """Checkpoints hold only their fingerprint: sampling loads the file again, and refuses other weights."""
    file = tmp_path / "backbone.pt"
    torch.save(nn.Linear(6, 6).state_dict(), file)
    run = train("encoded", "gen=pretrained", f"gen.weights={file}", "ema_halflife_images=50")
    assert not any(name.startswith("backbone") for name in run.checkpoint().file("generator_ema"))
    backbone = torch.load(file)["weight"]
    assert torch.equal(run.generator().state_dict()["backbone.weight"], backbone)
    torch.save(nn.Linear(6, 6).state_dict(), file)
    with pytest.raises(CheckpointError, match=r"generator\.backbone.* differ from those of the training"):
        load(run.path, plugins=[PLUGIN]).sample(2)


@pytest.mark.parametrize(
    "condition",
    [
        None,
        ConditionSpec.classes(10),
        ConditionSpec.vector(("smile", "age")),
        ConditionSpec.vector(3),
        ConditionSpec.tensor((1, 28, 28)),
        ConditionSpec.tensor((7,), "float32"),
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_dataset_record_round_trips(condition: ConditionSpec | None, dtype: str) -> None:
    """Run.json holds shapes as numbers, and gives the same metadata back."""
    info = DatasetInfo(ImageSpec(3, 28, 30, condition, dtype), ("a", "b"), {"train": 5}, "f" * 64, "name", "here")  # type: ignore[arg-type]
    manifest = Manifest.model_validate_json(json.dumps(MANIFEST)).model_copy(update={"data": info})
    content = manifest.as_dict()
    image = content["data"]["image"]
    assert (image["channels"], image["height"], image["width"], image["dtype"]) == (3, 28, 30, dtype)
    assert Manifest.model_validate_json(json.dumps(content)).data == info


@pytest.mark.parametrize(
    "damage",
    [
        {"image": "1×28×28"},
        {"image": {"channels": 0, "height": 28, "width": 28}},
        {"image": {"channels": 1, "height": 28}},
        {"image": {"channels": 1, "height": 28, "width": 28, "condition": {"kind": "words"}}},
        {"sizes": 5},
        {"class_names": 10},
        {"fingerprint": None},
    ],
)
def test_damaged_dataset_record_is_refused(damage: dict[str, object], tmp_path: Path) -> None:
    """Anything of another type or missing is one message that names the file and the key."""
    records: tuple[Any, ...] = (MANIFEST["data"] | damage, None, [])
    for data in records:
        write_json(tmp_path / "run.json", MANIFEST | {"data": data})
        with pytest.raises(RunDirectoryError, match=r"run\.json is damaged: .*data"):
            RunDirectory(tmp_path).read_manifest()

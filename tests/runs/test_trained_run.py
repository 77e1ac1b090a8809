"""Trained runs: sampling and listing them, from the command line and from Python."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

import ganforge as package
from ganforge.errors import CheckpointError, DataError, IncompatibleError, UnknownComponentError, UsageError
from ganforge.plugins.registry import Registry
from ganforge.runs import launch, sample
from ganforge.runs.index import find_runs
from ganforge.runs.setup import prepare
from ganforge.training.run_directory import RunDirectory
from tests.helpers.plugins import command
from tests.helpers.runs import tiny

Ganforge = Callable[..., subprocess.CompletedProcess[str]]
SMALL = ("gen=mlp", "disc=mlp", "gen.hidden=[8]", "disc.hidden=[8]", "batch_size=10", "checkpoint_every=2", "steps=4")


class Unreadable:
    """Array that fails to be written."""

    def __array__(self, *_: object, **__: object) -> None:
        raise OSError("no space left on device")


@pytest.fixture
def run(registry: Registry, tmp_path: Path) -> RunDirectory:
    """Train four steps with a moving average."""
    run = RunDirectory(tmp_path / "run")
    launch.start_run(prepare(tiny(registry, *SMALL, "ema_halflife_images=50"), registry), out=run.path)
    return run


def test_samples_are_decided_by_the_seed(run: RunDirectory) -> None:
    """The same seed gives the same images and latents, another seed others; global randomness is left alone."""
    trained = package.load(run.path)
    state = torch.random.get_rng_state()
    one, again, other = (trained.sample(6, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert np.array_equal(one.images, again.images)
    assert not np.array_equal(one.images, other.images)
    assert (one.images.shape, one.images.dtype) == ((6, 28, 28, 1), np.dtype(np.uint8))
    assert (one.latents.shape, one.latents.dtype) == ((6, 100), np.dtype(np.float32))
    assert one.condition is None


def test_samples_are_the_generator_s_images(run: RunDirectory) -> None:
    """Samples are the loaded generator's images of the latents; average and weights differ."""
    trained = package.load(run.path)
    samples = trained.sample(5, 3)
    made = trained.generator()(torch.from_numpy(samples.latents))
    expected = ((made + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(samples.images, expected)
    assert not np.array_equal(samples.images, trained.sample(5, 3, ema=False).images)
    assert not trained.generator().training
    assert not np.array_equal(samples.images, trained.sample(5, 3, checkpoint=2).images)


def test_a_damaged_checkpoint_is_never_taken_for_another(run: RunDirectory) -> None:
    """Its step is an error, also after the newest valid checkpoint was used in its place."""
    (run.checkpoint_path(4) / "generator_ema.safetensors").write_bytes(b"torn")
    trained = package.load(run.path)
    newest = trained.generator()
    assert newest is trained.generator(checkpoint=2)
    with pytest.raises(CheckpointError):
        trained.generator(checkpoint=4)


def test_missing_ema_is_an_error(registry: Registry, tmp_path: Path) -> None:
    """Without a moving average `ema=True` is refused, also after the weights themselves were used."""
    launch.start_run(prepare(tiny(registry, *SMALL), registry), out=tmp_path / "plain")
    trained = package.load(tmp_path / "plain")
    trained.sample(2)
    with pytest.raises(IncompatibleError, match="has no moving average"):
        trained.sample(2, ema=True)


def test_a_notebook_shows_samples_as_a_picture(run: RunDirectory) -> None:
    """`_repr_png_` is a PNG of all images in a grid."""
    with Image.open(io.BytesIO(package.load(run.path).sample(4)._repr_png_())) as picture:
        assert picture.format == "PNG"
        assert picture.size[0] >= 2 * 28


def test_invalid_requests_for_samples_are_refused(run: RunDirectory) -> None:
    """Each gets one message: a count below one, conditions and options that do not fit, a step without a checkpoint."""
    trained = package.load(run.path)
    with pytest.raises(UsageError, match="the minimum is 1"):
        trained.sample(0)
    for count in (10**12, 10**400):
        with pytest.raises(UsageError, match="000 images do not fit into the memory of this machine"):
            trained.sample(count)
    done = command("sample", run.path, "-n", str(10**20), "--condition", "3")
    assert (done.returncode, done.stdout) == (2, "")
    with pytest.raises(IncompatibleError, match="takes no condition"):
        trained.sample(3, condition=7)
    with pytest.raises(UsageError, match="invalid sampling option 'truncation'; this generator has none"):
        trained.sample(3, sampling={"truncation": 0.7})
    with pytest.raises(UsageError, match=r"latents have shape \(3, 99\); \(N, 100\) is required"):
        trained.sample(latents=torch.zeros(3, 99))
    with pytest.raises(UsageError, match="3 latents for 4 images"):
        trained.sample(4, latents=torch.zeros(3, 100))
    with pytest.raises(UsageError, match=r"no checkpoint of step 3 \(available: 2, 4\)"):
        trained.sample(3, checkpoint=3)
    with pytest.raises(UsageError, match="no best checkpoint: the training had no evaluation"):
        trained.sample(3, checkpoint="best")


def test_samples_of_given_latents_are_those_images(run: RunDirectory) -> None:
    """Latents may be passed back in, in any order; their number is that of the images."""
    trained = package.load(run.path)
    drawn = trained.sample(5, 3)
    again = trained.sample(latents=drawn.latents[::-1].copy(), seed=9)
    assert np.array_equal(again.images, drawn.images[::-1])


def test_modules_of_a_checkpoint_have_its_weights(run: RunDirectory) -> None:
    """Components and their submodules are found by name, in evaluation mode; names that fit nothing are errors."""
    trained = package.load(run.path)
    with safe_open(run.checkpoint_path(2) / "discriminator.safetensors", "pt") as file:
        saved = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is not a dictionary
    discriminator = trained.module("discriminator", checkpoint=2)
    assert not discriminator.training
    assert saved.keys() == discriminator.state_dict().keys()
    assert all(torch.equal(value, saved[name]) for name, value in discriminator.state_dict().items())
    weights = trained.module("discriminator.layers", checkpoint=2).state_dict()
    assert all(torch.equal(value, saved[f"layers.{name}"]) for name, value in weights.items())
    average, plain = trained.module("generator"), trained.module("generator", ema=False)
    z = torch.ones(1, 100)
    assert torch.equal(average(z), trained.generator()(z))
    assert torch.equal(plain(z), trained.generator(ema=False)(z))
    with pytest.raises(UsageError, match="no module 'descriminator'; did you mean 'discriminator'"):
        trained.module("descriminator")
    with pytest.raises(UsageError, match=r"ambiguous module .*: generator\.layers, discriminator\.layers"):
        trained.module("layers")


def test_sample_writes_a_grid_a_folder_or_arrays(run: RunDirectory, tmp_path: Path) -> None:
    """.png is one grid, .npz holds images, latents and no labels, anything else is a folder of PNGs."""
    assert command("sample", run.path, "-n", "9", "--out", "grid.png", "--columns", "9").returncode == 0
    with Image.open("grid.png") as picture:
        assert picture.size[0] > 9 * 28 > picture.size[1]
    assert command("sample", run.path, "-n", "3", "--seed", "5", "--out", "folder").returncode == 0
    assert sorted(path.name for path in Path("folder").iterdir()) == ["00000.png", "00001.png", "00002.png"]
    done = command("sample", run.path, "-n", "3", "--seed", "5", "--out", "three.npz", "--json")
    assert json.loads(done.stdout)["num_samples"] == 3
    with np.load("three.npz", allow_pickle=False) as arrays:
        assert sorted(arrays) == ["checkpoint", "images", "seeds", "z"]
        assert (arrays["images"].shape, arrays["images"].dtype) == ((3, 28, 28, 1), np.uint8)
        assert (arrays["z"].shape, arrays["z"].dtype) == ((3, 100), np.float32)
        with Image.open("folder/00002.png") as picture:
            assert np.array_equal(np.asarray(picture), arrays["images"][2, :, :, 0])
    refused = command("sample", run.path, "--out", "grid.png")
    assert refused.returncode == 2
    assert "exists already" in refused.stderr
    assert command("sample", run.path, "--out", "grid.jpg").returncode == 2
    hint = command("sample", run.path, "--label", "7")
    assert (hint.returncode, "--condition 7" in hint.stderr) == (2, True)
    invalid = command("sample", run.path, "--checkpoint", "newset")
    assert (invalid.returncode, "give a step, newest or best" in invalid.stderr) == (2, True)
    option = command("sample", run.path, "--sampling.truncation", "0.7")
    assert (option.returncode, "invalid sampling option 'truncation'" in option.stderr) == (2, True)
    other = command("sample", run.path, "--set", "gen.hidden=8")
    assert (other.returncode, "sampling.OPTION=VALUE" in other.stderr) == (2, True)


def test_npz_file_is_written_whole_or_not_at_all(run: RunDirectory, tmp_path: Path) -> None:
    """Saving replaces an old file by a rename and leaves nothing else; a failure leaves the old one."""
    samples, path = package.load(run.path).sample(2), tmp_path / "files" / "two.npz"
    path.parent.mkdir()
    path.write_bytes(b"old")
    broken = replace(samples, latents=Unreadable())  # type: ignore[arg-type]  # fails as on a full disk
    with pytest.raises(OSError, match="no space"):
        broken.save_npz(path)
    assert [(entry.name, entry.read_bytes()) for entry in path.parent.iterdir()] == [("two.npz", b"old")]
    samples.save_npz(path)
    assert [entry.name for entry in path.parent.iterdir()] == ["two.npz"]
    with np.load(path) as arrays:
        assert np.array_equal(arrays["images"], samples.images)


def test_runs_lists_every_run_with_its_end(run: RunDirectory, tmp_path: Path) -> None:
    """Runs at any depth are listed, a damaged manifest as `damaged`; --json holds the same."""
    damaged = tmp_path / "deep" / "er"
    damaged.mkdir(parents=True)
    (damaged / "run.json").write_text("{")
    done = command("runs", tmp_path, "--json")
    rows = {Path(row["path"]).name: row for row in json.loads(done.stdout)}
    assert rows["run"]["status"] == "finished"
    assert (rows["run"]["gen"], rows["run"]["steps"], rows["run"]["images_seen"]) == ("mlp", 4, 40)
    assert rows["er"]["status"] == "damaged"
    table = command("runs", tmp_path)
    assert "finished" in table.stdout
    assert "\x1b" not in table.stdout
    missing = command("runs", tmp_path / "nowhere")
    assert missing.returncode == 2
    assert "the folder does not exist" in missing.stderr


def test_listing_runs_imports_no_torch(run: RunDirectory, tmp_path: Path) -> None:
    """A thousand runs must be listed quickly, so that nothing heavy is imported for it."""
    assert [summary.status for summary in find_runs(tmp_path)] == ["finished"]


def test_run_prints_one_document(ganforge: Ganforge, tmp_path: Path) -> None:
    """`run --json` prints the keys of the contract and nothing else; the run directory has the contract's files."""
    settings = [word for setting in SMALL for word in ("--set", setting)]
    done = ganforge("run", *settings, "--data.source", "sample", "--out", "r", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    keys = {"run", "status", "steps", "images_seen", "images_per_second", "elapsed_seconds", "losses"}
    assert keys <= document.keys()
    assert (document["status"], document["steps"], document["images_seen"]) == ("finished", 4, 40)
    assert document["losses"].keys() == {"discriminator", "generator"}
    names = {path.name for path in Path("r").iterdir()}
    assert {"run.toml", "run.json", "metrics.jsonl", "samples", "checkpoints", "report.html"} <= names
    assert {path.name for path in Path("r/samples").iterdir()} == {"step-00000000.png", "step-00000004.png"}
    row = json.loads(Path("r/metrics.jsonl").read_text().splitlines()[-1])
    losses = ("loss/discriminator", "loss/generator", "logits/real", "logits/fake", "prob/real", "prob/fake")
    others = ("lr/gen", "lr/disc", "health/diversity", "health/alerts", "images_per_second", "elapsed_seconds")
    assert {"step", "epoch", "images_seen", *losses, *others} == row.keys()
    manifest = json.loads(Path("r/run.json").read_text())
    for key in ("command", "versions", "plugins", "data", "hardware", "precision", "seed", "git_commit", "summary"):
        assert key in manifest
    assert len(manifest["data"]["fingerprint"]) == 64
    image = manifest["data"]["image"]
    assert (image["channels"], image["height"], image["width"], image["dtype"]) == (1, 28, 28, "uint8")
    assert (image["condition"]["kind"], image["condition"]["num_classes"]) == ("classes", 10)
    again = ganforge("run", "--out", "r")
    assert again.returncode == 2
    assert "ganforge resume r" in again.stderr


def test_runs_get_numbered_directories(tmp_path: Path) -> None:
    """Without --out each run gets a fresh directory below runs/."""
    settings = [word for setting in SMALL for word in ("--set", setting)]
    for number in (1, 2):
        done = command("run", *settings, "--data.source", "sample", "--quiet")
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "runs" / f"mlp-mlp-bce-mnist-{number:03d}" / "run.toml").is_file()


def test_everything_exported_is_there() -> None:
    """`ganforge.__all__` is sorted, complete, and every name in it can be had."""
    assert list(package.__all__) == sorted(package.__all__)
    assert set(package._LAZY) <= set(package.__all__)
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = package.Nothing


def test_a_dataset_without_its_plugin_makes_pictures_and_reads_nothing(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pictures of uint8 images need no plugin; the real images are refused with the reason."""

    def reload(*_: object) -> NoReturn:
        raise UnknownComponentError("no dataset 'mnist'")

    monkeypatch.setattr(sample, "reload", reload)
    dataset = sample.dataset_of(package.load(run.path))
    assert dataset.to_pixels(torch.tensor([-1.0, 1.0]).reshape(1, 1, 1, 2)).flatten().tolist() == [0, 255]
    with pytest.raises(DataError, match="the train split cannot be read: the plugin of the dataset is not installed"):
        dataset.open("train")

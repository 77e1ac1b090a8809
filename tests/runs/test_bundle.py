"""Bundles: the same images elsewhere, nothing private, and one message for a malicious file."""

from __future__ import annotations

import gc
import io
import json
import shutil
import stat
import sys
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganforge import TrainedRun, load
from ganforge.config import command_line_layer
from ganforge.config.resolve import resolve
from ganforge.errors import RunDirectoryError, UnknownComponentError, UsageError
from ganforge.plugins.registry import Registry
from ganforge.runs import bundle as bundles
from ganforge.runs import launch
from ganforge.runs.setup import prepare
from ganforge.runs.sources import INDEX
from ganforge.training.run_directory import RunDirectory
from tests.helpers.checkpoints import train_small
from tests.helpers.run_directories import change_json
from tests.helpers.runs import ROOT

STREAMED = ROOT / "tests/helpers/streamed_digits.py"
PLUGIN = ROOT / "tests" / "helpers" / "sampling_plugin.py"
SETTINGS = ("gen=counting", "disc=any", "data=channels", "latent=drifting", "batch_size=8", "steps=2", "precision=fp32")
Contents = dict[str, bytes]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """Train four steps with a moving average and a score."""
    folder = tmp_path_factory.mktemp("secret-folder")
    evaluation = ("evaluate_every=4", "num_samples=16", "metric=sliced-wasserstein")
    return train_small(Registry.discover(no_plugins=True), folder / "run", *evaluation)


@pytest.fixture(scope="module")
def contents(run: RunDirectory, tmp_path_factory: pytest.TempPathFactory) -> Contents:
    """Return the files of a valid bundle."""
    path = tmp_path_factory.mktemp("bundle") / "bundle.zip"
    write(run, path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(run: RunDirectory, path: Path, *, ema: bool | None = None, plugins: tuple[Path, ...] = ()) -> TrainedRun:
    """Write the bundle of a run's newest checkpoint, and return the run."""
    trained = load(run.path, plugins=plugins)
    bundles.write_bundle(trained, trained.checkpoint(), trained.weights_file(ema=ema), path)
    return trained


def pack(path: Path, contents: Contents, **attributes: Any) -> Path:
    """Write a zip file, with some attributes for each member."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            member = zipfile.ZipInfo(name)
            for attribute, value in attributes.items():
                setattr(member, attribute, value)
            archive.writestr(member, content, attributes.get("compress_type"))
    return path


def signed(contents: Contents) -> Contents:
    """Return files with a bundle.json that agrees with them, as a malicious author would write it."""
    files = {name: sha256(content).hexdigest() for name, content in contents.items() if name != INDEX}
    index = {"format": 1, "plugins": [], "files": files}
    return {**contents, INDEX: json.dumps(index).encode()}


def weights_name(contents: Contents) -> str:
    """Return the name of the file of weights."""
    return next(name for name in contents if name.endswith(".safetensors"))


def test_a_bundle_draws_the_images_of_the_run(run: RunDirectory, tmp_path: Path) -> None:
    """Averaged or plain weights, the scores of the step and the settings of the networks are those of the run."""
    for ema in (True, False):
        path = tmp_path / f"{ema}.zip"
        trained = write(run, path, ema=ema)
        bundle = load(path)
        assert np.array_equal(bundle.sample(5, 3).images, trained.sample(5, 3, ema=ema).images)
        assert bundle.experiment.gen == trained.experiment.gen
        assert [row.step for row in bundle.evaluations] == ([4] if ema else [])


def test_equal_runs_have_equal_bundles(run: RunDirectory, tmp_path: Path) -> None:
    """Two bundles of a run have the same bytes."""
    write(run, tmp_path / "one.zip")
    write(run, tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_bundles_have_no_paths_and_no_optimizers(run: RunDirectory, tmp_path: Path) -> None:
    """A bundle has neither a folder of the machine, nor the command, nor keys of other programs, nor other networks."""
    change = {"command": ["ganforge", "--out=/home/me/secret-folder"], "token": "s3cret"}
    before = change_json(run.manifest, **change)
    try:
        write(run, tmp_path / "bundle.zip")
    finally:
        run.manifest.write_text(json.dumps(before))
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:
        names = archive.namelist()
        texts = [archive.read(name).decode() for name in names if not name.endswith(".safetensors")]
    assert not any("secret" in text or "s3cret" in text or str(Path.home()) + "/" in text for text in texts)
    assert [Path(name).name for name in names if name.endswith(".safetensors")] == ["generator_ema.safetensors"]


def test_a_generator_that_depends_on_others_is_bundled_with_them(tmp_path: Path) -> None:
    """A generator sized by the discriminator, and a latent distribution with state, draw the run's images."""
    registry = Registry.discover([PLUGIN], no_plugins=True)
    (tmp_path / "data").mkdir()
    for split in ("train", "test"):
        (tmp_path / "data" / split).touch()
    settings = [*SETTINGS, f"data.path={tmp_path / 'data'}"]
    directory = RunDirectory(tmp_path / "run")
    prepared = prepare(resolve([command_line_layer(settings)], registry), registry)
    launch.start_run(prepared, out=directory.path)
    shutil.rmtree(tmp_path / "data")
    trained = write(directory, tmp_path / "bundle.zip", plugins=(PLUGIN,))
    bundle = load(tmp_path / "bundle.zip", plugins=[PLUGIN])
    assert np.array_equal(bundle.sample(5, 3).images, trained.sample(5, 3).images)
    with pytest.raises(UnknownComponentError) as caught:
        load(tmp_path / "bundle.zip").sample(5)
    assert (
        caught.value.fix
        == "this run used a local plugin: pass --plugin sampling_plugin.py; in Python, plugins=['sampling_plugin.py']"
    )


def test_images_are_drawn_without_the_plugin_of_their_dataset(tmp_path: Path) -> None:
    """A generator of uint8 images needs no dataset; reading the data, or pictures of other numbers, needs it."""
    registry = Registry.discover([STREAMED], no_plugins=True)
    settings = ["data=streamed-digits", "gen=mlp", "disc=mlp", "steps=1", "batch_size=4", "evaluate=none"]
    directory = RunDirectory(tmp_path / "run")
    launch.start_run(prepare(resolve([command_line_layer(settings)], registry), registry), out=directory.path)
    trained = write(directory, tmp_path / "bundle.zip", plugins=(STREAMED,))
    bundle = load(tmp_path / "bundle.zip")
    assert np.array_equal(bundle.sample(5, 3).images, trained.sample(5, 3).images)
    with pytest.raises(UnknownComponentError, match="no dataset 'streamed-digits'"):
        bundle.evaluate(["fid"])
    record = json.loads(directory.manifest.read_text())
    image = record["data"]["image"] | {"dtype": "float32"}
    change_json(directory.manifest, data=record["data"] | {"image": image})
    with pytest.raises(UnknownComponentError, match="no dataset 'streamed-digits'"):
        load(directory.path).sample(5)


def test_an_unpacked_bundle_is_removed_with_its_run(contents: Contents, tmp_path: Path) -> None:
    """The temporary folder lives as long as the run, and a bundle unpacked by any zip program is a run, too."""
    bundle = load(pack(tmp_path / "bundle.zip", contents))
    folder = bundle.path
    assert folder.is_dir()
    del bundle
    gc.collect()
    assert not folder.parent.exists()
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    assert len(load(tmp_path / "unpacked").sample(2)) == 2


def without(contents: Contents, name: str) -> Contents:
    """Return all files but one."""
    return {other: content for other, content in contents.items() if other != name}


def huge_header(contents: Contents) -> Contents:
    """Return a bundle whose weights begin with a header of 2^40 bytes."""
    return signed(contents | {weights_name(contents): (1 << 40).to_bytes(8, "little") + b"{}"})


ATTACKS: dict[str, tuple[Callable[[Contents], Contents], str]] = {
    "a path above": (lambda files: signed({**files, "../evil.json": b"{}"}), "../evil.json is not a file of a bundle"),
    "an absolute path": (lambda files: signed({**files, "/tmp/evil.json": b"{}"}), "/tmp/evil.json is not a file"),  # noqa: S108 - an attack
    "a backslash": (lambda files: signed({**files, "..\\evil.json": b"{}"}), "evil.json is not a file of a bundle"),
    "a program": (lambda files: signed({**files, "checkpoints/step-00000004/x.py": b""}), "x.py is not a file"),
    "a control character": (lambda files: signed({**files, "\x1b[2J.json": b"{}"}), r"\x1b[2J.json is not a file"),
    "no index": (lambda files: without(files, INDEX), "it has no bundle.json"),
    "an invalid index": (lambda files: files | {INDEX: b'{"format": 2}'}, "bundle.json is invalid: format = 2"),
    "a deep index": (lambda files: files | {INDEX: b"[" * 10_000}, "bundle.json is invalid"),
    "a missing file": (lambda files: without(files, "run.toml"), "run.toml is not in both"),
    "an unlisted file": (lambda files: {**files, "evaluation.jsonl": b"x"}, "evaluation.jsonl is damaged"),
    "a changed file": (lambda files: files | {"run.toml": b"steps = 1"}, "run.toml is damaged"),
    "damaged weights": (lambda files: files | {weights_name(files): b"torn"}, "is damaged: its checksum"),
    "weights of nothing": (lambda files: signed(files | {weights_name(files): b"torn"}), "cannot be read"),
    "a huge header": (huge_header, "cannot be read"),
    "a damaged run.json": (lambda files: signed(files | {"run.json": b"{}"}), "run.json is damaged"),
    "settings of nothing": (lambda files: signed(files | {"run.toml": b"steps = 1"}), "not a resolved experiment"),
}


def refuse(path: Path, message: str) -> None:
    """Check that a file is refused with one message that names it, and leaves nothing behind."""
    before = set(path.parent.iterdir())
    with pytest.raises(RunDirectoryError) as caught:
        load(path)
    assert message in caught.value.message
    assert str(path) in caught.value.message
    assert caught.value.message.isprintable()
    assert set(path.parent.iterdir()) == before


@pytest.mark.parametrize("attack", ATTACKS)
def test_malicious_bundles_are_refused(
    attack: str, contents: Contents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is one message, and no file is left, also within the folder for temporary files."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    change, message = ATTACKS[attack]
    refuse(pack(tmp_path / "bundle.zip", change(contents)), message)


def test_zip_files_of_other_kinds_are_refused(contents: Contents, tmp_path: Path) -> None:
    """Compressed, linked, repeated, overlapping and endless members, and files of another format, are refused."""
    path = tmp_path / "bundle.zip"
    bomb = signed({**contents, "evaluation.jsonl": bytes(1 << 25)})
    refuse(pack(path, bomb, compress_type=zipfile.ZIP_DEFLATED), "is compressed")
    refuse(pack(path, bomb), "evaluation.jsonl is longer than")
    refuse(pack(path, contents, external_attr=(stat.S_IFLNK | 0o777) << 16), "is a link")
    with zipfile.ZipFile(pack(path, contents), "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("run.toml", contents["run.toml"])
    refuse(path, "run.toml is in it twice")
    refuse(pack(path, {f"checkpoints/step-00000004/{index}.json": b"" for index in range(1001)}), "more than 1,000")
    torch.save({"weight": torch.ones(1)}, path)
    refuse(path, "it is a zip file of another program, with a ZIP64 record")
    path.write_bytes(b"PK")
    refuse(path, "it is not a zip file")
    path.write_bytes(pack(path, contents).read_bytes()[:-1])
    refuse(path, "cut short")


def test_overlapping_members_are_refused(contents: Contents, tmp_path: Path) -> None:
    """Members that share their bytes, so that a small file unpacks to a large one, are refused."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(50):
            member = zipfile.ZipInfo(f"checkpoints/step-00000004/{number:02}.safetensors")
            archive.writestr(member, bytes(1000 if number == 0 else 0))
        for member in archive.infolist():
            member.header_offset, member.file_size, member.compress_size = 0, 1000, 1000
    path = tmp_path / "bundle.zip"
    path.write_bytes(buffer.getvalue())
    refuse(path, "its files are longer than itself")


def test_the_zoo_is_named_if_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ganforge-zoo the message has the command that installs it."""
    monkeypatch.setitem(sys.modules, "ganforge_zoo", None)
    with pytest.raises(UsageError, match="zoo:digits needs ganforge-zoo") as caught:
        load("zoo:digits")
    assert "pip install ./plugins/ganforge-zoo" in str(caught.value.fix)

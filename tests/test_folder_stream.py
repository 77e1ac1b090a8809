"""Laws of a folder whose pictures are read while training goes on: as those that are loaded, without loading them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import read_rows_without_times
from folder_parts import folder, noise, save
from test_resume import digests

from ganforge.builtin.datasets import folder as module
from ganforge.builtin.datasets.folder import Folder
from ganforge.builtin.datasets.folder_stream import machine_memory, too_large
from ganforge.config import command_line_layer
from ganforge.config.resolve import resolve
from ganforge.errors import DataError
from ganforge.plugins.registry import Registry
from ganforge.runs import launch
from ganforge.runs.setup import prepare
from ganforge.training.run_directory import RunDirectory


def pictures(root: Path) -> Path:
    """Write two classes of six colourful pictures each, of two shapes, and return their folder."""
    for index in range(12):
        picture = noise("RGB", (20 + index, 18)).rotate(30 * index)
        save(root / f"{'cat' if index % 2 else 'dog'}" / f"{index}.png", picture)
    return root


def run_on(root: Path, out: Path, registry: Registry, *settings: str) -> RunDirectory:
    """Train a few steps on the pictures, and return the run directory."""
    networks = ("gen=mlp", "disc=mlp", "gen.hidden=[8]", "disc.hidden=[8]", "batch_size=5", "steps=6")
    data = ("data=folder", f"data.path={root}", "data.size=16", "precision=fp32", "device=cpu")
    evaluated = ("evaluate_every=3", "num_samples=10", "max_eval_time_fraction=1")
    layer = command_line_layer([*networks, *data, *evaluated, *settings])
    prepared = prepare(resolve([layer], registry), registry)
    assert launch.start(prepared, out=out).status == "finished"
    return RunDirectory(out)


def test_streamed_pictures_train_as_loaded_ones(registry: Registry, tmp_path: Path) -> None:
    """Streamed by 0 and by 2 processes or loaded, a run on PNGs ends with the same bits and scores."""
    root = pictures(tmp_path / "pictures")
    loaded = run_on(root, tmp_path / "loaded", registry)
    assert loaded.read_experiment().data.options["stream"] == "no", "what auto meant is written down"
    for workers in (0, 2):
        settings = ("data.stream=yes", f"workers={workers}")
        streamed = run_on(root, tmp_path / f"streamed-{workers}", registry, *settings)
        assert digests(streamed) == digests(loaded)
        assert read_rows_without_times(streamed.metrics) == read_rows_without_times(loaded.metrics)
        assert streamed.read_manifest()["data"]["sizes"] == {"train": 12}
        one, two = (read_rows_without_times(run.evaluations) for run in (streamed, loaded))
        assert [row["scores"] for row in one] == [row["scores"] for row in two]


def test_what_is_opened_is_what_is_loaded(tmp_path: Path) -> None:
    """Image for image and label for label, also after pickling; and both describe the same data."""
    root = pictures(tmp_path)
    loaded, streamed = folder(root, size=8), folder(root, size=8, stream="yes")
    images = loaded.load("train")
    assert streamed.load("train") is None
    opened = pickle.loads(pickle.dumps(streamed.open("train")))  # noqa: S301 - our own
    assert images is not None
    assert images.labels is not None
    assert len(opened) == len(images)
    for index in range(len(opened)):
        pixels, label = opened[index]
        assert torch.equal(pixels, images.pixels[index])
        assert label == images.labels[index]
    one, two = loaded.info, streamed.info
    assert (one.image, one.class_names, one.sizes, one.source) == (two.image, two.class_names, two.sizes, two.source)
    assert streamed.resolved().stream == "yes"


def test_describing_decodes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`info` of streamed pictures comes from headers; what these cannot tell is left to whoever reads."""
    root = pictures(tmp_path)
    save(root / "cat" / "empty.png").write_bytes(b"")
    monkeypatch.setattr(module, "read_pixels", None)
    data = folder(root, size=8, stream="yes")
    assert data.notices == ()
    assert data.info.sizes == {"train": 12}
    assert "cat/empty.png" in data.notices[0]


def test_auto_streams_what_takes_more_than_half_of_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the machine's memory is the limit for all splits together; a memory that is not known has none."""
    assert not too_large(50, 100)
    assert too_large(51, 100)
    assert not too_large(1 << 60, None)
    memory = machine_memory()
    assert memory is not None
    assert memory > 1 << 28
    for name in ("train/1.png", "train/2.png", "test/1.png"):
        save(tmp_path / name, noise("L", (8, 8)))
    pixels = 3 * 64
    for available, stream in ((2 * pixels, "no"), (2 * pixels - 1, "yes")):
        monkeypatch.setattr(module, "machine_memory", lambda available=available: available)
        data = folder(tmp_path)
        assert data.resolved().stream == stream
        assert (data.load("train") is None) == (data.load("test") is None) == (stream == "yes")


def change_name(root: Path) -> None:
    """Rename a picture."""
    (root / "cat" / "1.png").rename(root / "cat" / "one.png")


def change_size(root: Path) -> None:
    """Make a file longer."""
    with (root / "cat" / "1.png").open("ab") as file:
        file.write(b"\0")


def change_class(root: Path) -> None:
    """Rename a class, which keeps its place."""
    (root / "cat").rename(root / "car")


@pytest.mark.parametrize("change", [change_name, change_size, change_class])
def test_the_fingerprint_changes_with_the_files(change: Any, tmp_path: Path) -> None:
    """Names and sizes in bytes make the fingerprint, wherever the folder lies."""
    root = pictures(tmp_path / "here")

    def found(**options: Any) -> str:
        return folder(root, **{"size": 8, "stream": "yes", **options}).info.fingerprint

    before = found()
    root = root.rename(tmp_path / "there")
    assert found() == before
    assert len({before, found(size=9), found(colour="grey"), found(colour="rgb")}) == 4
    change(root)
    assert found() != before


def test_a_picture_that_cannot_be_decoded_is_named(registry: Registry, tmp_path: Path) -> None:
    """A header that promises more than the file holds ends the run with an error that names the picture."""
    root = pictures(tmp_path / "pictures")
    file = root / "dog" / "4.png"
    file.write_bytes(file.read_bytes()[:200])
    items = folder(root, size=8, stream="yes").open("train")
    with pytest.raises(DataError, match=r"^dog/4.png in .*/pictures: ") as raised:
        [items[index] for index in range(len(items))]
    assert "--data.stream no" in str(raised.value.fix)
    settings = ("gen=mlp", "disc=mlp", "data=folder", f"data.path={root}", "data.size=8", "data.stream=yes", "steps=3")
    layer = command_line_layer([*settings, "batch_size=12", "precision=fp32", "device=cpu"])
    outcome = launch.start(prepare(resolve([layer], registry), registry), out=tmp_path / "run")
    assert outcome.status == "failed"
    assert "dog/4.png" in str(outcome.error)


def test_a_class_without_a_readable_picture_is_refused(tmp_path: Path) -> None:
    """As where pictures are loaded: no class stays empty in silence."""
    root = pictures(tmp_path)
    for file in (root / "dog").iterdir():
        file.write_bytes(b"")
    with pytest.raises(DataError, match="no picture of class 'dog' for training could be read"):
        _ = folder(root, size=8, stream="yes").info
    with pytest.raises(DataError, match="has no test split"):
        folder(root, size=8, stream="yes").open("test")
    assert Folder.Options(path=root).stream == "auto"

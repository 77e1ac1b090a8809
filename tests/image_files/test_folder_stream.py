"""Laws of a folder whose pictures are read during training: the same as those in memory."""

from __future__ import annotations

import os
import pickle
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from ganforge.builtin.datasets.folder import Folder
from ganforge.config import command_line_layer
from ganforge.config.resolve import resolve
from ganforge.errors import DataError
from ganforge.image_files import dataset as module
from ganforge.image_files import source as source_module
from ganforge.image_files.streamed import StreamedImages, container_limits, machine_memory, too_large
from ganforge.plugins.registry import Registry
from ganforge.runs import launch
from ganforge.runs.setup import prepare
from ganforge.training.callbacks import Callback
from tests.helpers.checkpoints import digests
from tests.helpers.image_folders import folder, in_memory, noise, pictures, run_on, save, streamed
from tests.helpers.runs import read_rows_without_times


@pytest.mark.parametrize("depth", [8, 16])
def test_streamed_pictures_train_as_those_in_memory(registry: Registry, tmp_path: Path, depth: int) -> None:
    """Streamed by 0 and by 2 workers or in memory, a run on PNGs ends with the same bits and scores."""
    root = pictures(tmp_path / "pictures")
    loaded = run_on(root, tmp_path / "loaded", registry, f"data.depth={depth}")
    assert loaded.read_experiment().data.options["stream"] == "no", "the decision of auto is recorded"
    for workers in (0, 2):
        settings = ("data.stream=yes", f"workers={workers}", f"data.depth={depth}")
        run = run_on(root, tmp_path / f"streamed-{workers}", registry, *settings)
        assert digests(run) == digests(loaded)
        assert read_rows_without_times(run.metrics) == read_rows_without_times(loaded.metrics)
        assert run.read_manifest().as_dict()["data"]["sizes"] == {"train": 12}
        one, two = (read_rows_without_times(each.evaluations) for each in (run, loaded))
        assert [row["scores"] for row in one] == [row["scores"] for row in two]


def test_streamed_pictures_equal_those_in_memory(tmp_path: Path) -> None:
    """Images and classes are the same, also after pickling; and so is the metadata."""
    root = pictures(tmp_path)
    loaded, lazy = folder(root, size=8), folder(root, size=8, stream="yes")
    images = in_memory(loaded)
    opened = pickle.loads(pickle.dumps(streamed(lazy)))  # noqa: S301 - our own
    assert images.condition is not None
    assert len(opened) == len(images)
    for index in range(len(opened)):
        pixels, label = opened[index]
        assert torch.equal(pixels, images.images[index])
        assert label == images.condition[index]
    assert replace(loaded.info, fingerprint="") == replace(lazy.info, fingerprint="")
    assert lazy.resolved().stream == "yes"


def test_describing_decodes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`info` of streamed pictures comes from headers; damage behind them is an error when a picture is read."""
    root = pictures(tmp_path)
    save(root / "cat" / "empty.png").write_bytes(b"")
    monkeypatch.setattr(source_module, "read_pixels", None)
    data = folder(root, size=8, stream="yes")
    assert data.notices == ()
    assert data.info.sizes == {"train": 12}
    assert "cat/empty.png" in str(data.notices)


def test_auto_streams_what_takes_more_than_half_of_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the machine's memory is the limit for all splits together; an unknown memory has no limit."""
    assert not too_large(50, 100)
    assert too_large(51, 100)
    assert not too_large(1 << 60, None)
    memory = machine_memory()
    assert memory is not None
    assert memory > 1 << 28
    for name in ("train/1.png", "train/2.png", "test/1.png"):
        save(tmp_path / name, noise("L", (8, 8)))
    pixels = 3 * 64
    for available, depth, stream in (
        (2 * pixels, 8, "no"),
        (2 * pixels - 1, 8, "yes"),
        (8 * pixels, 16, "no"),
        (8 * pixels - 1, 16, "yes"),
    ):
        monkeypatch.setattr(module, "machine_memory", lambda available=available: available)
        data = folder(tmp_path, depth=depth)
        assert data.resolved().stream == stream
        assert {isinstance(data.open(split), StreamedImages) for split in data.splits} == {stream == "yes"}


def test_memory_limits_of_containers_are_found(tmp_path: Path) -> None:
    """The limits of a process's cgroups and their parents apply, in v1 and v2; `max` and other cgroups do not."""
    membership = tmp_path / "membership"
    for name, content in {
        "memory.max": "max\n",
        "a/memory.max": "4096\n",
        "a/b/memory.max": "8192\n",
        "a/b/c/memory.max": "1\n",
        "memory/memory.limit_in_bytes": "9223372036854771712\n",
        "memory/a/memory.limit_in_bytes": "2048\n",
    }.items():
        file = tmp_path / "cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    for groups, limits in {
        "0::/a/b\n": [8192, 4096],
        "0::/somewhere/on/the/host\n": [],
        "5:cpu,cpuacct:/a\n4:memory:/a\n": [2048, 9223372036854771712],
        "4:hugetlb,memory:/elsewhere\n": [9223372036854771712],
        "": [],
    }.items():
        membership.write_text(groups)
        assert container_limits(tmp_path / "cgroup", membership) == limits
    assert container_limits(tmp_path / "cgroup", tmp_path / "missing") == []


def change_name(root: Path) -> None:
    """Rename a picture."""
    (root / "cat" / "1.png").rename(root / "cat" / "one.png")


def change_size(root: Path) -> None:
    """Make a file longer."""
    with (root / "cat" / "1.png").open("ab") as file:
        file.write(b"\0")


def change_pixel(root: Path) -> None:
    """Edit a pixel of a large picture, whose file keeps its length."""
    path = root / "cat" / "1.png"
    length = path.stat().st_size
    picture = Image.open(path)
    picture.putpixel((0, 0), (1, 2, 3))
    save(path, picture, compress_level=0)
    assert path.stat().st_size == length


def change_class(root: Path) -> None:
    """Rename a class, which keeps its place."""
    (root / "cat").rename(root / "car")


@pytest.mark.parametrize("change", [change_name, change_size, change_pixel, change_class])
def test_the_fingerprint_changes_with_the_files(change: Any, tmp_path: Path) -> None:
    """Names, lengths and parts of the files make the fingerprint; the place and the age of the folder do not."""
    root = pictures(tmp_path / "here")
    save(root / "cat" / "1.png", noise("RGB", (128, 128)), compress_level=0)

    def found(**options: Any) -> str:
        return folder(root, **{"size": 8, "stream": "yes", **options}).info.fingerprint

    before = found()
    root = shutil.copytree(root, tmp_path / "there", copy_function=shutil.copyfile)
    assert found() == before
    assert len({before, found(size=9), found(color="gray"), found(color="rgb"), found(depth=16)}) == 5
    change(root)
    assert found() != before


def test_the_fingerprint_reads_several_files_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads read, in any order, for the same fingerprint; a file that has gone has none."""
    root = pictures(tmp_path)
    data = folder(root, size=8, stream="yes")
    before, identity, both = data.info.fingerprint, data.image_source.identity, threading.Barrier(2, timeout=10)

    def together(name: str) -> int:
        both.wait()
        return identity(name)

    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    data = folder(root, size=8, stream="yes")
    monkeypatch.setattr(data.image_source, "identity", together)
    assert data.info.fingerprint == before
    data = folder(root, size=8, stream="yes")
    assert len(streamed(data)) == 12
    (root / "cat" / "1.png").unlink()
    with pytest.raises(DataError, match=r"cat/1\.png in .* cannot be read: No such file"):
        _ = data.info


def test_a_picture_that_cannot_be_decoded_is_named(registry: Registry, tmp_path: Path) -> None:
    """A header that promises more than the file holds ends the run with an error that names the picture."""
    root = pictures(tmp_path / "pictures")
    file = root / "dog" / "4.png"
    file.write_bytes(file.read_bytes()[:200])
    items = streamed(folder(root, size=8, stream="yes"))
    with pytest.raises(DataError, match=r"^dog/4.png in .*/pictures: ") as raised:
        [items[index] for index in range(len(items))]
    assert "--data.stream no" in str(raised.value.fix)
    settings = ("gen=mlp", "disc=mlp", "data=folder", f"data.path={root}", "data.size=8", "data.stream=yes", "steps=3")
    layer = command_line_layer([*settings, "batch_size=12", "precision=fp32", "device=cpu"])
    prepared = prepare(resolve([layer], registry), registry)
    outcome = launch.start_run(prepared, out=tmp_path / "run", callback=Callback())
    assert outcome.status == "failed"
    assert "dog/4.png" in str(outcome.error)


def test_a_class_without_a_readable_picture_is_refused(tmp_path: Path) -> None:
    """As for pictures in memory, an empty class is an error."""
    root = pictures(tmp_path)
    for file in (root / "dog").iterdir():
        file.write_bytes(b"")
    with pytest.raises(DataError, match="no picture of class 'dog' for training could be read"):
        _ = folder(root, size=8, stream="yes").info
    with pytest.raises(DataError, match="has no test split"):
        folder(root, size=8, stream="yes").open("test")
    assert Folder.Options(path=root).stream == "auto"

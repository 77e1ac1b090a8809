"""Laws of the one reader: regular files within a limit, without waiting for another program."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import platformdirs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganforge.builtin.datasets.idx import read_idx
from ganforge.errors import DataError, GanforgeError
from ganforge.plugins.local import load_local
from ganforge.report.pages.pictures import PictureError, embed
from ganforge.training.checkpoint_io import read_bytes
from ganforge.utils.files import (
    OutputError,
    append_row,
    cache_folder,
    filling,
    open_appending,
    output_errors,
    read_file,
    read_limited,
    write_atomically,
)


def _holes(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(20 << 30)


PLACES: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a folder": lambda path: path.mkdir(),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "20 GB of holes": _holes,
}
READERS: dict[str, Callable[[Path], object]] = {
    "read_file": read_file,
    "read_limited": lambda path: read_limited(path, limit_bytes=10, fix="another"),
    "a file of a checkpoint": read_bytes,
    "tensors of a checkpoint": lambda path: read_bytes(path.rename(path.with_suffix(".safetensors"))),
    "a picture of a page": embed,
    "a plugin": load_local,
    "MNIST": lambda path: read_idx(path, 3),
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_refuses_what_is_not_a_regular_file(reader: str, place: str, tmp_path: Path) -> None:
    """Each reader ends at once with an error that names the file."""
    path = tmp_path / "file"
    PLACES[place](path)
    with pytest.raises((OSError, GanforgeError, PictureError), match="file"):
        READERS[reader](path)


def test_an_error_without_a_number_keeps_its_text() -> None:
    """The message of a failed write has no `[Errno None]`."""
    with pytest.raises(OutputError, match=r"^a\.safetensors cannot be written$"), output_errors():
        raise OSError("a.safetensors cannot be written")


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux's /proc")
def test_files_of_the_kernel_are_not_read() -> None:
    """A file without a declared length, which may have no end or may be used up by reading, counts as empty."""
    assert read_file("/proc/self/maps") == b""


@pytest.mark.timeout(30)
@pytest.mark.parametrize("place", [name for name in PLACES if name != "20 GB of holes"])
def test_nothing_is_appended_to_what_is_not_a_regular_file(place: str, tmp_path: Path) -> None:
    """Rows and logs go to regular files; a pipe without a reader is not waited for."""
    path = tmp_path / "file"
    PLACES[place](path)
    with pytest.raises(OSError, match="file"):
        append_row(path, {"step": 1}, torn=True)
    with pytest.raises(OSError, match="file"):
        open_appending(path)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3), max_size=5),
    st.binary(max_size=9),
)
def test_rows_follow_any_content(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]], torn: bytes
) -> None:
    """Appended rows are whole lines, also after the incomplete line of a crash."""
    path = tmp_path_factory.getbasetemp() / "rows.jsonl"
    path.write_bytes(torn)
    for row in rows:
        append_row(path, row, torn=True)
    lines = path.read_bytes().removeprefix(torn).split(b"\n")
    assert [json.loads(line) for line in lines if line] == rows


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.binary(max_size=30), st.integers(0, 40))
def test_a_file_is_read_whole_or_not_at_all(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, limit: int
) -> None:
    """Files up to the limit are read exactly; longer ones are an error with the limit."""
    path = tmp_path_factory.getbasetemp() / "content"
    write_atomically(path, content)
    if len(content) <= limit:
        assert read_limited(path, limit_bytes=limit, fix="another") == content
    else:
        with pytest.raises(DataError, match=f"longer than {limit} bytes"):
            read_limited(path, limit_bytes=limit, fix="another")


def test_a_folder_that_is_filled_again_is_never_a_mixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the process ends between two files, those that are there are new; other files stay."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("a", "b", "other"):
        (folder / name).write_text("old")
    replace = Path.replace
    replaced: list[str] = []

    def stop_at_second(path: Path, target: Path) -> Path:
        if replaced:
            raise KeyboardInterrupt
        replaced.append(target.name)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", stop_at_second)

    def fill() -> None:
        with filling(folder) as temporary:
            for name in ("a", "b"):
                (temporary / name).write_text("new")

    with pytest.raises(KeyboardInterrupt):
        fill()
    assert {path.name: path.read_text() for path in folder.iterdir()} == {replaced[0]: "new", "other": "old"}
    monkeypatch.undo()
    fill()
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"a": "new", "b": "new", "other": "old"}


def test_an_early_platformdirs_has_no_cache_without_a_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its folder would lie below a folder `~` of the working folder."""
    assert cache_folder() == platformdirs.user_cache_path("ganforge")
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: Path("~/.cache", name))
    assert cache_folder() is None

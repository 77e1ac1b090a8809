"""Archives of arrays: limits, damage, atomic writing."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ganforge.errors import UsageError
from ganforge.utils import arrays
from ganforge.utils.arrays import read_npz, write_npz


def test_arrays_are_read_as_they_were_written(tmp_path: Path) -> None:
    """Names, types, shapes and values are kept."""
    written = {
        "a": np.arange(6, dtype=np.int64).reshape(2, 3),
        "b": np.array("text"),
        "c": np.zeros((0, 2), np.float32),
    }
    write_npz(tmp_path / "x.npz", written)
    read = read_npz(tmp_path / "x.npz")
    assert read.keys() == written.keys()
    for name, array in written.items():
        assert (read[name].dtype, read[name].shape) == (array.dtype, array.shape)
        assert np.array_equal(read[name], array)


def test_damaged_and_other_files_are_refused(tmp_path: Path) -> None:
    """Texts, torn archives, single arrays, members that are not arrays, folders, FIFOs: one message with the name."""
    write_npz(tmp_path / "torn.npz", {"a": np.arange(1000)})
    (tmp_path / "torn.npz").write_bytes((tmp_path / "torn.npz").read_bytes()[:-300])
    (tmp_path / "text.npz").write_text("not an archive")
    (tmp_path / "empty.npz").touch()
    with (tmp_path / "single.npz").open("wb") as file:
        np.save(file, np.arange(3))
    with zipfile.ZipFile(tmp_path / "member.npz", "w") as archive:
        archive.writestr("a.npy", "not an array")
    (tmp_path / "folder.npz").mkdir()
    os.mkfifo(tmp_path / "fifo.npz")
    for name in ("torn", "text", "empty", "single", "member", "folder", "fifo", "missing"):
        with pytest.raises(UsageError, match=rf"{name}\.npz"):
            read_npz(tmp_path / f"{name}.npz")


def test_headers_of_huge_arrays_allocate_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An array that its header declares larger than the limit is refused before it is read."""
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 4), }"
    header += b" " * (118 - len(header) - 1) + b"\n"
    with zipfile.ZipFile(tmp_path / "huge.npz", "w") as archive:
        archive.writestr("z.npy", b"\x93NUMPY\x01\x00\x76\x00" + header)
    with pytest.raises(UsageError, match="declares arrays of 16,000,000,000,000 bytes"):
        read_npz(tmp_path / "huge.npz")
    write_npz(tmp_path / "x.npz", {"a": np.zeros(100)})
    monkeypatch.setattr(arrays, "MAX_FILE_BYTES", 100)
    with pytest.raises(UsageError, match="it is longer than 100 bytes"):
        read_npz(tmp_path / "x.npz")

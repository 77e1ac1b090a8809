"""Laws of the IDX reader."""

from __future__ import annotations

import gzip
import lzma
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ganforge.builtin.datasets import idx
from ganforge.errors import DataError

PACK: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}


def content(shape: tuple[int, ...]) -> tuple[torch.Tensor, bytes]:
    """Return random pixels and the bytes of their plain file."""
    pixels = torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return pixels, idx.header(shape) + pixels.numpy().tobytes()


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("shape", [(7,), (3, 28, 28), (0, 28, 28), (70_000, 5, 4)])
def test_what_is_written_is_read(tmp_path: Path, suffix: str, shape: tuple[int, ...]) -> None:
    """Plain, .gz and .xz give back shape and bytes, under whichever name."""
    pixels, plain = content(shape)
    for name in (f"file{suffix}", "file"):
        path = tmp_path / name
        path.write_bytes(PACK[suffix](plain))
        read = idx.read_idx(path, len(shape))
        assert read.dtype == torch.uint8
        assert read.shape == shape
        assert torch.equal(read, pixels)


@given(data=st.data(), suffix=st.sampled_from(list(PACK)))
def test_damage_is_an_error_that_names_the_file(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, suffix: str
) -> None:
    """If any bytes are changed or cut off, the reader raises DataError with the path, or returns a whole tensor."""
    packed = bytearray(PACK[suffix](content((3, 5, 4))[1]))
    for _ in range(data.draw(st.integers(0, 3))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    packed = packed[: data.draw(st.integers(0, len(packed)))] + data.draw(st.binary(max_size=9))
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(packed)
    try:
        read = idx.read_idx(path, 3)
    except DataError as error:
        message = str(error)
    else:
        assert read.ndim == 3
        assert read.dtype == torch.uint8
        if packed[:4] == bytes((0, 0, 8, 3)):
            assert read.numel() == len(packed) - 16, "a plain file's every byte is in the tensor"
        return
    assert str(path) in message


@pytest.mark.parametrize("suffix", PACK)
def test_every_cut_is_noticed(tmp_path: Path, suffix: str) -> None:
    """No file that is cut short by one byte or more, or is one longer, is accepted."""
    packed = PACK[suffix](content((2, 3, 4))[1])
    path = tmp_path / "file"
    for wrong in [packed[:length] for length in range(len(packed))] + [packed + b"x"]:
        path.write_bytes(wrong)
        with pytest.raises(DataError, match=str(path)):
            idx.read_idx(path, 3)


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("sizes", [(2**32 - 1, 2**32 - 1, 2**32 - 1), (1000, 1000, 1000)])
def test_a_crafted_header_allocates_nothing(tmp_path: Path, suffix: str, sizes: tuple[int, ...]) -> None:
    """A header that announces a gigabyte costs no more than the 8 MiB that an .xz dictionary takes."""
    path = tmp_path / "file"
    path.write_bytes(PACK[suffix](idx.header(sizes) + b"few"))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="announces"):
            idx.read_idx(path, 3)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
def test_a_bomb_is_not_unpacked(tmp_path: Path, suffix: str) -> None:
    """A compressed file is read only as far as its header announces, and by at most one chunk further."""
    path = tmp_path / "bomb"
    path.write_bytes(PACK[suffix](idx.header((2, 2, 2)) + bytes(64 << 20)))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="it is longer"):
            idx.read_idx(path, 3)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_a_huge_dictionary_is_refused(tmp_path: Path) -> None:
    """An .xz that needs more memory than any preset is an error, not an allocation."""
    path = tmp_path / "file"
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 28}]
    path.write_bytes(lzma.compress(content((2, 2, 2))[1], filters=filters))
    with pytest.raises(DataError, match="damaged"):
        idx.read_idx(path, 3)


def test_other_dimensions_are_refused(tmp_path: Path) -> None:
    """A file of labels is not taken for images, and the error shows both beginnings."""
    path = tmp_path / "labels"
    path.write_bytes(content((5,))[1])
    with pytest.raises(DataError, match="00 00 08 01, not with 00 00 08 03"):
        idx.read_idx(path, 3)


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """A missing file, a folder, and a file without permission are each a DataError that names it."""
    locked = tmp_path / "locked"
    locked.write_bytes(content((5,))[1])
    locked.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root may read everything; `nobody` may not
    try:
        for path, words in ((locked, "denied"), (Path("/"), "directory"), (Path("/no/such"), "No such file")):
            with pytest.raises(DataError, match=words) as raised:
                idx.read_idx(path, 1)
            assert str(path) in str(raised.value)
    finally:
        os.seteuid(user)

"""Laws of pictures that cannot be read."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from ganforge.errors import DataError
from tests.helpers.image_folders import folder, grays, in_memory, noise, save, streamed


def test_unreadable_pictures_are_skipped_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Damage, wrong extensions, pipes, broken links and bombs cause one notice, and no good picture is lost."""
    whole = save(tmp_path / "0.png", noise("L")).read_bytes()
    save(tmp_path / "8.png", noise("L").point(lambda value: 255 - value))
    (tmp_path / "1.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "2.png").write_bytes(b"")
    (tmp_path / "3.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    os.mkfifo(tmp_path / "4.png")
    (tmp_path / "5.png").symlink_to("nowhere")
    save(tmp_path / "6.png", Image.new("L", (200, 200)))
    (tmp_path / "7\n\x1b[31m.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    data = folder(tmp_path, size=40)
    pixels = in_memory(data).images
    assert len(pixels) == 2
    assert torch.equal(pixels[0], 255 - pixels[1])
    _, notice = data.notices
    assert notice.startswith(f"{tmp_path}: 7 of 9 pictures could not be read and are skipped: 2.png (not a picture")
    assert "3.jpg (not a picture" in notice, "a disguised EPS does not reach Ghostscript"
    assert "4.png (not a regular file)" in notice
    assert "5.png (No such file or directory)" in notice
    assert notice.endswith(", and 2 more")
    assert data.source.endswith(": 2 for training")


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    """No readable picture, in all or in one class, is an error that names some and why."""
    save(tmp_path / "cat" / "1.png")
    (tmp_path / "dog").mkdir()
    (tmp_path / "dog" / "1.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"no picture of class 'dog' .* dog/1.png \(not a picture in a format"):
        folder(tmp_path).open("train")
    with pytest.raises(DataError, match=r"no picture in .* could be read; 1 of 1 pictures"):
        folder(tmp_path / "dog").open("train")


@pytest.mark.parametrize("stream", ["auto", "no"])
def test_a_damaged_picture_decides_nothing(tmp_path: Path, stream: str) -> None:
    """A picture whose header is whole but whose pixels are not decides neither the colors nor the size of a folder."""
    for index in range(3):
        save(tmp_path / f"{index}.png", noise("L"))
    whole = save(tmp_path / "bad.png", noise("RGB", (30, 30))).read_bytes()
    (tmp_path / "bad.png").write_bytes(whole[: len(whole) // 2])
    data = folder(tmp_path, stream=stream)
    assert in_memory(data).images.shape == (3, 1, 40, 40)
    assert "1 of 4 pictures could not be read and are skipped: bad.png" in str(data.notices)


def test_pillows_warnings_do_not_leak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture that Pillow warns of is read without a warning, and the warnings' filters are restored."""
    save(tmp_path / "1.png", Image.new("L", (150, 100), 5))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    before = warnings.filters[:]
    assert grays(folder(tmp_path)) == [5]
    assert warnings.filters == before


@pytest.mark.parametrize("where", ["before", "behind"])
def test_large_metadata_hides_no_png(tmp_path: Path, where: str) -> None:
    """A PNG whose text unpacks to more than Pillow allows, as a workflow may, is read; the text is never unpacked."""
    info = PngImagePlugin.PngInfo()
    info.add_text("k", "x" * (PngImagePlugin.MAX_TEXT_CHUNK + 1), zip=True)
    content = save(tmp_path / "1.png", 7, pnginfo=info).read_bytes()
    start = content.index(b"zTXt") - 4
    end = start + 12 + int.from_bytes(content[start : start + 4])
    if where == "behind":
        content = content[:start] + content[end:-12] + content[start:end] + content[-12:]
        (tmp_path / "1.png").write_bytes(content)
    assert grays(folder(tmp_path)) == [7]
    assert int(streamed(folder(tmp_path, stream="yes"))[0][0][0, 0, 0]) == 7


@settings(max_examples=60, deadline=None)
@given(data=st.data(), end=st.sampled_from(["png", "jpg", "gif", "bmp", "tiff", "webp"]))
def test_any_damage_is_contained(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, end: str) -> None:
    """If any bytes of one picture change, the others are read, and it is either read or named."""
    place = tmp_path_factory.mktemp("damage")
    save(place / "good.png", noise("RGB", (8, 8)))
    path = save(place / f"bad.{end}", noise("RGB", (8, 8)))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    pictures = folder(place, size=8, color="rgb")
    count = len(in_memory(pictures))
    assert torch.equal(in_memory(pictures).images[-1], torch.tensor(np.asarray(noise("RGB", (8, 8)))).permute(2, 0, 1))
    skipped = [line for line in pictures.notices if "skipped" in line]
    assert count + len(skipped) == 2
    assert all(f"bad.{end}" in line for line in skipped)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no /proc/self/status with the peak of memory")
def test_transparency_needs_one_further_copy(tmp_path: Path) -> None:
    """A large transparent picture takes at most 3.5 times the memory of its own pixels, some of it for Python."""
    save(tmp_path / "1.png", Image.new("RGBA", (5000, 5000), (1, 2, 3, 128)))
    script = (
        "import re, sys; from ganforge.image_files.decoding import Decoding, read_pixels\n"
        "def peak(): return int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) * 1024\n"
        "before = peak(); read_pixels(open(sys.argv[1], 'rb'), Decoding(False, 8)); print(peak() - before)"
    )
    words = [sys.executable, "-c", script, str(tmp_path / "1.png")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 3.5 * 4 * 5000 * 5000


def test_a_size_beyond_memory_is_an_error(tmp_path: Path) -> None:
    """A side beyond any memory is refused, and the fix names the option."""
    save(tmp_path / "1.png")
    with pytest.raises(DataError, match=r"(?s)do not fit into memory.*smaller data.size"):
        folder(tmp_path, size=1 << 30, stream="no").open("train")


def test_splits_are_read_once(tmp_path: Path) -> None:
    """A split that is opened again is the same object, even if the files are gone."""
    path = save(tmp_path / "1.png", 3)
    data = folder(tmp_path)
    first = data.open("train")
    path.unlink()
    assert data.open("train") is first
    assert data.info.sizes == {"train": 1}

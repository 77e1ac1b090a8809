"""Laws of archives and arrays: the same images, labels and trainings as the folder that they were made from."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ganforge.errors import DataError, GanforgeError, UsageError
from ganforge.image_files.archives import Section
from ganforge.image_files.formats import open_images
from ganforge.plugins.registry import Registry
from tests.helpers.checkpoints import digests
from tests.helpers.image_folders import (
    add_to_tar,
    equal_pictures,
    folder,
    grays,
    in_memory,
    pack_shards,
    pack_tar,
    pack_zip,
    run_on,
    save,
    stacked,
    streamed,
    style_folder,
)


def npy(root: Path, target: Path) -> Path:
    """Write an array of images, and their labels next to it."""
    images, labels = stacked(root)
    np.save(target.with_suffix(".npy"), images)
    np.save(target.with_name(f"{target.stem}_labels.npy"), labels)
    return target.with_suffix(".npy")


def npz(root: Path, target: Path) -> Path:
    """Write images with the channels last, labels in a column, and names of the classes."""
    images, labels = stacked(root)
    path = target.with_suffix(".npz")
    np.savez(path, images=images, labels=labels[:, None].astype(np.uint8), class_names=np.array(["cat", "dog"]))
    return path


def keras(root: Path, target: Path) -> Path:
    """Write images with the channels first under Keras's names, compressed."""
    images, labels = stacked(root)
    path = target.with_suffix(".npz")
    np.savez_compressed(path, x_train=images.transpose(0, 3, 1, 2), y_train=labels)
    return path


FORMATS: dict[str, Callable[[Path, Path], Path]] = {
    "zip": lambda root, target: pack_zip(root, target.with_suffix(".zip")),
    "zip-within-a-folder": lambda root, target: pack_zip(root, target.with_suffix(".zip"), top="pictures"),
    "zip-of-stylegan": lambda root, target: pack_zip(style_folder(root, target), target.with_suffix(".zip")),
    "folder-of-stylegan": style_folder,
    "tar": lambda root, target: pack_tar(root, target.with_suffix(".tar")),
    "webdataset": pack_shards,
    "npy": npy,
    "npz": npz,
    "keras": keras,
}
#: Formats without names of classes.
UNNAMED = {"webdataset", "npy", "keras"}


@pytest.mark.parametrize("form", FORMATS)
def test_a_format_has_the_images_of_its_folder(tmp_path: Path, form: str) -> None:
    """Pixels, order, labels and names of classes are the same, in memory, streamed, and after pickling."""
    root = equal_pictures(tmp_path / "pictures")
    path = FORMATS[form](root, tmp_path / "packed")
    expected, data = folder(root), folder(path)
    images = in_memory(data)
    assert torch.equal(images.images, in_memory(expected).images)
    assert images.fingerprint() == in_memory(expected).fingerprint()
    assert data.class_names == (("0", "1") if form in UNNAMED else ("cat", "dog"))
    assert not any("ignored" in line for line in data.notices)
    lazy = folder(path, stream="yes")
    assert lazy.info.sizes == {"train": 12}
    items = pickle.loads(pickle.dumps(streamed(lazy)))  # noqa: S301 - our own
    assert images.condition is not None
    for index in (11, 0, 5):
        pixels, label = items[index]
        assert torch.equal(pixels, images.images[index])
        assert label == images.condition[index]


@pytest.mark.parametrize("form", ["zip", "zip-within-a-folder", "tar"])
def test_hidden_files_of_archives_are_ignored(tmp_path: Path, form: str) -> None:
    """Archives made on a Mac hold `._` files in class folders, and a folder `__MACOSX` at any depth."""
    root = equal_pictures(tmp_path / "pictures")
    for name in ("cat/._00.png", "cat/.trash/1.png", "cat/__MACOSX/2.png"):
        save(root / name)
    path = FORMATS[form](root, tmp_path / "packed")
    data = folder(path)
    assert len(in_memory(data)) == 12
    assert data.notices == (f"{path}: train 12; 2 classes (cat, dog)",)


THREE_STEPS = ("steps=3", "batch_size=4")


@pytest.fixture(scope="module")
def expected_digests(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the digests of the weights after three steps on the folder."""
    place, registry = tmp_path_factory.mktemp("expected"), Registry.discover(no_plugins=True)
    return digests(run_on(equal_pictures(place / "pictures"), place / "run", registry, *THREE_STEPS))


@pytest.mark.parametrize("form", FORMATS)
def test_a_format_trains_to_the_same_bits(
    registry: Registry, tmp_path: Path, form: str, expected_digests: dict[str, str]
) -> None:
    """Three steps on any format, read by two workers, end with the weights of the folder that it was made from."""
    path = FORMATS[form](equal_pictures(tmp_path / "pictures"), tmp_path / "packed")
    run = run_on(path, tmp_path / "run", registry, *THREE_STEPS, "data.stream=yes", "workers=2")
    assert digests(run) == expected_digests


def test_labels_of_dataset_json_replace_folders(tmp_path: Path) -> None:
    """Null means no classes; numbers are names without class_names; gaps stay; unknown names are counted.

    The file may start with a byte order mark.
    """
    for index in range(3):
        save(tmp_path / "00000" / f"img{index}.png", index)
    labels = tmp_path / "dataset.json"
    labels.write_text(json.dumps({"labels": None}), encoding="utf-8-sig")
    assert (folder(tmp_path).class_names, grays(folder(tmp_path))) == (None, [0, 1, 2])
    pairs = [[f"00000\\img{index}.png", label] for index, label in enumerate((3, 0, 1))]
    labels.write_text(json.dumps({"labels": [*pairs, ["00000/gone.png", 9]]}))
    data = folder(tmp_path)
    images = in_memory(data)
    assert images.condition is not None
    assert (images.condition.tolist(), data.class_names) == ([3, 0, 1], ("0", "1", "2", "3"))
    assert data.info.image.num_classes == 4
    assert data.notices[1].endswith("ignored: labels without a picture: 1")


def test_splits_may_have_labels_of_their_own(tmp_path: Path) -> None:
    """One dataset.json at the top names the pictures of both splits, and one in each names its own."""
    for split in ("train", "test"):
        save(tmp_path / split / "00000" / "a.png", 1)
        save(tmp_path / split / "00000" / "b.png", 2)
    top = [[f"{split}/00000/{name}.png", label] for split in ("train", "test") for label, name in enumerate("ab")]
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": top}))
    test = in_memory(folder(tmp_path), "test")
    assert test.condition is not None
    assert test.condition.tolist() == [0, 1]
    (tmp_path / "dataset.json").unlink()
    for split in ("train", "test"):
        content = {"labels": [["00000/a.png", 1], ["00000/b.png", 0]]}
        (tmp_path / split / "dataset.json").write_text(json.dumps(content))
    assert in_memory(folder(tmp_path), "test").condition is not None
    (tmp_path / "test" / "dataset.json").write_text(json.dumps({"labels": None}))
    with pytest.raises(DataError, match=r"train and test in .* have different classes"):
        folder(tmp_path).open("train")
    (tmp_path / "test" / "dataset.json").unlink()
    with pytest.raises(DataError, match=r"has no test/dataset\.json"):
        folder(tmp_path).open("train")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"labels": [["a.png", 0]]}, r"no label for 1 of 2 pictures, such as b\.png"),
        ({"labels": [["a.png", -1], ["b.png", 0]]}, "greater than or equal to 0"),
        ({"labels": [["a.png", 1 << 16], ["b.png", 0]]}, "less than 65536"),
        ({"labels": [["a.png", [0.5, 0.5]], ["b.png", 0]]}, "valid integer"),
        ({"labels": [["a.png", 0], ["a.png", 1], ["b.png", 0]]}, "two labels for one image"),
        ({"labels": [["a.png", 0], ["b.png", 2]], "class_names": ["x", "y"]}, "label 2, but 2 class_names"),
        ({}, "labels is missing"),
    ],
)
def test_wrong_labels_are_named(tmp_path: Path, content: Any, words: str) -> None:
    """A dataset.json without a label for each picture, or with other values than classes, is an error."""
    save(tmp_path / "a.png")
    save(tmp_path / "b.png")
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=words):
        folder(tmp_path).open("train")


def test_damaged_archives_are_named(tmp_path: Path) -> None:
    """A truncated or foreign file is one error that names it and has the fix."""
    root = equal_pictures(tmp_path / "pictures")
    for path in (pack_zip(root, tmp_path / "a.zip"), pack_tar(root, tmp_path / "a.tar")):
        whole = path.read_bytes()
        for damaged in (whole[: len(whole) // 2], b"", b"no archive at all" * 100):
            path.write_bytes(damaged)
            with pytest.raises(DataError, match=f"{path} is not a whole {path.suffix[1:]} file") as raised:
                folder(path).open("train")
            assert raised.value.fix is not None
    unknown = tmp_path / "a.rar"
    unknown.write_bytes(b"Rar!")
    with pytest.raises(DataError, match=r"a\.rar is a file, not a folder of pictures"):
        folder(unknown).open("train")


@settings(max_examples=80, deadline=None)
@given(data=st.data(), form=st.sampled_from(["zip", "zip-of-stylegan", "tar", "npy", "npz", "keras"]))
def test_any_damage_is_contained(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, form: str) -> None:
    """If any bytes of an archive or array change, its pictures are read or skipped, or one error names the problem."""
    place = tmp_path_factory.mktemp("damage")
    path = FORMATS[form](equal_pictures(place / "pictures"), place / "packed")
    content = bytearray(path.read_bytes())
    # The directory of an archive is at its end, the header of an array at its beginning.
    edges = [*range(min(300, len(content))), *range(max(0, len(content) - 1500), len(content))]
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.sampled_from(edges))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.sampled_from([len(content), len(content) // 2]))])
    with suppress(GanforgeError):
        assert len(in_memory(folder(path, size=8))) <= 12


def test_a_damaged_member_is_skipped(tmp_path: Path) -> None:
    """A picture of an archive whose bytes changed is counted, as in a folder."""
    root = equal_pictures(tmp_path / "pictures")
    path = pack_zip(root, tmp_path / "a.zip", compression=zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    start = content.index((root / "cat" / "02.png").read_bytes())
    content[start + 60 : start + 90] = bytes(30)
    path.write_bytes(content)
    data = folder(path)
    assert len(in_memory(data)) == 11
    assert "1 of 12 pictures could not be read and are skipped: cat/02.png" in data.notices[1]


def test_malicious_members_are_refused_or_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that lead out, links, encryption, two files of a name, and too long members harm nothing."""
    picture = save(tmp_path / "1.png", 7).read_bytes()
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("good/1.png", picture)
        for name in ("../1.png", "a/../../1.png", "/etc/1.png", "C:/1.png"):
            archive.writestr(name, picture)
        link = zipfile.ZipInfo("good/link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("good/long.png", bytes(5000))
    monkeypatch.setattr("ganforge.image_files.archives.MAX_IMAGE_BYTES", 4000)
    data = folder(path)
    assert grays(data) == [7]
    assert "names outside of the archive: 4, links: 1" in data.notices[1]
    assert "good/long.png (longer than 4,000 bytes)" in data.notices[2]
    encrypted = bytearray(pack_zip(equal_pictures(tmp_path / "pictures"), tmp_path / "b.zip").read_bytes())
    encrypted[encrypted.rindex(b"PK\1\2") + 8] |= 1
    (tmp_path / "b.zip").write_bytes(encrypted)
    with pytest.raises(DataError, match=r"b\.zip is encrypted"):
        folder(tmp_path / "b.zip").open("train")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("1.png", picture)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("1.png", picture)
    with pytest.raises(DataError, match=r"has two files of the name 1\.png"):
        folder(path).open("train")


def test_links_of_tar_archives_are_not_followed(tmp_path: Path) -> None:
    """Links, devices and names that lead out are never opened."""
    picture = save(tmp_path / "1.png", 7).read_bytes()
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        add_to_tar(archive, "1.png", picture)
        add_to_tar(archive, "../2.png", picture)
        for name, kind in (("3.png", tarfile.SYMTYPE), ("4.png", tarfile.LNKTYPE), ("5.png", tarfile.CHRTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    assert grays(folder(path)) == [7]
    with tarfile.open(path, "a") as archive:
        add_to_tar(archive, "1.png", picture)
    with pytest.raises(DataError, match=r"has two files of the name 1\.png"):
        folder(path).open("train")


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"1.png": b"", "1.cls": b"cat"}, r"1\.cls holds b'cat', not a class number"),
        ({"1.png": b"", "1.cls": b"65536"}, r"1\.cls holds b'65536', not a class number from 0 to 65,535"),
        ({"1.png": b"", "1.cls": b"9" * 5000}, r"1\.cls holds b'9+', not a class number"),
        ({"1.png": b"", "1.seg.png": b"", "1.cls": b"0"}, "2 pictures of the key 1"),
        ({"1.png": b"", "2.png": b"", "2.cls": b"0"}, r"no label for 1 of 2 pictures, such as 1\.png"),
        ({"1.txt": b""}, "holds no pictures"),
    ],
)
def test_wrong_shards_are_named(tmp_path: Path, members: dict[str, bytes], words: str) -> None:
    """A class that is not a number, two pictures of a key, and a picture without a class are errors."""
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, content in members.items():
            add_to_tar(archive, name, content)
    with pytest.raises(DataError, match=words):
        folder(tmp_path / "a.tar").open("train")


@pytest.mark.parametrize(
    ("images", "gray", "first"),
    [
        (np.full((2, 5, 6), 9, np.uint8), True, 9),
        (np.full((2, 5, 6, 1), 9, np.uint8), True, 9),
        (np.full((2, 3, 5, 6), 9, np.uint8), False, 9),
        (np.full((2, 5, 6, 4), 255, np.uint8), False, 255),
        (np.full((2, 4, 4, 3), 9, np.uint8), False, 9),
        (np.full((2, 3, 4, 4), 9, np.uint8), False, 9),
        (np.full((2, 5, 6), 257 * 9, np.uint16), True, 9),
        (np.full((2, 5, 6), 257 * 9, np.dtype(">u2")), True, 9),
        (np.full((2, 5, 6), 0.2, np.dtype(">f4")), True, 51),
        (np.full((2, 5, 6), 0.2, np.float32), True, 51),
        (np.full((2, 5, 6, 3), 1.0, np.float64), False, 255),
    ],
)
def test_arrays_of_every_form_are_read(tmp_path: Path, images: Any, first: int, *, gray: bool) -> None:
    """Gray, RGB and RGBA, channels first or last, of bytes, 16-bit integers or floats in [0, 1], of any byte order."""
    np.save(tmp_path / "a.npy", images)
    data = folder(tmp_path / "a.npy")
    pixels = in_memory(data).images
    height, width = (4, 4) if 4 in images.shape[2:3] else (5, 6)
    assert pixels.shape == (2, 1 if gray else 3, height, width)
    assert int(pixels[0, 0, 0, 0]) == first
    assert data.class_names is None


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": np.array([{"a": 1}], dtype=object)}, "Object arrays cannot be loaded"),
        ({"images": np.zeros((2, 5))}, r"images has the shape \(2, 5\)"),
        ({"images": np.zeros((2, 5, 6, 7), np.uint8)}, r"images has the shape \(2, 5, 6, 7\)"),
        ({"images": np.zeros((2, 5, 6), np.int32)}, "images holds int32"),
        ({"images": np.zeros((2, 5, 6, 3), np.uint16)}, "images holds uint16"),
        ({"images": np.zeros((0, 5, 6), np.uint8)}, "holds no pixels"),
        ({"pictures": np.zeros((2, 5, 6), np.uint8)}, "has no images; its arrays are pictures"),
        ({"images": np.zeros((2, 5, 6), np.uint8), "labels": np.zeros(3, int)}, "labels holds int64 of the shape"),
        ({"images": np.zeros((2, 5, 6), np.uint8), "labels": np.zeros((2, 4), int)}, "labels holds int64 of the shape"),
        ({"images": np.zeros((2, 5, 6), np.uint8), "labels": np.zeros(2)}, "labels holds float64"),
        ({"images": np.zeros((2, 5, 6), np.uint8), "labels": np.array([0, -1])}, "labels holds -1"),
        (
            {"images": np.zeros((2, 5, 6), np.uint8), "labels": np.array([0, 2]), "class_names": np.array(["x"])},
            "label 2, but 1 class_names",
        ),
        (
            {"images": np.zeros((2, 5, 6), np.uint8), "labels": np.array([0, 1]), "class_names": np.array("cats")},
            r"class_names has the shape \(\)",
        ),
        (
            {name: np.zeros((2, 5, 6), np.uint8) for name in ("x_train", "x_test")} | {"y_train": np.zeros(2, int)},
            "one split has labels",
        ),
    ],
)
def test_wrong_arrays_are_named(tmp_path: Path, arrays: dict[str, Any], words: str) -> None:
    """Pickled objects are never loaded; other shapes, types and labels are named."""
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(UsageError, match=words):
        folder(tmp_path / "a.npz").open("train")


def test_an_image_of_an_array_has_a_limit(tmp_path: Path) -> None:
    """A file of holes takes no memory: an image is as long as an encoded one may be."""
    np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.uint8, (2, 3, 20_000, 20_000))
    with pytest.raises(DataError, match="an image may have 268,435,456 bytes"):
        folder(tmp_path / "a.npy").open("train")


def test_npz_files_beyond_the_memory_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays that take more than half of the memory are refused before they are read, with the format to use."""
    np.savez_compressed(tmp_path / "a.npz", images=np.zeros((10, 8, 8), np.uint8))
    monkeypatch.setattr("ganforge.image_files.arrays.machine_memory", lambda: 1000)
    with pytest.raises(UsageError, match="declares arrays of 640 bytes; the limit is 500") as raised:
        folder(tmp_path / "a.npz").open("train")
    assert ".npy" in str(raised.value.fix)


def test_floats_out_of_range_are_skipped_and_named(tmp_path: Path) -> None:
    """Floats in [-1, 1], and numbers that are not finite, have no defined white, so they are skipped."""
    images = np.stack([np.full((5, 6), value, np.float32) for value in (0.5, -1, np.nan, 1.5)])
    np.save(tmp_path / "a.npy", images)
    data = folder(tmp_path / "a.npy")
    assert grays(data) == [128]
    assert "train/1 (its floats are not in [0, 1], as 0 for black and 1 for white)" in data.notices[1]
    np.save(tmp_path / "b.npy", np.array([None], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "c", images=images)
    (tmp_path / "c.npz").rename(tmp_path / "c.npy")
    for name in ("b.npy", "c.npy"):
        with pytest.raises(DataError, match=f"{name} cannot be read"):
            folder(tmp_path / name).open("train")


def test_a_changed_image_changes_the_fingerprint_of_streamed_arrays(tmp_path: Path) -> None:
    """The checksum of every image is part of the fingerprint of arrays and zip archives."""
    images = np.zeros((3, 5, 6), np.uint8)
    np.save(tmp_path / "a.npy", images)
    before = folder(tmp_path / "a.npy", stream="yes").info.fingerprint
    images[1, 2, 3] = 1
    np.save(tmp_path / "a.npy", images)
    assert folder(tmp_path / "a.npy", stream="yes").info.fingerprint != before


def test_a_section_is_a_file(tmp_path: Path) -> None:
    """Reading and seeking in a part of a file never leaves the part."""
    (tmp_path / "file").write_bytes(bytes(range(100)))
    with Section(tmp_path / "file", 10, 20) as section:
        assert section.read() == bytes(range(10, 30))
        assert section.seek(-5, io.SEEK_END) == 15
        assert section.read(100) == bytes(range(25, 30))
        assert section.seek(50) == 50
        assert section.read() == b""
        section.seek(2)
        assert section.seek(3, io.SEEK_CUR) == 5
        assert section.read(1) == bytes([15])


def test_fit_makes_pictures_square(tmp_path: Path) -> None:
    """Crop cuts, letterbox adds bars of the background, stretch scales; at both depths."""
    wide = Image.new("RGB", (40, 20), (200, 0, 0))
    wide.paste((0, 0, 200), (20, 0, 40, 20))
    save(tmp_path / "wide.png", wide)
    for depth in (8, 16):

        def pixels(fit: str, depth: int = depth) -> Any:
            data = folder(tmp_path, size=8, fit=fit, depth=depth, background="#00ff00")
            images = in_memory(data).images
            return images[0] if depth == 8 else images[0].add(1).mul(127.5).round().int()

        stretched, boxed, cropped = pixels("stretch"), pixels("letterbox"), pixels("crop")
        assert stretched[:, 0, 0].tolist() == [200, 0, 0]
        assert stretched[:, 7, 7].tolist() == [0, 0, 200]
        assert boxed[:, 0, 0].tolist() == boxed[:, 7, 7].tolist() == [0, 255, 0]
        assert boxed[:, 2, 0].tolist() == [200, 0, 0]
        assert boxed[:, 5, 7].tolist() == [0, 0, 200]
        assert cropped[:, 0, 0].tolist() == [200, 0, 0]


@pytest.mark.parametrize("depth", [8, 16])
def test_bars_of_16_bit_gray_have_the_color(tmp_path: Path, depth: int) -> None:
    """Gray of 16 bits that becomes RGB has bars of the background's color, at both depths."""
    save(tmp_path / "wide.png", Image.fromarray(np.full((20, 40), 257 * 9, np.uint16)))
    options = {"size": 8, "fit": "letterbox", "color": "rgb", "background": "#00ff00", "depth": depth}
    image = in_memory(folder(tmp_path, **options)).images[0]
    pixels = image if depth == 8 else image.add(1).mul(127.5).round().int()
    assert pixels[:, 0, 0].tolist() == [0, 255, 0]
    assert pixels[:, 4, 4].tolist() == [9, 9, 9]


def test_the_background_is_chosen(tmp_path: Path) -> None:
    """Transparent pixels get the background, in color and as its luma in gray."""
    save(tmp_path / "1.png", Image.new("RGBA", (4, 4), (9, 9, 9, 0)))
    for background, color in (("white", [255, 255, 255]), ("black", [0, 0, 0]), ("#0080ff", [0, 128, 255])):
        assert in_memory(folder(tmp_path, background=background)).images[0, :, 0, 0].tolist() == color
    assert in_memory(folder(tmp_path, background="#0000ff", color="gray")).images[0, 0, 0, 0] == 29
    with pytest.raises(ValueError, match=r"white, black or #rrggbb is required"):
        folder(tmp_path, background="blue")


@pytest.mark.parametrize("stream", ["yes", "no"])
def test_mirror_doubles_the_training_split(tmp_path: Path, stream: str) -> None:
    """The mirrored pictures follow the others with their labels; the test split stays."""
    root = equal_pictures(tmp_path / "train")
    shutil.copytree(root, tmp_path / "test")
    plain = in_memory(folder(tmp_path))
    data = folder(tmp_path, mirror=True, stream=stream)
    assert data.info.sizes == {"train": 24, "test": 12}
    opened: Any = data.open("train")
    items = (
        [opened[index] for index in range(24)]
        if stream == "yes"
        else list(zip(opened.images, opened.condition, strict=True))
    )
    assert plain.condition is not None
    for index in range(12):
        assert torch.equal(items[index][0], plain.images[index])
        assert torch.equal(items[index + 12][0], plain.images[index].flip(-1))
        assert items[index + 12][1] == plain.condition[index]
    assert data.info.fingerprint != folder(tmp_path, stream=stream).info.fingerprint


def test_holdout_splits_evenly(tmp_path: Path) -> None:
    """The held out share is spread over the order, so over the classes, and the same for every format."""
    root = equal_pictures(tmp_path / "pictures")
    data = folder(root, holdout=0.25)
    assert data.info.sizes == {"train": 9, "test": 3}
    whole, train, test = in_memory(folder(root)), in_memory(data), in_memory(data, "test")
    assert torch.equal(test.images, whole.images[3::4])
    assert torch.equal(train.images, whole.images[[index for index in range(12) if index % 4 != 3]])
    packed = folder(npz(root, tmp_path / "packed"), holdout=0.25)
    assert torch.equal(in_memory(packed, "test").images, test.images)
    with pytest.raises(DataError, match="leaves no pictures for testing of 12"):
        folder(root, holdout=0.01).open("train")
    shutil.copytree(root, tmp_path / "both" / "train")
    shutil.copytree(root, tmp_path / "both" / "test")
    with pytest.raises(DataError, match="has a test split already"):
        folder(tmp_path / "both", holdout=0.1).open("train")


def test_sources_are_known_by_extension(tmp_path: Path) -> None:
    """The extension decides, in any case."""
    assert type(open_images(tmp_path / "A.ZIP")).__name__ == "ZipSource"

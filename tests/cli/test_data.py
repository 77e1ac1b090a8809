"""Command group `ganforge data`: facts, findings, conversions and errors."""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganforge.errors import DataError
from ganforge.image_files import conversion
from ganforge.image_files.conversion import FORMATS, convert
from tests.helpers.image_folders import equal_pictures, folder, in_memory, noise, save
from tests.helpers.plugins import command


def document(*arguments: object, code: int = 0) -> dict[str, Any]:
    """Return what a command prints with --json."""
    done = command("data", *map(str, arguments), "--json")
    assert done.returncode == code, done.stderr
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Return a folder of twelve pictures and a text."""
    root = equal_pictures(tmp_path / "pictures")
    (root / "cat" / "notes.txt").write_text("no picture")
    return root


def test_info_counts(pictures: Path) -> None:
    """Splits, classes, sizes, colors, other files and bytes are counted."""
    save(pictures / "dog" / "gray.png", noise("L", (8, 20)))
    facts = document("info", pictures)
    assert facts.pop("bytes") == sum(path.stat().st_size for path in pictures.rglob("*.*"))
    assert facts == {
        "path": str(pictures),
        "format": "folder",
        "images": 13,
        "splits": {"train": 13},
        "classes": {"cat": 5, "dog": 8},
        "sizes": {"16x16": 12, "8x20": 1},
        "kinds": {"color": 12, "gray": 1},
        "ignored": {".txt": 1},
        "broken": [],
    }


def test_check_finds_what_harms_a_training(pictures: Path) -> None:
    """Broken, equal, constant and small pictures are named; exit code 1 and a contact sheet."""
    root = pictures
    picture = noise("RGB", (64, 64)).resize((64, 64), box=(0, 0, 6, 6))
    save(root / "cat" / "photo.png", picture)
    save(root / "dog" / "copy.bmp", picture)
    save(root / "dog" / "black.png", Image.new("L", (64, 64)))
    (root / "dog" / "broken.png").write_bytes((root / "dog" / "05.png").read_bytes()[:300])
    found = document("check", root, "--size", 32, "--out", "sheet.png", code=1)
    assert found["broken"] == [{"name": "dog/broken.png", "reason": "image file is truncated"}]
    assert found["duplicates"] == [["cat/photo.png", "dog/copy.bmp"]]
    assert found["constant"] == ["dog/black.png"]
    assert len(found["enlarged"]) == 12
    with Image.open("sheet.png") as sheet:
        assert sheet.size == (2 + 2 * 66, 2 + 2 * 66), "three doubtful pictures"
    text = command("data", "check", root).stdout
    assert "1 group of equal pictures: cat/photo.png = dog/copy.bmp" in text
    assert "1 broken picture: dog/broken.png (image file is truncated)" in text


def test_check_of_good_pictures(pictures: Path) -> None:
    """Good pictures give exit code 0; equal pictures in both splits, and unequal classes, are reported."""
    done = command("data", "check", pictures)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "no picture is broken")
    shutil.copytree(pictures, pictures.parent / "both" / "train")
    shutil.copytree(pictures, pictures.parent / "both" / "test")
    assert document("check", pictures.parent / "both")["shared"] == 12
    assert "equal pictures in train and test: 12" in command("data", "check", pictures.parent / "both").stdout
    for name in ("01", "02", "03", "04"):
        (pictures / "cat" / f"{name}.png").unlink()
    for index in range(11):
        save(pictures / "dog" / f"more-{index}.png", index)
    assert (
        "classes are unequal: the smallest has 1 pictures, the largest 18" in command("data", "check", pictures).stdout
    )


@pytest.mark.parametrize("extension", FORMATS)
def test_conversions_keep_pixels_labels_and_names(pictures: Path, extension: str) -> None:
    """Any format, and a folder again from it, holds the same training data; the run of the last line would read it."""
    packed, back = Path(f"packed{extension}"), Path("back")
    facts = document("convert", pictures, packed)
    assert (facts["images"], facts["skipped"]) == (12, [])
    assert document("convert", packed, back)["images"] == 12
    expected = in_memory(folder(pictures))
    for path in (packed, back):
        data = folder(path)
        assert data.class_names == ("cat", "dog")
        assert in_memory(data).fingerprint() == expected.fingerprint()
        assert not any("ignored" in line for line in data.notices)
    assert list(Path().glob(".*")) == []
    assert stat.S_IMODE(packed.stat().st_mode) & stat.S_IRGRP


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse names that are not UTF-8")
@pytest.mark.parametrize("extension", FORMATS)
def test_classes_that_are_not_utf8_are_escaped(pictures: Path, extension: str) -> None:
    """A document cannot hold their bytes."""
    os.rename(pictures / "cat", os.fsencode(pictures) + b"/caf\xe9")  # noqa: PTH104 - the name is bytes
    document("convert", pictures, f"packed{extension}")
    assert folder(Path(f"packed{extension}")).class_names == ("caf\\xe9", "dog")


def test_files_are_copied_unless_they_are_resized(pictures: Path) -> None:
    """A JPEG stays the same bytes; with a size all become PNGs as a training would see them."""
    content = save(pictures / "cat" / "photo.jpg", noise("RGB", (30, 20)), quality=50).read_bytes()
    assert command("data", "convert", pictures, "copied").returncode == 0
    assert [path.read_bytes() for path in Path("copied").rglob("*.jpg")] == [content]
    assert folder(Path("copied"), size=8).open("train") is not None
    options = ("--size", "8", "--fit", "letterbox", "--background", "black", "--holdout", "0.25")
    assert command("data", "convert", pictures, "small.zip", *options).returncode == 0
    expected = folder(pictures, size=8, fit="letterbox", background="black", holdout=0.25)
    for split in ("train", "test"):
        assert torch.equal(in_memory(folder(Path("small.zip")), split).images, in_memory(expected, split).images)


def test_broken_pictures_are_left_out(pictures: Path) -> None:
    """A broken picture is named, and not written."""
    (pictures / "dog" / "05.png").write_bytes(b"nothing")
    assert document("convert", pictures, "packed.npz")["skipped"] == [
        {"name": "dog/05.png", "reason": "not a picture in a format that Pillow decodes"}
    ]
    assert folder(Path("packed.npz")).info.sizes == {"train": 11}


def test_a_conversion_of_broken_pictures_names_them(pictures: Path) -> None:
    """If no picture can be decoded, the error has the names and reasons."""
    images = np.full((2, 8, 8), np.nan, np.float32)
    np.save(pictures / "broken.npy", images)
    done = command("data", "convert", pictures / "broken.npy", "packed.zip")
    assert done.returncode == 2
    assert "2 of 2 pictures could not be read and are skipped: train/0 (its floats are not in [0, 1]" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("info", "missing"), "no such folder or file: missing"),
        (("info", "PICTURES", "--data", "mnist"), "dataset 'mnist' does not read files"),
        (("check", "PICTURES", "--background", "blue"), "background = 'blue': white, black or #rrggbb is required"),
        (("convert", "PICTURES", "PICTURES"), "exists already"),
        (("convert", "PICTURES", "a.rar"), "a.rar has the extension of no format"),
        (("convert", "PICTURES", "missing/a.zip"), "the folder missing does not exist"),
        (("convert", "PICTURES", "old.zip"), "old.zip exists already"),
        (("convert", "PICTURES", "PICTURES/cat/a.zip"), "is inside of"),
        (
            ("convert", "PICTURES", "a.zip", "--size", "100000"),
            "invalid value for '--size': input should be less",
        ),
        (("info", "PICTURES", "--out", "sheet.jpg"), "--out sheet.jpg: a contact sheet is written as .png"),
        (("check", "PICTURES", "--out", "sheet"), "--out sheet: a contact sheet is written as .png"),
    ],
)
def test_wrong_arguments_are_one_message(pictures: Path, arguments: tuple[str, ...], message: str) -> None:
    """A missing path, an unknown format and an existing target are errors; nothing is written."""
    Path("old.zip").write_bytes(b"old")
    done = command("data", *(word.replace("PICTURES", str(pictures)) for word in arguments))
    assert done.returncode == 2
    assert message in done.stderr
    assert "--data.path" not in done.stderr
    assert Path("old.zip").read_bytes() == b"old"


def test_force_replaces_a_file_and_never_the_source(pictures: Path) -> None:
    """An existing file is replaced with --force, but not the file that is read."""
    Path("old.zip").write_bytes(b"old")
    assert command("data", "convert", pictures, "old.zip", "--force").returncode == 0
    assert folder(Path("old.zip")).info.sizes == {"train": 12}
    done = command("data", "convert", "old.zip", "old.zip", "--force")
    assert "old.zip is the file to read" in done.stderr


def test_arrays_need_pictures_of_one_size(pictures: Path) -> None:
    """The error names the option of this command."""
    save(pictures / "cat" / "photo.png", noise("RGB", (30, 20)))
    done = command("data", "convert", pictures, "a.npz")
    assert "2 different sizes" in done.stderr
    assert "such as --size 64" in done.stderr
    assert not Path("a.npz").exists()


def test_a_wrong_conversion_leaves_nothing(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written images that differ from the read ones are an error, and the target does not appear."""

    def write(target: Path, packing: conversion.Packing) -> None:
        conversion.write_zip(target, packing)
        shutil.copy(other, target)

    other: Path = Path("other.zip")
    reopen: Callable[[Path], Any] = folder
    convert(folder(pictures), other, FORMATS[".zip"], reopen, reencode=False)
    save(pictures / "cat" / "00.png", noise("RGB", (16, 16)))
    with pytest.raises(DataError, match=r"the images in target\.zip differ from those in"):
        convert(folder(pictures), Path("target.zip"), conversion.Format(write), reopen, reencode=False)
    assert sorted(path.name for path in Path().iterdir() if path.suffix) == ["other.zip"]

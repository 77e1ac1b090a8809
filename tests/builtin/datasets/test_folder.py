"""Laws of the dataset `folder`: its pictures, the meaning of subfolders, and errors."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from ganforge.builtin.datasets.folder import Folder
from ganforge.components import ConditionSpec, ImageSpec, check_images
from ganforge.errors import DataError
from tests.helpers.image_folders import folder, grays, in_memory, save


def test_order_is_that_of_the_paths(tmp_path: Path) -> None:
    """Pictures are sorted by class, then by path, in code points: upper case first, on every disk, in every locale."""
    names = ["b/2.png", "b/10.png", "a/z/1.png", "a/é.png", "a/Z.png", "a/z.PNG", "B/1.jpg"]
    order = ["B/1.jpg", "a/Z.png", "a/z/1.png", "a/z.PNG", "a/é.png", "b/10.png", "b/2.png"]
    for name in names:
        save(tmp_path / name, order.index(name) * 10)
    data = folder(tmp_path)
    assert data.class_names == ("B", "a", "b")
    assert grays(data) == [index * 10 for index in range(7)]
    images = in_memory(data)
    check_images(images, "folder")
    assert images.condition is not None
    assert images.condition.tolist() == [0, 1, 1, 1, 1, 2, 2]
    assert data.splits == ("train",)
    assert data.notices == ()
    assert data.info.sizes == {"train": 7}
    assert data.info.image == ImageSpec(1, 4, 4, ConditionSpec.classes(3))
    assert folder(tmp_path).info.fingerprint == data.info.fingerprint


def test_files_of_other_kinds_are_ignored(tmp_path: Path) -> None:
    """Hidden files and folders, texts, data files and folders without pictures are ignored without a notice."""
    save(tmp_path / "1.png", 7)
    for name in (".hidden.png", "notes.txt", "table.h5", "figure.eps", "noextension", "Thumbs.db"):
        (tmp_path / name).write_bytes(b"no picture")
    save(tmp_path / ".thumbnails" / "1.png")
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    data = folder(tmp_path)
    assert grays(data) == [7]
    assert data.class_names is None
    assert in_memory(data).condition is None
    assert data.notices == ()


def test_train_and_test_are_splits(tmp_path: Path) -> None:
    """Two subfolders of these names, in any case, are splits with the same classes, or with none."""
    for number, name in enumerate(("Train/cat/1.png", "Train/dog/1.png", "TEST/cat/1.png", "TEST/dog/1.png")):
        save(tmp_path / "labelled" / name, number)
    data = folder(tmp_path / "labelled")
    assert (data.splits, data.class_names) == (("train", "test"), ("cat", "dog"))
    assert (grays(data), grays(data, "test")) == ([0, 1], [2, 3])
    assert data.source == f"pictures from {tmp_path / 'labelled'}: 2 for training, 2 for testing"
    for number, name in enumerate(("train/1.png", "test/1.png")):
        save(tmp_path / "plain" / name, number)
    data = folder(tmp_path / "plain")
    assert (data.splits, data.class_names) == (("train", "test"), None)
    assert data.info.sizes == {"train": 1, "test": 1}


def test_resolved_options_hold_in_every_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path is resolved, so that a run can be resumed from elsewhere."""
    save(tmp_path / "own" / "1.png")
    monkeypatch.chdir(tmp_path)
    assert folder(Path("own"), size=8).resolved() == Folder.Options(path=tmp_path / "own", size=8, stream="no")


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    """Next to classes of other names, `train` is a class."""
    for name in ("train", "bus", "car"):
        save(tmp_path / name / "1.png")
    assert folder(tmp_path).class_names == ("bus", "car", "train")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["train/cat/1.png", "train/dog/1.png", "test/cat/1.png"], "different classes; only in train: dog"),
        (["train/cat/1.png", "test/1.png"], "only in train: cat; only in test: no classes"),
        (["train/cat/1.png"], "needs the two folders train and test"),
        (["train/cat/1.png", "val/cat/1.png"], "needs the two folders train and test"),
        (["train/1.png", "test/1.png", "val/1.png"], "has test, train, val"),
        (["train/1.png", "Train/1.png"], "needs the two folders train and test"),
        (["cat/1.png", "1.png", "2.png"], r"pictures next to its subfolders \(1.png next to cat/, 2 in all\)"),
        (["train/1.png", "test/1.png", "1.png"], "pictures next to its subfolders"),
        ([], "holds no pictures"),
    ],
)
def test_ambiguous_subfolders_are_refused(tmp_path: Path, files: list[str], words: str) -> None:
    """Subfolders with an ambiguous meaning, and folders without pictures, are errors."""
    for name in files:
        save(tmp_path / name)
    with pytest.raises(DataError, match=words) as raised:
        folder(tmp_path).open("train")
    assert str(tmp_path) in str(raised.value)


def test_the_error_for_a_missing_split_has_a_fix(tmp_path: Path) -> None:
    """Without train and test there is no test split, and the error names the folder to make."""
    save(tmp_path / "1.png")
    with pytest.raises(DataError, match=f"Put some pictures into {tmp_path}/test "):
        folder(tmp_path).open("test")


def test_a_path_that_is_not_a_readable_folder_is_refused(tmp_path: Path) -> None:
    """A missing path, a file, and folders without permission are named; a missing option is pydantic's error."""
    with pytest.raises(DataError, match=r"no such folder: .*/missing"):
        folder(tmp_path / "missing").open("train")
    with pytest.raises(DataError, match="~nobody-of-that-name"):
        folder(Path("~nobody-of-that-name/x")).open("train")
    picture = save(tmp_path / "cat" / "deep" / "1.png")
    with pytest.raises(DataError, match="is a file, not a folder"):
        folder(picture).open("train")
    with pytest.raises(ValidationError, match=r"path\n  Field required"):
        Folder.Options.model_validate({})
    (tmp_path / "cat").chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root may read everything; `nobody` may not
    try:
        with pytest.raises(DataError, match="cannot be read: Permission denied"):
            folder(tmp_path).open("train")
    finally:
        os.seteuid(user)
        (tmp_path / "cat").chmod(0o700)


def test_construction_reads_no_file() -> None:
    """Construction reads no file, so that a plan can be shown for missing data."""
    assert folder(Path("/no/such/folder")).source == ""
    assert folder(Path("/no/such/folder")).notices == ()

"""Laws of the folder data set: which pictures it finds, what subfolders mean, and what it refuses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from folder_parts import folder, greys, save
from pydantic import ValidationError

from ganforge.builtin.datasets.folder import Folder
from ganforge.components import check_images
from ganforge.errors import DataError


def test_order_is_that_of_the_paths(tmp_path: Path) -> None:
    """Pictures come by class, then by path, in code points: upper case first, whatever the disk or the locale says."""
    names = ["b/2.png", "b/10.png", "a/z/1.png", "a/é.png", "a/Z.png", "a/z.PNG", "B/1.jpg"]
    order = ["B/1.jpg", "a/Z.png", "a/z/1.png", "a/z.PNG", "a/é.png", "b/10.png", "b/2.png"]
    for name in names:
        save(tmp_path / name, order.index(name) * 10)
    data = folder(tmp_path)
    assert data.class_names == ("B", "a", "b")
    assert greys(data) == [index * 10 for index in range(7)]
    images = data.load("train")
    check_images(images, "folder")
    assert images.labels is not None
    assert images.labels.tolist() == [0, 1, 1, 1, 1, 2, 2]
    assert data.splits == ("train",)
    assert data.notices == ()
    assert data.info.sizes == {"train": 7}
    assert data.info.image.num_classes == 3
    assert folder(tmp_path).info.fingerprint == data.info.fingerprint


def test_what_is_no_picture_is_left_out_in_silence(tmp_path: Path) -> None:
    """Hidden files and folders, texts, data files and folders without pictures count for nothing."""
    save(tmp_path / "1.png", 7)
    for name in (".hidden.png", "notes.txt", "table.h5", "figure.eps", "noextension", "Thumbs.db"):
        (tmp_path / name).write_bytes(b"no picture")
    save(tmp_path / ".thumbnails" / "1.png")
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    data = folder(tmp_path)
    assert greys(data) == [7]
    assert data.class_names is None
    assert data.load("train").labels is None
    assert data.notices == ()


def test_train_and_test_are_splits(tmp_path: Path) -> None:
    """Two subfolders of these names, in any case, are splits with the same classes, or with none."""
    for number, name in enumerate(("Train/cat/1.png", "Train/dog/1.png", "TEST/cat/1.png", "TEST/dog/1.png")):
        save(tmp_path / "labelled" / name, number)
    data = folder(tmp_path / "labelled")
    assert (data.splits, data.class_names) == (("train", "test"), ("cat", "dog"))
    assert (greys(data), greys(data, "test")) == ([0, 1], [2, 3])
    assert data.source == f"pictures from {tmp_path / 'labelled'}: 2 for training, 2 for testing"
    for number, name in enumerate(("train/1.png", "test/1.png")):
        save(tmp_path / "plain" / name, number)
    data = folder(tmp_path / "plain")
    assert (data.splits, data.class_names) == (("train", "test"), None)
    assert data.info.sizes == {"train": 1, "test": 1}


def test_what_is_written_down_holds_in_every_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path is resolved, so that a run can be resumed from elsewhere."""
    save(tmp_path / "own" / "1.png")
    monkeypatch.chdir(tmp_path)
    assert folder(Path("own"), size=8).resolved() == Folder.Options(path=tmp_path / "own", size=8, stream="no")


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    """Beside classes of other names, `train` is one of them."""
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
        (["cat/1.png", "1.png", "2.png"], r"pictures beside its subfolders \(1.png beside cat/, 2 in all\)"),
        (["train/1.png", "test/1.png", "1.png"], "pictures beside its subfolders"),
        ([], "holds no pictures"),
    ],
)
def test_what_is_not_clear_is_refused(tmp_path: Path, files: list[str], words: str) -> None:
    """Subfolders whose meaning could be guessed wrong, and folders without pictures, are errors that say so."""
    for name in files:
        save(tmp_path / name)
    with pytest.raises(DataError, match=words) as raised:
        folder(tmp_path).load("train")
    assert str(tmp_path) in str(raised.value)


def test_a_missing_split_says_how_to_get_one(tmp_path: Path) -> None:
    """Without train and test there is no test split, and the error names the folder to make."""
    save(tmp_path / "1.png")
    with pytest.raises(DataError, match=f"Put some pictures into {tmp_path}/test "):
        folder(tmp_path).load("test")


def test_a_path_that_is_no_readable_folder_is_refused(tmp_path: Path) -> None:
    """A missing path, a file, and folders without permission are each named; no path at all is pydantic's error."""
    with pytest.raises(DataError, match=r"there is no folder .*/missing"):
        folder(tmp_path / "missing").load("train")
    with pytest.raises(DataError, match="~nobody-of-that-name"):
        folder(Path("~nobody-of-that-name/x")).load("train")
    picture = save(tmp_path / "cat" / "deep" / "1.png")
    with pytest.raises(DataError, match="is a file, not a folder"):
        folder(picture).load("train")
    with pytest.raises(ValidationError, match=r"path\n  Field required"):
        Folder.Options.model_validate({})
    (tmp_path / "cat").chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root may read everything; `nobody` may not
    try:
        with pytest.raises(DataError, match="cannot be read: Permission denied"):
            folder(tmp_path).load("train")
    finally:
        os.seteuid(user)
        (tmp_path / "cat").chmod(0o700)


def test_making_one_looks_at_nothing() -> None:
    """Construction reads no file, so that a plan can be shown for data that is not there."""
    assert folder(Path("/no/such/folder")).source == ""
    assert folder(Path("/no/such/folder")).notices == ()

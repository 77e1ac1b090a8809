"""Laws of the dataset `folder`: its pictures, the meaning of subfolders, and errors."""

from __future__ import annotations

import os
import shutil
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
    assert data.notices == (f"{tmp_path}: train 7; 3 classes (B, a, b)",)
    assert data.info.sizes == {"train": 7}
    assert data.info.image == ImageSpec(1, 4, 4, ConditionSpec.classes(3))
    assert folder(tmp_path).info.fingerprint == data.info.fingerprint


def test_files_of_other_kinds_are_ignored(tmp_path: Path) -> None:
    """Hidden files and folders are ignored silently; other files, and links that are not followed, are counted."""
    save(tmp_path / "1.png", 7)
    save(tmp_path / "within" / "cat" / "1.png", 5)
    save(tmp_path / "within" / "cat" / ".2.png", 6)
    save(tmp_path / "within" / "cat" / ".trash" / "3.png", 6)
    assert grays(folder(tmp_path / "within")) == [5]
    shutil.rmtree(tmp_path / "within")
    for name in (".hidden.png", "1.HEIC", "2.heic", "3.heic", "figure.eps", "noextension", "another"):
        (tmp_path / name).write_bytes(b"no picture")
    for name in (".thumbnails", "@eaDir", "__MACOSX", "lost+found"):
        save(tmp_path / name / "1.png")
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    (tmp_path / "empty" / "link").symlink_to(tmp_path)
    data = folder(tmp_path)
    assert grays(data) == [7]
    assert data.class_names is None
    assert in_memory(data).condition is None
    others = ".heic: 3, no extension: 2, .eps: 1, links to folders: 1"
    assert data.notices == (
        f"{tmp_path}: train 1; no classes",
        f"{tmp_path}: not pictures by their names, and ignored: {others}",
    )
    for path in tmp_path.glob("*.png"):
        path.unlink()
    with pytest.raises(DataError, match=r"holds no pictures, but other files \(\.heic: 3, no"):
        folder(tmp_path).open("train")


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


def test_links_to_classes_are_followed_below_splits(tmp_path: Path) -> None:
    """Class folders below train may be links; then test is not taken for the training set."""
    for name, gray in (("store/cat", 1), ("store/dog", 2), ("data/test/cat", 3), ("data/test/dog", 4)):
        save(tmp_path / name / "1.png", gray)
    (tmp_path / "data" / "train").mkdir()
    for name in ("cat", "dog"):
        (tmp_path / "data" / "train" / name).symlink_to(tmp_path / "store" / name)
    data = folder(tmp_path / "data")
    assert (grays(data), grays(data, "test")) == ([1, 2], [3, 4])
    assert data.notices == (f"{tmp_path / 'data'}: train 2, test 2; 2 classes (cat, dog)",)


@pytest.mark.parametrize(
    "names",
    [
        ("training", "testing"),
        ("trainA", "trainB", "testA", "testB"),
        ("train", "eval"),
        ("Train", "Validation"),
        ("training_set", "test_set"),
        ("train_data", "test_data"),
        ("train2017", "val2017"),
        ("train", "test", "extra"),
        ("val",),
    ],
)
def test_splits_of_other_names_are_an_error(tmp_path: Path, names: tuple[str, ...]) -> None:
    """Names of splits other than train and test are an error that lists them, with a path to train on alone."""
    for name in names:
        save(tmp_path / name / "cat" / "1.png")
    with pytest.raises(DataError, match=f"seems to be split.*{', '.join(sorted(names))}") as raised:
        folder(tmp_path).open("train")
    alone = next((name for name in names if name.lower().startswith("train")), names[0])
    assert f"--data.path {tmp_path / alone} to train" in str(raised.value.fix)
    assert folder(tmp_path / alone).class_names == ("cat",)


@pytest.mark.parametrize("names", [("data/train", "data/test"), ("cat/train", "cat/val", "dog/train", "dog/val")])
def test_splits_below_other_folders_are_an_error(tmp_path: Path, names: tuple[str, ...]) -> None:
    """Test pictures one level further down do not become training pictures."""
    for name in names:
        save(tmp_path / name / "1.png")
    with pytest.raises(DataError, match=f"seems to be split.*{', '.join(sorted(names))}"):
        folder(tmp_path).open("train")
    save(tmp_path / "other" / "1.png")
    assert len(folder(tmp_path).class_names or ()) > 1


def test_runs_are_not_read(tmp_path: Path) -> None:
    """A training in the folder of its pictures adds no class and no pictures; its samples alone can be read."""
    for gray, name in enumerate(("cat/1.png", "dog/1.png", "runs/a/samples/step-00000000.png")):
        save(tmp_path / name, gray)
    (tmp_path / "runs" / "a" / "run.toml").touch()
    data = folder(tmp_path)
    assert grays(data) == [0, 1]
    assert data.class_names == ("cat", "dog")
    assert data.notices[1].endswith("ignored: runs: 1")
    assert grays(folder(tmp_path / "runs" / "a" / "samples")) == [2]


def test_loops_of_links_are_counted(tmp_path: Path) -> None:
    """A link to itself, to the folder or to one around it makes neither a class nor an error."""
    for gray, name in enumerate(("cat", "dog")):
        save(tmp_path / name / "1.png", gray)
    for name, target in (("loop", "loop"), ("self", "."), ("up", "..")):
        (tmp_path / name).symlink_to(target)
    data = folder(tmp_path)
    assert grays(data) == [0, 1]
    assert data.class_names == ("cat", "dog")
    assert "ignored: links to folders: 2, no extension: 1" in data.notices[-1]


def test_many_classes_are_abbreviated(tmp_path: Path) -> None:
    """The line before training shows the first five classes."""
    for name in "0123456789":
        save(tmp_path / name / "1.png", int(name))
    data = folder(tmp_path)
    assert len(in_memory(data)) == 10
    assert data.notices == (f"{tmp_path}: train 10; 10 classes (0, 1, 2, 3, 4, …)",)


@pytest.mark.parametrize("stream", ["yes", "no"])
def test_equal_pictures_are_a_warning(tmp_path: Path, stream: str) -> None:
    """A notice reports a split of identical images; one different image suppresses it."""
    for name in ("train/1.png", "train/2.png", "test/1.png"):
        save(tmp_path / name, 9)
    data = folder(tmp_path, stream=stream)
    assert data.info.sizes == {"train": 2, "test": 1}
    assert data.notices[1:] == (f"{tmp_path}: all pictures for training are equal",)
    save(tmp_path / "train" / "3.png", 10)
    data = folder(tmp_path, stream=stream)
    assert data.info.sizes == {"train": 3, "test": 1}
    assert data.notices[1:] == ()


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
    with pytest.raises(DataError, match=f"put some pictures into {tmp_path}/test "):
        folder(tmp_path).open("test")


def test_a_path_that_is_not_a_readable_folder_is_refused(tmp_path: Path) -> None:
    """A missing path, a file, and folders without permission are named; a missing option is pydantic's error."""
    with pytest.raises(DataError, match=r"no such folder or file: .*/missing"):
        folder(tmp_path / "missing").open("train")
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(DataError, match="neither a folder nor a regular file"):
        folder(tmp_path / "pipe.npz").open("train")
    (tmp_path / "pipe.npz").unlink()
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

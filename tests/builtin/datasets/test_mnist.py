"""Laws of the dataset `mnist`: the sample that ships, the searched places, and errors."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from platformdirs import user_cache_path

from ganforge.builtin.datasets import mnist_files
from ganforge.builtin.datasets.idx import header
from ganforge.builtin.datasets.mnist import SAMPLE
from ganforge.components import ConditionSpec, ImageSpec, Split, check_images
from ganforge.errors import DataError
from ganforge.utils.downloads import RequiredFiles, find_folder
from tests.helpers.home import remove_home
from tests.helpers.mnist_files import COUNTS, cache, files, mnist, put
from tests.helpers.plugins import command

__all__ = ["cache"]  # a fixture for every test here


def test_the_sample_is_a_fair_part_of_mnist() -> None:
    """10,000 + 2,000 distinct digits, each class with its share of the original to within one."""
    data = mnist(source="sample")
    original: dict[Split, tuple[int, ...]] = {
        "train": (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
        "test": (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
    }
    counts: dict[Split, int] = {"train": 10_000, "test": 2_000}
    for split, count in counts.items():
        images = data.open(split)
        check_images(images, "sample")
        assert images.images.shape == (count, 1, 28, 28)
        assert images.condition is not None
        assert len({image.numpy().tobytes() for image in images.images}) == count
        shares = torch.tensor(original[split]) * count / sum(original[split])
        assert ((torch.bincount(images.condition) - shares).abs() < 1).all()
        # A digit is light on dark, with a dark frame: neither inverted nor shifted by a byte.
        assert images.images[:, :, :2].float().mean() < 1
        assert 25 < images.images.float().mean() < 45
    assert sum(path.stat().st_size for path in SAMPLE.iterdir()) < 2_000_000


def test_the_sample_needs_no_disk_and_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`source=sample` looks at neither disk nor network, gives no notice, and is resolved to itself."""

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("ganforge.builtin.datasets.mnist.find_folder", forbidden)
    monkeypatch.setattr("ganforge.builtin.datasets.mnist.download_mnist", forbidden)
    data = mnist(put(tmp_path / "full"), "sample")
    assert data.info.sizes == {"train": 10_000, "test": 2_000}
    assert data.info.image == ImageSpec(1, 28, 28, ConditionSpec.classes(10))
    assert data.notices == ()
    assert data.resolved().source == "sample"


def test_construction_reads_no_file(tmp_path: Path) -> None:
    """Import and construction read no file, open no connection and do not import torchvision."""
    program = (
        "import sys\n"
        "seen = []\n"
        "from ganforge.builtin.datasets.mnist import Mnist\n"
        "sys.addaudithook(lambda event, _: seen.append(event) if event.split('.')[0] in ('open', 'socket') else None)\n"
        "Mnist(Mnist.Options()); assert not seen, seen\n"
        "assert 'torchvision' not in sys.modules\n"
        "assert Mnist(Mnist.Options(source='sample')).open('test') is not None and seen\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path, timeout=120)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("layout", ["MNIST/raw", "raw", "."])
def test_full_is_found_in_every_layout(tmp_path: Path, layout: str, suffix: str) -> None:
    """Files in torchvision's layout and shorter ones, plain or .gz, are read alike, and the folder is named."""
    folder = put(tmp_path / "data" / layout, suffix)
    data = mnist(tmp_path / "data")
    train = data.open("train")
    assert train.images.numpy().tobytes() == files()["train-images-idx3-ubyte"][16:]
    assert train.condition is not None
    assert train.condition.tolist() == [index % 10 for index in range(30)]
    assert data.info.sizes == COUNTS
    assert data.source == f"full MNIST from {folder}"
    assert data.resolved().source == "full"


def test_resolved_options_hold_in_every_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative `root` is resolved, so that a run can be resumed from elsewhere; none stays none."""
    put(tmp_path / "own")
    monkeypatch.chdir(tmp_path)
    assert mnist(Path("own")).resolved() == mnist(tmp_path / "own", "full").options
    assert mnist(source="sample").resolved().root is None


def test_places_are_searched_in_order(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`root` comes before GANFORGE_DATA, which comes before the cache; offline or not."""
    monkeypatch.setenv("GANFORGE_OFFLINE", "1")
    monkeypatch.setenv("GANFORGE_DATA", str(tmp_path / "variable"))
    expected = []
    for root in (cache, tmp_path / "variable", tmp_path / "root"):
        expected.append(put(root / "MNIST" / "raw"))
        data = mnist(tmp_path / "root")
        data.open("test")
        assert data.source == f"full MNIST from {expected[-1]}"


def test_a_user_without_a_home_folder_names_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown user of a container, without HOME, has no cache; a folder that is named needs none."""
    remove_home(monkeypatch)
    monkeypatch.setattr("platformdirs.user_cache_path", user_cache_path)
    with pytest.raises(DataError, match="the user has no home folder"):
        mnist().open("test")
    put(tmp_path / "MNIST" / "raw")
    monkeypatch.setenv("GANFORGE_DATA", str(tmp_path))
    assert len(mnist(source="full").open("test")) == COUNTS["test"]


def test_both_splits_come_from_one_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a split is open, new files on the disk do not change the choice, and no file is read twice."""
    monkeypatch.setenv("GANFORGE_OFFLINE", "1")
    data = mnist(tmp_path)
    train = data.open("train")
    put(tmp_path / "MNIST" / "raw")
    assert len(data.open("test")) == 2_000
    assert data.open("train") is train
    assert data.resolved().source == "sample"


def test_a_part_of_it_is_an_error_if_the_user_named_the_place(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing files are named for `root` and GANFORGE_DATA; an incomplete cache counts as no data."""
    monkeypatch.setenv("GANFORGE_OFFLINE", "1")
    for root in (cache, tmp_path / "named"):
        (put(root / "MNIST" / "raw") / "t10k-labels-idx1-ubyte").unlink()
    assert len(mnist().open("test")) == 2_000
    missing = r"named/MNIST/raw holds only a part .* missing .*: t10k-labels-idx1-ubyte\n"
    with pytest.raises(DataError, match=missing):
        mnist(tmp_path / "named").open("train")
    monkeypatch.setenv("GANFORGE_DATA", str(tmp_path / "named"))
    with pytest.raises(DataError, match=missing):
        mnist().open("train")


def test_files_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    """Other sizes, other counts, labels above 9, no images and damage are each an error that names the file."""
    labels, images = "train-labels-idx1-ubyte", "train-images-idx3-ubyte"
    for name, content, words in (
        (images, header((30, 32, 32)) + bytes(30 * 32 * 32), "32×32 pixels"),
        (images, header((29, 28, 28)) + bytes(29 * 28 * 28), "29 images but .* 30 labels"),
        (images, header((0, 28, 28)), "no images"),
        (images, files()[images][:-1], "is damaged"),
        (labels, header((30,)) + bytes([10] * 30), "the label 10"),
        (labels, b"<html>", "is not an IDX file"),
    ):
        folder = put(tmp_path)
        (folder / name).write_bytes(content)
        with pytest.raises(DataError, match=words) as raised:
            mnist(tmp_path).open("train")
        assert name in str(raised.value)


def test_other_files_under_the_same_names_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files with another SHA-256 than the original are used with a notice that names them."""
    data = mnist(put(tmp_path))
    assert data.info.sizes == COUNTS
    assert all(name in data.notices[0] for name in files())
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files().items()}
    monkeypatch.setattr(mnist_files, "SHA256", hashes)
    data = mnist(tmp_path)
    assert data.info.sizes == COUNTS
    assert data.notices == ()


def test_a_root_that_is_a_file_or_locked_is_an_error(tmp_path: Path) -> None:
    """A place that the user named but that cannot be a folder of data is refused, never ignored."""
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is not a folder"):
        mnist(tmp_path / "file").open("train")
    put(tmp_path / "locked").chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root may read everything; `nobody` may not
    try:
        with pytest.raises(DataError, match=r"cannot be read: Permission denied"):
            mnist(tmp_path / "locked").open("train")
    finally:
        os.seteuid(user)
        (tmp_path / "locked").chmod(0o700)


def test_the_notice_about_the_sample_is_printed_once() -> None:
    """`run` prints why the sample replaces the full MNIST once, also as a dry run, and not with --quiet."""
    run = ("run", "--gen", "mlp", "--disc", "mlp", "--gen.hidden", "[8]", "--disc.hidden", "[8]", "--dry-run")
    loud, quiet = command(*run), command(*run, "--quiet")
    assert (loud.returncode, quiet.returncode) == (0, 0)
    assert (loud.stderr.count("the full 60,000"), loud.stdout.count("the full 60,000")) == (1, 0)
    assert quiet.stderr == ""


@pytest.mark.parametrize("others", [(), ("list.txt",)])
def test_an_archive_next_to_missing_files_is_named(others: tuple[str, ...], tmp_path: Path) -> None:
    """The fix for a folder that was not unpacked names its archive; a folder that the user did not name is skipped."""
    required = RequiredFiles(title="Faces", layouts=("faces",), names=("pictures", "list.txt"))
    (tmp_path / "faces").mkdir()
    for name in (*others, "pictures.zip"):
        (tmp_path / "faces" / name).touch()
    with pytest.raises(DataError, match="holds only a part of Faces; these files are missing: pictures") as raised:
        find_folder(tmp_path, required, named=True)
    assert raised.value.fix == "unpack pictures.zip in this folder"
    assert find_folder(tmp_path, required, named=False) is None

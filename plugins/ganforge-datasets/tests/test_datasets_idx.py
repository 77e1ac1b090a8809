"""Laws of Fashion-MNIST, KMNIST and EMNIST: content, places, and damage."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets_parts import LETTERS, MNIST_LIKE, SIZES, idx, noise, put_idx, write
from ganforge_datasets.idx import Emnist, FashionMnist, Kmnist, MnistLike

from ganforge.builtin.features.classifier_features import Fashion
from ganforge.errors import DataError

RAW = "FashionMNIST/raw"


def fashion(root: Path | None = None) -> FashionMnist:
    """Return the dataset, built from options as by the engine."""
    return FashionMnist(FashionMnist.Options.model_validate({"root": root}))


@pytest.mark.parametrize("cls", [FashionMnist, Kmnist])
def test_images_and_classes_are_those_of_the_files(tmp_path: Path, cls: type[MnistLike]) -> None:
    """Images and classes are those of the files, in order; classes have names, and the source names the folder."""
    data = cls(cls.Options(root=put_idx(tmp_path, cls.folder, MNIST_LIKE)))
    for seed, (split, count) in enumerate(SIZES.items()):
        images = data.open(split)
        assert images.images.numpy().tobytes() == noise(count, 28, 28, seed=seed).tobytes()
        assert images.condition is not None
        assert images.condition.tolist() == [index % 10 for index in range(count)]
    assert data.info.sizes == SIZES
    assert data.info.image.num_classes == len(set(data.class_names or ())) == 10
    assert data.info.source == f"{cls.title} from {tmp_path / cls.folder}"


def test_files_with_fewer_images_than_the_original_are_a_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both splits are named with their sizes and the original's; whole files give no notice."""
    data = fashion(put_idx(tmp_path, RAW, MNIST_LIKE))
    assert not data.notices
    _ = data.info
    folder = tmp_path / RAW
    assert data.notices == (
        f"Fashion-MNIST: 30 train images in {folder}; the original has 60,000",
        f"Fashion-MNIST: 20 test images in {folder}; the original has 10,000",
    )
    monkeypatch.setattr(FashionMnist, "original_sizes", (30, 20))
    assert not data.notices
    assert Emnist(Emnist.Options(split="letters")).original_sizes == (124_800, 20_800)


def test_fashion_mnist_recommends_the_features_of_its_classes() -> None:
    """Fashion-MNIST recommends the extractor with its classes; datasets without such an extractor recommend none."""
    assert FashionMnist.recommended == {"features": Fashion.name}
    assert fashion().class_names == Fashion.class_names
    assert not Kmnist.recommended
    assert not Emnist.recommended


def test_the_places_are_searched_in_order(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`root` comes before GANFORGE_DATA, which comes before the cache; resolved() names the place with the data."""
    monkeypatch.setenv("GANFORGE_DATA", str(tmp_path / "variable"))
    for root in (cache, tmp_path / "variable", tmp_path / "root"):
        put_idx(root, RAW, MNIST_LIKE)
        data = fashion(tmp_path / "root")
        assert data.resolved() == FashionMnist.Options(root=root)
        assert data.open("test").images.shape == (20, 1, 28, 28)
        assert data.source == f"Fashion-MNIST from {root / RAW}"


def test_resolved_root_holds_in_every_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative `root` is resolved, so that a run can be resumed from elsewhere."""
    put_idx(tmp_path / "own", RAW, MNIST_LIKE)
    monkeypatch.chdir(tmp_path)
    assert fashion(Path("own")).resolved().root == tmp_path / "own"


def test_emnist_is_upright_and_letters_count_from_zero(tmp_path: Path) -> None:
    """The files hold transposed images and letters from 1; the dataset returns upright ones, a to z from 0."""
    upright = np.zeros((2, 28, 28), dtype=np.uint8)
    upright[0, 4:24, 6] = upright[0, 23, 6:18] = 255  # the letter L
    upright[1, 4:24, 14] = upright[1, 4, 6:22] = 255  # the letter T
    files = {**LETTERS, "emnist-letters-train-images-idx3-ubyte": idx(upright.transpose(0, 2, 1))}
    files["emnist-letters-train-labels-idx1-ubyte"] = idx(np.array([12, 20], dtype=np.uint8))
    data = Emnist(Emnist.Options(root=put_idx(tmp_path, "EMNIST/raw", files), split="letters"))
    images = data.open("train")
    assert torch.equal(images.images[:, 0], torch.from_numpy(upright))
    assert images.condition is not None
    assert [data.class_names[label] for label in images.condition] == ["l", "t"]


@pytest.mark.parametrize(
    ("split", "classes", "some"),
    [
        ("balanced", 47, {10: "A", 35: "Z", 36: "a", 38: "d", 46: "t"}),
        ("letters", 26, {0: "a", 25: "z"}),
        ("digits", 10, {9: "9"}),
        ("byclass", 62, {0: "0", 10: "A", 36: "a", 61: "z"}),
        ("bymerge", 47, {46: "t"}),
        ("mnist", 10, {0: "0"}),
    ],
)
def test_emnist_has_the_classes_of_its_paper(split: str, classes: int, some: dict[int, str]) -> None:
    """Each split has the classes of table II of Cohen et al., named in the order of their mapping files."""
    names = Emnist(Emnist.Options.model_validate({"split": split})).class_names
    assert len(names) == len(set(names)) == classes
    assert {number: names[number] for number in some} == some


def test_files_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    """Damage, other sizes, other counts and unknown labels are each an error that names the file."""
    labels, images = "train-labels-idx1-ubyte", "train-images-idx3-ubyte"
    for name, content, words in (
        (images, MNIST_LIKE[images][:-1], "is damaged"),
        (images, b"<html>", "not an IDX file"),
        (labels, b"", "not an IDX file"),
        (images, idx(noise(30, 32, 32)), "holds 30×32×32 pixels"),
        (images, idx(noise(0, 28, 28)), "is damaged"),
        (images, idx(noise(29, 28, 28)), "29 images but .* 30 labels"),
        (labels, idx(np.full(30, 10, dtype=np.uint8)), "labels that Fashion-MNIST does not have"),
    ):
        write(put_idx(tmp_path, RAW, MNIST_LIKE) / RAW / name, content)
        with pytest.raises(DataError, match=words) as raised:
            fashion(tmp_path).open("train")
        assert str(tmp_path / RAW / name) in raised.value.message
        assert raised.value.fix


def test_a_part_of_it_is_an_error_if_the_user_named_the_place(tmp_path: Path) -> None:
    """Missing files are named, and nothing is downloaded over the others."""
    (put_idx(tmp_path, RAW, MNIST_LIKE) / RAW / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"only a part of Fashion-MNIST; .* missing: t10k-labels-idx1-ubyte"):
        fashion(tmp_path).open("train")


def test_it_trains(tmp_path: Path) -> None:
    """A short run on the command line, from a folder in torchvision's layout, records the source of the images."""
    put_idx(tmp_path, RAW, MNIST_LIKE)
    flags = ("--gen", "mlp", "--disc", "mlp", "--gen.hidden", "[16]", "--disc.hidden", "[16]", "--batch-size", "8")
    data = ("--data", "fashion-mnist", "--data.root", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-m", "ganforge", "run", *flags, *data, "--steps", "3", "--precision", "fp32", "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert (printed["status"], printed["images_seen"]) == ("finished", 24)
    manifest = json.loads((tmp_path / printed["run"] / "run.json").read_text())
    assert manifest["data"]["source"] == f"Fashion-MNIST from {tmp_path / RAW}"
    assert manifest["data"]["sizes"] == SIZES

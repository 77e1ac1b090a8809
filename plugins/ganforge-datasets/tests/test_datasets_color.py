"""Laws of CIFAR-10, SVHN and CelebA: pixels in their places, classes in order, damage named."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import get_args

import pytest
import torch
from conftest import Patch
from datasets_parts import ATTRIBUTES, FACES, SIZES, attribute, cifar_files, put_celeba, put_cifar, put_svhn, svhn_array
from ganforge_datasets.celeba import Attribute, CelebA
from ganforge_datasets.cifar import Cifar10
from ganforge_datasets.downloaded import Downloaded
from ganforge_datasets.svhn import Svhn
from PIL import Image
from torchvision import transforms

from ganforge import ConditionSpec, ImageSpec
from ganforge.errors import DataError


def test_cifar_pixels_follow_the_binary_format(tmp_path: Path, patch: Patch) -> None:
    """A row of 3,072 bytes is the red plane, the green, the blue, each row by row; the batches follow each other."""
    patch(put_cifar(tmp_path))
    data = Cifar10(Cifar10.Options(root=tmp_path))
    images = data.open("train")
    assert images.images.shape == (30, 3, 32, 32)
    assert images.condition is not None
    for index in (0, 7, 29):
        batch = pickle.loads(cifar_files()[f"data_batch_{index // 6 + 1}"])  # noqa: S301 - our own
        assert int(images.condition[index]) == batch["labels"][index % 6]
        for channel, row, column in ((0, 0, 1), (1, 31, 0), (2, 5, 17)):
            expected = batch["data"][index % 6][channel * 1024 + row * 32 + column]
            assert int(images.images[index, channel, row, column]) == expected
    assert data.info.sizes == SIZES
    assert data.info.class_names is not None
    assert data.info.class_names[::9] == ("airplane", "truck")


def test_svhn_pixels_and_the_digit_zero(tmp_path: Path, patch: Patch) -> None:
    """The arrays are height, width, color, number; the label 10 means the digit 0."""
    patch(put_svhn(tmp_path))
    data = Svhn(Svhn.Options(root=tmp_path))
    for split, count in SIZES.items():
        pixels, labels = svhn_array(split)
        images = data.open(split)
        for index, row, column, channel in ((0, 1, 2, 0), (count - 1, 31, 3, 2), (5, 0, 30, 1)):
            assert int(images.images[index, channel, row, column]) == pixels[row, column, channel, index]
        assert images.condition is not None
        assert images.condition.tolist() == [label % 10 for label in labels[:, 0]]
    assert data.source == f"SVHN from {tmp_path}"


def test_celeba_is_cropped_and_resized_as_papers_do(tmp_path: Path, patch: Patch) -> None:
    """Every face is the central square of 178 pixels, resized, with the bits of torchvision's transforms."""
    patch(put_celeba(tmp_path))
    oracle = transforms.Compose([transforms.CenterCrop(178), transforms.Resize(32), transforms.PILToTensor()])
    data = CelebA(CelebA.Options(root=tmp_path, size=32))
    faces, names = data.open("test"), sorted((tmp_path / "celeba" / "img_align_celeba").iterdir())
    first = FACES["train"] + FACES["valid"]
    for index in (0, len(faces) - 1):
        with Image.open(names[first + index]) as picture:
            assert torch.equal(faces[index][0], oracle(picture))
    assert data.info.image == ImageSpec(3, 32, 32)
    assert data.info.sizes == SIZES
    assert data.info.class_names is None
    assert faces[3][1] == 0


def test_celeba_attributes_make_classes(tmp_path: Path, patch: Patch) -> None:
    """Each combination of the chosen attributes is a class, named by it."""
    assert get_args(Attribute) == tuple(ATTRIBUTES.split())
    patch(put_celeba(tmp_path))
    data = CelebA(CelebA.Options.model_validate({"root": tmp_path, "attributes": "Smiling, Male"}))
    assert data.options.attributes == ("Smiling", "Male")
    assert data.info.class_names == ("not Smiling, not Male", "not Smiling, Male", "Smiling, not Male", "Smiling, Male")
    assert data.info.image.condition == ConditionSpec.classes(4)
    faces, numbers = data.open("train"), [ATTRIBUTES.split().index(name) for name in ("Smiling", "Male")]
    for index in range(len(faces)):
        signs = [attribute(number, index) > 0 for number in numbers]
        words = ", ".join(name if has else f"not {name}" for name, has in zip(("Smiling", "Male"), signs, strict=True))
        assert data.info.class_names[faces[index][1]] == words


def test_celeba_fingerprint_depends_on_images_and_options(tmp_path: Path, patch: Patch) -> None:
    """Other sizes, other classes and a replaced picture give another fingerprint; a copy gives the same."""
    patch(put_celeba(tmp_path / "one"))
    patch(put_celeba(tmp_path / "two"))

    def fingerprint(root: str = "one", **options: object) -> str:
        return CelebA(CelebA.Options.model_validate({"root": tmp_path / root, **options})).info.fingerprint

    assert fingerprint() == fingerprint("two")
    assert len({fingerprint(), fingerprint(size=32), fingerprint(attributes=["Young"])}) == 3
    Image.new("RGB", (178, 218)).save(tmp_path / "two" / "celeba" / "img_align_celeba" / "000002.jpg")
    assert fingerprint() != fingerprint("two")


def test_a_damaged_face_is_named(tmp_path: Path, patch: Patch) -> None:
    """A missing picture is an error before training; one cut short or of another size is an error when it is read."""
    patch(put_celeba(tmp_path))
    folder = tmp_path / "celeba" / "img_align_celeba"
    whole = (folder / "000001.jpg").read_bytes()
    small = io.BytesIO()
    Image.new("RGB", (64, 64)).save(small, "JPEG")
    data = CelebA(CelebA.Options(root=tmp_path))
    for content, words in (
        (whole[: len(whole) // 2], "truncated"),
        (b"", "cannot identify"),
        (small.getvalue(), "64×64 pixels"),
    ):
        (folder / "000001.jpg").write_bytes(content)
        with pytest.raises(DataError, match=r"img_align_celeba/000001\.jpg cannot be read: .*" + words):
            data.open("train")[0]
    (folder / "000001.jpg").unlink()
    with pytest.raises(DataError, match=r"000001\.jpg cannot be read: No such file"):
        _ = data.info


@pytest.mark.parametrize(
    ("put", "cls", "name"),
    [
        (put_cifar, Cifar10, "cifar-10-batches-py/data_batch_3"),
        (put_svhn, Svhn, "test_32x32.mat"),
        (put_celeba, CelebA, "celeba/list_attr_celeba.txt"),
    ],
)
def test_a_file_that_is_not_the_original_is_named(
    tmp_path: Path,
    patch: Patch,
    put: object,
    cls: type[Downloaded],
    name: str,
) -> None:
    """Files are compared with torchvision's MD5s before they are read, so that no foreign pickle is loaded."""
    assert callable(put)
    patch(put(tmp_path))
    with (tmp_path / name).open("r+b") as file:
        file.write(b"\x00\x01")
    data = cls(cls.Options(root=tmp_path))
    with pytest.raises(DataError, match="is damaged: it is not the original") as raised:
        _ = data.info
    assert str(tmp_path / name) in raised.value.message
    assert raised.value.fix
    (tmp_path / name).unlink()
    with pytest.raises(DataError, match=Path(name).name):
        _ = cls(cls.Options(root=tmp_path)).info


def test_an_unknown_attribute_is_refused() -> None:
    """An attribute that CelebA does not have is a validation error."""
    with pytest.raises(ValueError, match="Wearing_Hat"):
        CelebA.Options.model_validate({"attributes": ["Hat"]})

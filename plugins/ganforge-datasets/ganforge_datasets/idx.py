"""Datasets in the format of MNIST: Fashion-MNIST, KMNIST, EMNIST."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal

from torch import Tensor
from torchvision.datasets import EMNIST, KMNIST, MNIST, FashionMNIST
from torchvision.datasets.mnist import read_image_file, read_label_file

from ganforge import ImageTensors
from ganforge.errors import DataError
from ganforge.utils.files import error_reason
from ganforge_datasets.downloaded import Downloaded, DownloadedInMemory

SIDE_PIXELS = 28
#: Training and test images of EMNIST's splits.
EMNIST_SIZES = {
    "balanced": (112_800, 18_800),
    "letters": (124_800, 20_800),
    "digits": (240_000, 40_000),
    "byclass": (697_932, 116_323),
    "bymerge": (697_932, 116_323),
    "mnist": (60_000, 10_000),
}


class IdxDataset(DownloadedInMemory):
    """Gray images of 28×28 pixels in two files for each split: images and labels."""

    @abstractmethod
    def files(self, split: str) -> tuple[str, str]:
        """Return the names of the two files of a split."""

    @property
    @abstractmethod
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in order."""

    @property
    @abstractmethod
    def original_sizes(self) -> tuple[int, int]:
        """Numbers of the original's training and test images."""

    @property
    def notices(self) -> tuple[str, ...]:
        """Splits of another size than the original's; known once they are open. The files have no MD5."""
        return tuple(
            f"{self.title}: {len(self._loaded[split]):,} {split} images in {self.root / self.folder}; the original has "
            f"{size:,}"
            for split, size in zip(self.splits, self.original_sizes, strict=True)
            if split in self._loaded and len(self._loaded[split]) != size
        )

    @abstractmethod
    def arrange(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return upright images, `(N, 1, 28, 28)`, and classes from 0, `(N,)`, from the content of the files."""

    @property
    def checksums(self) -> dict[str, None]:
        """The files; torchvision has an MD5 only of the archives, and checks it when it downloads them."""
        return dict.fromkeys(name for split in self.splits for name in self.files(split))

    def read(self, split: str) -> ImageTensors:
        """Return a split. Raises DataError that names the file."""
        images_path, labels_path = (self.root / self.folder / name for name in self.files(split))
        images, labels = self._tensor(images_path, read_image_file), self._tensor(labels_path, read_label_file)
        if tuple(images.shape[1:]) != (SIDE_PIXELS, SIDE_PIXELS):
            shape = "×".join(map(str, images.shape))
            raise DataError(f"{images_path} holds {shape} pixels; {self.title}'s are N×28×28", fix=self.renew)
        if len(images) != len(labels):
            raise DataError(
                f"{images_path} holds {len(images):,} images but {labels_path} {len(labels):,} labels", fix=self.renew
            )
        images, classes = self.arrange(images.unsqueeze(1), labels)
        if int(classes.min()) < 0 or int(classes.max()) >= len(self.class_names):
            raise DataError(f"{labels_path} holds labels that {self.title} does not have", fix=self.renew)
        return ImageTensors(images, classes)

    def _tensor(self, path: Path, read: Callable[[str], Tensor]) -> Tensor:
        try:
            return read(str(path))
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error_reason(error)}", fix=self.renew) from error
        except Exception as error:  # torchvision's reader raises nearly any error, some without a message
            words = " ".join(str(error).split()) or "its header is wrong"
            raise DataError(f"{path} is damaged, or not an IDX file: {words}", fix=self.renew) from error


class MnistLike(IdxDataset):
    """Other images in files named like those of MNIST.

    Attributes:
        original: Class of torchvision.
    """

    original: ClassVar[type[MNIST]]
    original_sizes = (60_000, 10_000)

    def files(self, split: str) -> tuple[str, str]:
        """Return the names of the two files of a split, as in MNIST."""
        prefix = "train" if split == "train" else "t10k"
        return f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, as in torchvision."""
        return tuple(self.original.classes)

    def arrange(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return images and labels unchanged."""
        return images, labels

    @property
    def addresses(self) -> tuple[str, ...]:
        """Mirrors of torchvision."""
        return tuple(self.original.mirrors)

    @classmethod
    def fetch(cls, root: Path, *arguments: str) -> None:
        """Download into `root` with torchvision."""
        cls.original(root, download=True)
        _remove(root / cls.folder, "*.gz")


class FashionMnist(MnistLike):
    """Clothes, gray on black: images `(N, 1, 28, 28)`, ten classes of 6,000 + 1,000 images each."""

    title = "Fashion-MNIST"
    megabytes = 31
    folder = "FashionMNIST/raw"
    original = FashionMNIST
    recommended: ClassVar = {"features": "fashion"}


class Kmnist(MnistLike):
    """Ten characters of cursive Japanese: images `(N, 1, 28, 28)`, 6,000 + 1,000 images of each class."""

    title = "KMNIST"
    megabytes = 21
    folder = "KMNIST/raw"
    original = KMNIST


class Emnist(IdxDataset):
    """Handwritten letters and digits, upright: images `(N, 1, 28, 28)`; the split decides on classes and number.

    balanced and bymerge merge small letters that look like their capitals; letters merges all of them.
    """

    title = "EMNIST"
    megabytes = 562
    folder = "EMNIST/raw"

    class Options(Downloaded.Options):
        """Location of the data, and the part that is used."""

        split: Literal["balanced", "letters", "digits", "byclass", "bymerge", "mnist"] = "balanced"
        """balanced: 47 classes of equal number; letters: 26; digits: 10; byclass: 62; bymerge: 47; mnist: 10."""

    options: Options

    def files(self, split: str) -> tuple[str, str]:
        """Return the names of the two files of a split."""
        prefix = f"emnist-{self.options.split}-{split}"
        return f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"

    @property
    def class_names(self) -> tuple[str, ...]:
        """The characters, as in torchvision: digits, capitals, small letters."""
        return tuple(EMNIST.classes_split_dict[self.options.split][self._first_label :])

    @property
    def original_sizes(self) -> tuple[int, int]:
        """Numbers of the split's training and test images."""
        return EMNIST_SIZES[self.options.split]

    @property
    def _first_label(self) -> int:
        """Label of the first class in the files; letters count from 1."""
        return 1 if self.options.split == "letters" else 0

    def arrange(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return upright characters, which are transposed in the files, and classes from 0."""
        return images.transpose(2, 3).contiguous(), labels - self._first_label

    @property
    def addresses(self) -> tuple[str, ...]:
        """Address of the archive."""
        return (EMNIST.url,)

    @classmethod
    def fetch(cls, root: Path, *arguments: str) -> None:
        """Download all splits, which are in one archive, into `root` with torchvision."""
        EMNIST(root, split="mnist", download=True)
        _remove(root / cls.folder, "*.zip")


def _remove(folder: Path, pattern: str) -> None:
    """Remove the archives, which are unpacked."""
    for path in folder.glob(pattern):
        path.unlink()

"""The relatives of MNIST, in its format: Fashion-MNIST, KMNIST, EMNIST."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal

from torch import Tensor
from torchvision.datasets import EMNIST, KMNIST, MNIST, FashionMNIST
from torchvision.datasets.mnist import read_image_file, read_label_file

from ganforge import Images
from ganforge.errors import DataError
from ganforge_datasets.downloaded import Downloaded, LoadedWhole

SIDE_PIXELS = 28


class IdxDataset(LoadedWhole):
    """Grey images of 28×28 pixels in two files for each split: pixels and labels."""

    @abstractmethod
    def files(self, split: str) -> tuple[str, str]:
        """Return the names of a split's two files."""

    @property
    @abstractmethod
    def class_names(self) -> tuple[str, ...]:
        """The labels' names, in order."""

    @abstractmethod
    def arranged(self, pixels: Tensor, labels: Tensor) -> Images:
        """Return pixels, `(N, 1, 28, 28)`, upright, and labels, `(N,)`, from 0, of what stands in the files."""

    @property
    def checksums(self) -> dict[str, None]:
        """The files; torchvision knows the MD5 of the archives alone, and checks it when it downloads them."""
        return dict.fromkeys(name for split in self.splits for name in self.files(split))

    def read(self, split: str) -> Images:
        """Read a split's two files. Raises DataError that names the file."""
        pixels_path, labels_path = (self.root / self.folder / name for name in self.files(split))
        pixels, labels = self._tensor(pixels_path, read_image_file), self._tensor(labels_path, read_label_file)
        if tuple(pixels.shape[1:]) != (SIDE_PIXELS, SIDE_PIXELS):
            shape = "×".join(map(str, pixels.shape))
            raise DataError(f"{pixels_path} holds {shape} pixels; {self.title}'s are N×28×28", fix=self.renew)
        if len(pixels) != len(labels):
            raise DataError(
                f"{pixels_path} holds {len(pixels):,} images but {labels_path} {len(labels):,} labels", fix=self.renew
            )
        images = self.arranged(pixels.unsqueeze(1), labels)
        assert images.labels is not None  # noqa: S101 - `arranged` keeps them
        if int(images.labels.min()) < 0 or int(images.labels.max()) >= len(self.class_names):
            raise DataError(f"{labels_path} holds labels that {self.title} does not have", fix=self.renew)
        return images

    def _tensor(self, path: Path, read: Callable[[str], Tensor]) -> Tensor:
        try:
            return read(str(path))
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}", fix=self.renew) from error
        except Exception as error:  # torchvision's reader raises nearly anything, some of it without words
            words = " ".join(str(error).split()) or "it does not begin as one does"
            raise DataError(f"{path} is damaged, or no IDX file: {words}", fix=self.renew) from error


class MnistLike(IdxDataset):
    """What has the very files of MNIST, with other images."""

    #: torchvision's class.
    original: ClassVar[type[MNIST]]

    def files(self, split: str) -> tuple[str, str]:
        """Return the names of a split's two files, which are MNIST's."""
        prefix = "train" if split == "train" else "t10k"
        return f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"

    @property
    def class_names(self) -> tuple[str, ...]:
        """The labels' names, as torchvision gives them."""
        return tuple(self.original.classes)

    def arranged(self, pixels: Tensor, labels: Tensor) -> Images:
        """Return pixels and labels as they are."""
        return Images(pixels, labels)

    @property
    def addresses(self) -> tuple[str, ...]:
        """The mirrors that torchvision knows."""
        return tuple(self.original.mirrors)

    @classmethod
    def fetch(cls, root: Path, *arguments: str) -> None:
        """Download into `root`, with torchvision."""
        cls.original(root, download=True)
        _remove(root / cls.folder, "*.gz")


class FashionMnist(MnistLike):
    """Clothes, grey on black: pixels `(N, 1, 28, 28)`, ten classes of 6,000 + 1,000 images each."""

    title = "Fashion-MNIST"
    megabytes = 31
    folder = "FashionMNIST/raw"
    original = FashionMNIST
    recommended: ClassVar = {"features": "fashion"}


class Kmnist(MnistLike):
    """Ten characters of cursive Japanese: pixels `(N, 1, 28, 28)`, 6,000 + 1,000 images of each class."""

    title = "KMNIST"
    megabytes = 21
    folder = "KMNIST/raw"
    original = KMNIST


class Emnist(IdxDataset):
    """Handwritten letters and digits, upright: pixels `(N, 1, 28, 28)`; the split decides on classes and number.

    | split | classes | train | test |
    | --- | --- | --- | --- |
    | balanced | 47 | 112,800 | 18,800 |
    | letters | 26 | 124,800 | 20,800 |
    | digits | 10 | 240,000 | 40,000 |
    | byclass | 62 | 697,932 | 116,323 |
    | bymerge | 47 | 697,932 | 116,323 |
    | mnist | 10 | 60,000 | 10,000 |

    balanced and bymerge take those small letters that look like their capitals for the same; letters takes all of them.
    """

    title = "EMNIST"
    megabytes = 562
    folder = "EMNIST/raw"

    class Options(Downloaded.Options):
        """Where the data lies or goes, and which part of it is used."""

        split: Literal["balanced", "letters", "digits", "byclass", "bymerge", "mnist"] = "balanced"
        """balanced: 47 classes of equal number; letters: 26; digits: 10; byclass: 62; bymerge: 47; mnist: 10."""

    options: Options

    def files(self, split: str) -> tuple[str, str]:
        """Return the names of a split's two files."""
        prefix = f"emnist-{self.options.split}-{split}"
        return f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"

    @property
    def class_names(self) -> tuple[str, ...]:
        """The characters, as torchvision gives them: digits, capitals, small letters."""
        return tuple(EMNIST.classes_split_dict[self.options.split][self._first_label :])

    @property
    def _first_label(self) -> int:
        """The label of the first class in the files: letters are counted from 1."""
        return 1 if self.options.split == "letters" else 0

    def arranged(self, pixels: Tensor, labels: Tensor) -> Images:
        """Return characters upright, which lie on their side and mirrored in the files, and labels from 0."""
        return Images(pixels.transpose(2, 3).contiguous(), labels - self._first_label)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where torchvision gets its one archive."""
        return (EMNIST.url,)

    @classmethod
    def fetch(cls, root: Path, *arguments: str) -> None:
        """Download into `root`, with torchvision: all splits, since they come in one archive."""
        EMNIST(root, split="mnist", download=True)
        _remove(root / cls.folder, "*.zip")


def _remove(folder: Path, pattern: str) -> None:
    """Remove the archives, whose content lies beside them."""
    for path in folder.glob(pattern):
        path.unlink()

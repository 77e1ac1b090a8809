"""The four files of MNIST: names, hashes, download (all of it or nothing), and reading of a split."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from torch import int64

from ganforge.builtin.datasets.idx import header, read_idx
from ganforge.components import ImageTensors, Split
from ganforge.errors import DataError
from ganforge.utils.downloads import DownloadError, RequiredFiles, download

#: Images and labels of each split.
FILES: dict[Split, tuple[str, str]] = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}

#: SHA-256 of the original files, not compressed.
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}

#: Layouts below the folder that the user names: torchvision's, and shorter ones.
REQUIRED = RequiredFiles(
    title="MNIST",
    layouts=("MNIST/raw", "raw", ""),
    names=tuple(SHA256),
    packed=True,
    fix="add them, or remove the others; `--data.source sample` trains on the digits that ship with ganforge",
)

#: torchvision's mirrors, in its order; importing torchvision for them would be slow.
MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/")

#: Command of the process that downloads; -P keeps files in the working folder from being imported.
DOWNLOADER = (sys.executable, "-P", "-m", "ganforge.builtin.datasets.mnist_fetch")

TOTAL_SECONDS = 120.0

SIDE_PIXELS = 28
CLASSES = tuple(str(digit) for digit in range(10))


def download_mnist(root: Path) -> Path:
    """Download the four files, check them, and put them into `root`/MNIST/raw; return that folder.

    Raises:
        DownloadError: The files could not be downloaded, or are not the original ones.
    """
    return download(
        DOWNLOADER,
        *MIRRORS,
        root=root,
        folder="MNIST/raw",
        fetched="MNIST/raw",
        addresses=MIRRORS,
        seconds=TOTAL_SECONDS,
        check=_check,
    )


def _check(folder: Path) -> None:
    """Raise DownloadError unless the four files are the original ones."""
    for name, original in SHA256.items():
        with (folder / name).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != original:
                raise DownloadError(f"{name} differs from the original (SHA-256)")


def read_split(folder: Path, split: Split) -> ImageTensors:
    """Return one split: images `(N, 1, 28, 28)` uint8, classes `(N,)` int64. Raises DataError that names the file."""
    images_path, labels_path = (_present(folder, name) for name in FILES[split])
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if tuple(images.shape[1:]) != (SIDE_PIXELS, SIDE_PIXELS):
        height, width = images.shape[1:]
        raise DataError(
            f"{images_path} holds images of {height}×{width} pixels; MNIST's have {SIDE_PIXELS}×{SIDE_PIXELS}"
        )
    if len(images) == 0:
        raise DataError(f"{images_path} holds no images")
    if len(images) != len(labels):
        raise DataError(
            f"{images_path} holds {len(images):,} images but {labels_path} {len(labels):,} labels",
            fix="replace both with whole copies of the original files",
        )
    if int(labels.max()) >= len(CLASSES):
        raise DataError(f"{labels_path} holds the label {int(labels.max())}; MNIST's are 0 to 9")
    return ImageTensors(images.unsqueeze(1), labels.to(int64))


def changed_files(images: ImageTensors, split: Split) -> list[str]:
    """Return the files of a split that differ from the original ones; those of Fashion-MNIST have the same names."""
    assert images.condition is not None, "read_split returns labels"  # noqa: S101
    changed = []
    for name, tensor in zip(FILES[split], (images.images.squeeze(1), images.condition.byte()), strict=True):
        digest = hashlib.sha256(header(tuple(tensor.shape)))  # that of the plain IDX file
        digest.update(tensor.contiguous().numpy().data)
        if digest.hexdigest() != SHA256[name]:
            changed.append(name)
    return changed


def _present(folder: Path, name: str) -> Path:
    """Return the path under the first of its names that exists, or the plain one for the error message."""
    try:
        present = {entry.name for entry in folder.iterdir()}
    except OSError:
        present = set()  # reading the file raises the error
    return next((folder / f"{name}{end}" for end in ("", ".gz", ".xz") if f"{name}{end}" in present), folder / name)

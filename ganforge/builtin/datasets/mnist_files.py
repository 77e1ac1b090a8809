"""The four files of MNIST: their names, their hashes, and how a split is read from a folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

from torch import Tensor, int64

from ganforge.builtin.datasets.idx import header, read_idx
from ganforge.components import Images, Split
from ganforge.errors import DataError
from ganforge.utils.downloads import Wanted, find_folder

#: Pixels and labels of each split.
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

#: Where the files lie below the folder that a person names: torchvision's layout, and shorter ones.
WANTED = Wanted(
    title="MNIST",
    layouts=("MNIST/raw", "raw", ""),
    names=tuple(SHA256),
    packed=True,
    fix="Add them, or remove the others; `--data.source sample` trains on the digits that ship with ganforge.",
)

SIDE_PIXELS = 28
CLASSES = tuple(str(digit) for digit in range(10))


def find_files(root: Path, *, named: bool) -> Path | None:
    """Return the folder at or below `root` that holds all four files, plain or .gz, or None.

    named: whether a person named `root`, as for `ganforge.utils.downloads.find_folder`. Raises DataError.
    """
    return find_folder(root, WANTED, named=named)


def read_split(folder: Path, split: Split) -> Images:
    """Read one split: pixels uint8 `(N, 1, 28, 28)`, labels int64 `(N,)`. Raises DataError that names the file."""
    pixels_path, labels_path = (_present(folder, name) for name in FILES[split])
    pixels, labels = read_idx(pixels_path, 3), read_idx(labels_path, 1)
    if tuple(pixels.shape[1:]) != (SIDE_PIXELS, SIDE_PIXELS):
        height, width = pixels.shape[1:]
        raise DataError(
            f"{pixels_path} holds images of {height}×{width} pixels; MNIST's have {SIDE_PIXELS}×{SIDE_PIXELS}"
        )
    if len(pixels) == 0:
        raise DataError(f"{pixels_path} holds no images")
    if len(pixels) != len(labels):
        raise DataError(
            f"{pixels_path} holds {len(pixels):,} images but {labels_path} {len(labels):,} labels",
            fix="Replace both with whole copies of the original files.",
        )
    if int(labels.max()) >= len(CLASSES):
        raise DataError(f"{labels_path} holds the label {int(labels.max())}; MNIST's are 0 to 9")
    return Images(pixels.unsqueeze(1), labels.to(int64))


def changed_files(images: Images, split: Split) -> list[str]:
    """Return which of a split's two files differ from the original ones; Fashion-MNIST's, for one, share the names."""
    assert images.labels is not None  # noqa: S101 - read_split always gives them
    tensors = (images.pixels.squeeze(1), images.labels.byte())
    return [name for name, tensor in zip(FILES[split], tensors, strict=True) if file_sha256(tensor) != SHA256[name]]


def file_sha256(tensor: Tensor) -> str:
    """Return the SHA-256 that the plain IDX file of this uint8 tensor has."""
    digest = hashlib.sha256(header(tuple(tensor.shape)))
    digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()


def _present(folder: Path, name: str) -> Path:
    """Return the file under the first of its names that exists; the plain one where none does, for the error."""
    try:
        present = {entry.name for entry in folder.iterdir()}
    except OSError:
        present = set()  # reading the file says why
    return next((folder / f"{name}{end}" for end in ("", ".gz", ".xz") if f"{name}{end}" in present), folder / name)

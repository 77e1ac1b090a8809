"""Facts about the images of a dataset: sizes, classes, broken and repeated pictures."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ganforge.components import Split
from ganforge.image_files.dataset import ImageDataset
from ganforge.image_files.decoding import Decoding
from ganforge.image_files.source import Broken, ImageSource, read_all

#: Side of a picture on the contact sheet, and the number of pictures on it.
SHEET_SIZE, SHEET_IMAGES = 64, 64
#: Ratio of the largest to the smallest class that a check reports.
MAX_CLASS_RATIO = 10


@dataclass
class Overview:
    """Facts from names and headers: numbers of pictures by split, class (or None), width and height, and color.

    Attributes:
        ignored: Number of other files by kind.
        bytes: Length of the file, or of all files of the folder.
        broken: Pictures whose header cannot be read.
    """

    images: dict[Split, int]
    classes: dict[str, int] | None
    sizes: Counter[tuple[int, int]]
    kinds: Counter[str]
    ignored: Counter[str]
    bytes: int
    broken: list[Broken]


@dataclass
class Findings:
    """Facts from pixels.

    Attributes:
        duplicates: Groups of pictures with equal pixels.
        constant: Pictures of one color.
        shared: Number of groups of equal pictures in both splits.
        enlarged: Pictures that are smaller than the wanted size.
    """

    broken: list[Broken] = field(default_factory=list)
    duplicates: list[list[str]] = field(default_factory=list)
    constant: list[str] = field(default_factory=list)
    shared: int = 0
    enlarged: list[str] = field(default_factory=list)


def overview(dataset: ImageDataset) -> Overview:
    """Return facts from names and headers; pixels are not decoded. Raises DataError."""
    source, layout = dataset.image_source, dataset.layout
    sizes: Counter[tuple[int, int]] = Counter()
    kinds: Counter[str] = Counter()
    broken = []
    names = [name for files in layout.files.values() for name, _ in files]
    for _, header in read_all(lambda name: source.header(name, upright=True), names):
        if isinstance(header, Broken):
            broken.append(header)
            continue
        sizes[header.width, header.height] += 1
        kinds["gray" if header.gray else "color"] += 1
    classes = None
    if layout.class_names is not None:
        labels = Counter(label for files in layout.files.values() for _, label in files)
        classes = {name: labels[label] for label, name in enumerate(layout.class_names)}
    images = {split: len(files) for split, files in layout.files.items()}
    return Overview(images, classes, sizes, kinds, layout.ignored, path_bytes(source.path), broken)


def path_bytes(path: Path) -> int:
    """Return the length of a file, or of all files below a folder."""
    files = [path] if path.is_file() else path.rglob("*")
    return sum(each.stat().st_size for each in files if each.is_file())


def check(dataset: ImageDataset, *, size: int | None = None) -> Findings:
    """Return facts from the pixels of all pictures, which would be resized to squares of a size. Raises DataError.

    The options of size and color of the dataset do not matter.
    """
    source, layout = dataset.image_source, dataset.layout
    findings = Findings()
    exact: dict[bytes, list[str]] = {}
    splits = {name: split for split, files in layout.files.items() for name, _ in files}
    for name, facts in read_all(lambda name: _facts(source, name), splits):
        if isinstance(facts, Broken):
            findings.broken.append(facts)
            continue
        digest, is_constant, side = facts
        exact.setdefault(digest, []).append(name)
        if is_constant:
            findings.constant.append(name)
        if size is not None and side < size:
            findings.enlarged.append(name)
    findings.duplicates = [group for group in exact.values() if len(group) > 1]
    findings.shared = sum(len({splits[name] for name in group}) > 1 for group in findings.duplicates)
    return findings


def _facts(source: ImageSource, name: str) -> tuple[bytes, bool, int]:
    """Return the SHA-256 of a picture, whether it has one color, and the length of its shorter side."""
    pixels = source.pixels(name, Decoding(gray=False))
    _, height, width = pixels.shape
    digest = hashlib.sha256(f"{height} {width} ".encode())
    digest.update(pixels.contiguous().numpy().data)
    return digest.digest(), bool((pixels == pixels[:, :1, :1]).all()), min(height, width)


def contact_sheet(dataset: ImageDataset, names: Sequence[str] | None = None) -> Tensor:
    """Return pictures for a contact sheet, `(N, 3, 64, 64)` uint8, whole on the background of the dataset's options.

    Without names there are up to 64, spread evenly over all.
    """
    if names is None:
        every = [name for files in dataset.layout.files.values() for name, _ in files]
        count = min(len(every), SHEET_IMAGES)
        names = [every[index * len(every) // count] for index in range(count)]
    decoding = Decoding(False, SHEET_SIZE, 8, "letterbox", dataset.options.background)
    shown = read_all(lambda name: dataset.image_source.pixels(name, decoding), names[:SHEET_IMAGES])
    pictures = [pixels for _, pixels in shown if not isinstance(pixels, Broken)]
    return torch.stack(pictures) if pictures else torch.zeros(1, 3, SHEET_SIZE, SHEET_SIZE, dtype=torch.uint8)

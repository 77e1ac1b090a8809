"""Conversion of images between formats, verified after writing."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from torch import Tensor

from ganforge.errors import DataError
from ganforge.image_files.archives import CLASS_SUFFIX
from ganforge.image_files.arrays import CLASS_NAMES
from ganforge.image_files.dataset import ImageDataset
from ganforge.image_files.decoding import Decoding, extension_of, extensions
from ganforge.image_files.layout import LABELS_NAME
from ganforge.image_files.source import Broken, read_all
from ganforge.utils.images import png_bytes
from ganforge.utils.schema import escape_bytes

#: Images of one folder, as StyleGAN has them.
IMAGES_PER_FOLDER = 1000


@dataclass(frozen=True, slots=True)
class PackedImage:
    """Image to write.

    Attributes:
        name: Path below the top, as StyleGAN's `00000/img00000000.png`; of two splits below `train` or `test`.
        label: Class, or 0.
        content: Encoded image; nothing for formats that store pixels.
        pixels: `(C, H, W)` uint8.
    """

    name: str
    label: int
    content: bytes
    pixels: Tensor


@dataclass
class Packing:
    """Images to write, with the facts that are known when all of them were read.

    Attributes:
        dataset: The images.
        reencode: Whether images get the dataset's size, fit and background; else their files are copied.
        stores_pixels: Whether the format needs pixels alone.
        broken: Pictures that cannot be read, and are left out.
    """

    dataset: ImageDataset
    reencode: bool
    stores_pixels: bool = False
    broken: list[Broken] = field(default_factory=list)
    _labels: list[tuple[str, int]] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Number of images that were yielded."""
        return len(self._labels)

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes, or None; bytes that are not UTF-8, which dataset.json cannot hold, are escaped."""
        return _written_names(self.dataset)

    def images(self) -> Iterator[PackedImage]:
        """Yield all images, in order."""
        dataset, layout = self.dataset, self.dataset.layout
        decoding = dataset.decoding if self.reencode else None

        def read(name: str) -> tuple[bytes, str, Tensor]:
            pixels = dataset.image_source.pixels(name, decoding or PLAIN)
            if decoding is not None or not dataset.image_source.encoded:
                return b"" if self.stores_pixels else png_bytes(pixels), ".png", pixels
            content = dataset.image_source.read(name)
            suffix = PurePosixPath(name).suffix.lower()
            return content, suffix if suffix in extensions() else extension_of(content), pixels

        for split, files in layout.files.items():
            prefix = f"{split}/" if len(layout.files) > 1 else ""
            position = 0
            for (_, label), (_, result) in zip(files, read_all(read, [name for name, _ in files]), strict=True):
                if isinstance(result, Broken):
                    self.broken.append(result)
                    continue
                content, suffix, pixels = result
                name = f"{prefix}{position // IMAGES_PER_FOLDER:05}/img{position:08}{suffix}"
                position += 1
                self._labels.append((name, label))
                yield PackedImage(name, label, content, pixels)

    def label_file(self) -> bytes:
        """Return dataset.json, once all images were read."""
        names = self.class_names
        labels = None if names is None else self._labels
        document = {"labels": labels} | ({} if names is None else {"class_names": names})
        return json.dumps(document).encode()


#: Decoding that keeps size and colors, for comparisons.
PLAIN = Decoding(gray=False)


class Format(NamedTuple):
    """Format that images can be written in.

    Attributes:
        write: Function that writes all images to a path that does not exist.
        stores_pixels: Whether it stores pixels, all of one size, instead of encoded images.
    """

    write: Callable[[Path, Packing], None]
    stores_pixels: bool = False


def _written_names(dataset: ImageDataset) -> tuple[str, ...] | None:
    return None if dataset.class_names is None else tuple(map(escape_bytes, dataset.class_names))


def content_digest(dataset: ImageDataset, decoding: Decoding) -> str:
    """Return the SHA-256 of the pixels, labels, splits and names of classes of all readable pictures, in order."""
    digest = hashlib.sha256(repr(_written_names(dataset)).encode())
    for split, files in dataset.layout.files.items():
        digest.update(split.encode())
        names = (name for name, _ in files)
        read = read_all(lambda name: dataset.image_source.pixels(name, decoding), names)
        for (_, label), (_, pixels) in zip(files, read, strict=True):
            if not isinstance(pixels, Broken):
                digest.update(f"{label} {tuple(pixels.shape)}".encode())
                digest.update(pixels.contiguous().numpy().data)
    return digest.hexdigest()


def convert(
    dataset: ImageDataset, target: Path, form: Format, reopen: Callable[[Path], ImageDataset], *, reencode: bool
) -> Packing:
    """Write images in another format next to the target, verify them, and move them to the target; a file is replaced.

    Args:
        dataset: Images to write.
        target: Path to write.
        form: Its format.
        reopen: Function that returns the written images.
        reencode: Whether size, fit or background change the images, see `Packing`.

    Returns:
        The packing, with the broken pictures that were left out.

    Raises:
        DataError: There is no readable picture, or the written images differ.
        OSError: The target cannot be written.
    """
    reencode = reencode or form.stores_pixels
    packing = Packing(dataset, reencode, form.stores_pixels)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent) as parent:
        temporary = Path(parent) / target.name
        form.write(temporary, packing)
        if not packing.count:
            skipped = dataset.describe_skipped({each.name: each.reason for each in packing.broken})
            raise DataError(f"no picture in {dataset.image_source.path} could be read; {skipped}")
        wanted, written = (dataset.decoding, Decoding(dataset.decoding.gray)) if reencode else (PLAIN, PLAIN)
        if content_digest(reopen(temporary), written) != content_digest(dataset, wanted):
            raise DataError(f"the images in {target} differ from those in {dataset.image_source.path} after writing")
        temporary.replace(target)
    return packing


def write_folder(target: Path, packing: Packing) -> None:
    """Write a folder in StyleGAN's layout."""
    for image in packing.images():
        path = target / image.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image.content)
    target.mkdir(exist_ok=True)
    (target / LABELS_NAME).write_bytes(packing.label_file())


def write_zip(target: Path, packing: Packing) -> None:
    """Write a zip archive in StyleGAN's layout; images are compressed already, so the archive is not."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for image in packing.images():
            archive.writestr(zipfile.ZipInfo(image.name), image.content)
        archive.writestr(zipfile.ZipInfo(LABELS_NAME), packing.label_file())


def write_tar(target: Path, packing: Packing) -> None:
    """Write a tar archive for WebDataset: a class next to each image, and dataset.json for the names of the classes."""
    with tarfile.open(target, "w") as archive:
        for image in packing.images():
            if packing.class_names is not None:
                name = PurePosixPath(image.name).with_suffix(CLASS_SUFFIX)
                _add(archive, str(name), str(image.label).encode())
            _add(archive, image.name, image.content)
        _add(archive, LABELS_NAME, packing.label_file())


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def write_npz(target: Path, packing: Packing) -> None:
    """Write arrays `(N, H, W, C)` uint8 and labels; the pixels pass through a file, not through memory."""
    arrays: dict[str, list[int]] = {}
    with tempfile.TemporaryDirectory(dir=target.parent) as folder, zipfile.ZipFile(target, "w") as archive:
        shape: tuple[int, ...] | None = None
        for image in packing.images():
            pixels = image.pixels.permute(1, 2, 0).numpy()
            shape = pixels.shape
            split = "test" if image.name.startswith("test/") else "train"
            arrays.setdefault(split, []).append(image.label)
            with (Path(folder) / split).open("ab") as file:
                file.write(np.ascontiguousarray(pixels).data)
        for split, labels in arrays.items():
            assert shape is not None, "there are labels, so there are images"  # noqa: S101
            header = {"descr": "|u1", "fortran_order": False, "shape": (len(labels), *shape)}
            with archive.open(_array_name(split, "images"), "w", force_zip64=True) as member:
                np.lib.format.write_array_header_1_0(member, header)
                with (Path(folder) / split).open("rb") as file:
                    while content := file.read(1 << 20):
                        member.write(content)
            if packing.class_names is not None:
                with archive.open(_array_name(split, "labels"), "w") as member:
                    np.lib.format.write_array(member, np.array(labels), allow_pickle=False)
        if packing.class_names is not None:
            with archive.open(f"{CLASS_NAMES}.npy", "w") as member:
                np.lib.format.write_array(member, np.array(packing.class_names), allow_pickle=False)


def _array_name(split: str, kind: str) -> str:
    return f"{kind}.npy" if split == "train" else f"{split}_{kind}.npy"


#: Formats by extension, "" for a folder.
FORMATS: Mapping[str, Format] = {
    "": Format(write_folder),
    ".zip": Format(write_zip),
    ".tar": Format(write_tar),
    ".npz": Format(write_npz, stores_pixels=True),
}

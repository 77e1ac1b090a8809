"""Recognition of the kind of a folder or file of images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ganforge.errors import DataError
from ganforge.image_files.archives import TarSource, ZipSource
from ganforge.image_files.arrays import NpySource, NpzSource
from ganforge.image_files.decoding import extensions
from ganforge.image_files.folder import FolderSource
from ganforge.image_files.source import ImageSource

#: Kind of a file by its extension.
SOURCES: Mapping[str, Callable[[Path], ImageSource]] = {
    ".zip": ZipSource,
    ".tar": TarSource,
    ".npy": NpySource,
    ".npz": NpzSource,
}


def open_images(path: Path) -> ImageSource:
    """Return the images of a folder, a zip or tar archive, or an array, known by its extension. Raises DataError."""
    if path.is_dir():
        return TarSource(path) if _holds_shards(path) else FolderSource(path)
    source = SOURCES.get(path.suffix.lower())
    if source is None:
        raise DataError(
            f"{path} is a file, not a folder of pictures, and no archive by its extension",
            fix=f"pass a folder, or a file with one of the extensions {', '.join(SOURCES)}; ganforge-datasets has "
            "--data lmdb, hdf5 and parquet",
        )
    return source(path)


def _holds_shards(folder: Path) -> bool:
    """Return whether a folder has tar archives, and neither pictures nor folders next to them."""
    if not any(folder.glob("*.tar")):
        return False
    return not any(entry.is_dir() or entry.suffix.lower() in extensions() for entry in folder.iterdir())

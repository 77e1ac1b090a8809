"""Images in an LMDB database."""

from __future__ import annotations

import io
import os
import re
import weakref
import zlib
from collections import Counter
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import IO, ClassVar

import lmdb

from ganforge.errors import DataError
from ganforge.image_files import (
    LABELS_NAME,
    Format,
    ImageDataset,
    ImageSource,
    Layout,
    Packing,
    arrange,
    extensions,
)

#: First bytes of encoded images: JPEG, PNG, GIF, BMP, and the container of WebP.
SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"RIFF")
#: Keys of StyleGAN2 in PyTorch, which keeps several resolutions of each image.
RESOLUTION = re.compile(r"(\d+)-\d+")
#: Images that are written at once.
COMMIT_EVERY = 1000
MAP_BYTES = 1 << 40
DAMAGED_FIX = "copy or download it again"


class Environment:
    """Database that is open for reading in one process."""

    def __init__(self, path: Path) -> None:
        self.pid = os.getpid()
        file = path / "data.mdb" if path.is_dir() else path
        try:
            if file.exists() and not file.is_file():  # such as a pipe, for which LMDB would wait
                raise DataError(f"{file} is not a regular file")
            self.opened = lmdb.open(
                str(path), subdir=path.is_dir(), readonly=True, lock=False, readahead=False, create=False
            )
        except (lmdb.Error, OSError) as error:
            raise DataError(f"{path} is not an LMDB database: {error}", fix=DAMAGED_FIX) from None
        declared = (self.opened.info()["last_pgno"] + 1) * self.opened.stat()["psize"]
        if file.stat().st_size < declared:  # the system would end the process when it reads a missing page
            self.opened.close()
            raise DataError(
                f"{path} is not a whole LMDB database: {file.stat().st_size:,} of {declared:,} bytes",
                fix="copy or download it again, or compact it: mdb_copy -c",
            )

    def get(self, key: bytes) -> bytes:
        """Return a value. Raises KeyError."""
        with self.opened.begin() as transaction:
            value = transaction.get(key)
        if value is None:
            raise KeyError(key)
        return bytes(value)


#: LMDB forbids a second environment of a file in a process, also of one that the parent opened.
_environments: weakref.WeakValueDictionary[Path, Environment] = weakref.WeakValueDictionary()


def environment(path: Path) -> Environment:
    """Return the environment of a database in this process. Raises DataError."""
    path = path.resolve()
    opened = _environments.get(path)
    if opened is not None and opened.pid != os.getpid():
        opened.opened.close()
        opened = None
    if opened is None:
        opened = _environments[path] = Environment(path)
    return opened


class LmdbSource(ImageSource):
    """Encoded images by key: as LSUN has them, or with extensions and dataset.json as `ganforge data` writes."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._held: Environment | None = None

    @cached_property
    def layout(self) -> Layout:
        """Keys, in their order; values that are not encoded images are counted. Raises DataError."""
        ignored: Counter[str] = Counter()
        names: list[str] = []
        is_named = False
        try:
            with self._environment.opened.begin(buffers=True) as transaction:
                for key, value in transaction.cursor():
                    name = bytes(key).decode(errors="surrogateescape")
                    has_extension = os.path.splitext(name)[1].lower() in extensions()  # noqa: PTH122 - a key
                    is_named = is_named or has_extension
                    if has_extension or name == LABELS_NAME or bytes(value[:8]).startswith(SIGNATURES):
                        names.append(name)
                    else:
                        ignored["other values"] += 1
        except lmdb.Error as error:
            raise DataError(f"{self.path} is damaged: {error}", fix=DAMAGED_FIX) from None
        if is_named:
            return arrange(self.path, names, ignored, lambda name: self._environment.get(name.encode()))
        if not names:
            raise DataError(f"{self.path} holds no images, but {ignored.total():,} other values")
        resolutions = {match[1] if (match := RESOLUTION.fullmatch(name)) else "" for name in names}
        if len(resolutions) > 1 and "" not in resolutions:
            raise DataError(
                f"{self.path} holds each image at several sizes: {', '.join(sorted(resolutions, key=int))}",
                fix="write a database with one of them",
            )
        return Layout(None, {"train": [(name, 0) for name in names]}, ignored)

    def open(self, name: str) -> IO[bytes]:
        """Return a value. Raises KeyError."""
        return io.BytesIO(self._environment.get(name.encode(errors="surrogateescape")))

    def identity(self, name: str) -> int:
        """Return the checksum of a value."""
        return zlib.crc32(self._environment.get(name.encode(errors="surrogateescape")))

    @property
    def _environment(self) -> Environment:
        self._held = environment(self.path)
        return self._held


def write_lmdb(target: Path, packing: Packing) -> None:
    """Write a database of one file, with the names of StyleGAN's layout as keys, and dataset.json."""
    with lmdb.open(str(target), subdir=False, map_size=MAP_BYTES, lock=False) as opened:
        images = packing.images()
        while chunk := list(islice(images, COMMIT_EVERY)):
            with opened.begin(write=True) as transaction:
                for image in chunk:
                    transaction.put(image.name.encode(), image.content)
        with opened.begin(write=True) as transaction:
            transaction.put(LABELS_NAME.encode(), packing.label_file())


class Lmdb(ImageDataset):
    """Images in an LMDB database, a file or a folder with data.mdb.

    Values are encoded images. Keys such as `cat/1.png` give classes and splits as paths in a folder do, and a value
    `dataset.json` has labels as StyleGAN writes them. Pickled values are never loaded.
    """

    formats: ClassVar = {".lmdb": Format(write_lmdb)}

    def open_source(self, path: Path) -> ImageSource:
        """Return the images of a database."""
        return LmdbSource(path)

"""Archives of image files: zip and tar, read without unpacking."""

from __future__ import annotations

import io
import json
import stat
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any

from ganforge.errors import DataError
from ganforge.image_files.layout import LABELS_NAME, MAX_CLASSES, MAX_LABELS_BYTES, Layout, arrange
from ganforge.image_files.source import MAX_IMAGE_BYTES, ImageSource, PerProcess
from ganforge.utils.files import error_reason, open_regular

MAX_ARCHIVE_BYTES = 1 << 50
#: Bits of a member's flags: its content is encrypted.
ENCRYPTED = 0x1
#: Suffix of the class of an image in a WebDataset, and of other facts about it.
CLASS_SUFFIX = ".cls"
METADATA_SUFFIXES = (".json", ".txt", ".caption")
#: Digits of a class number, zeros before it included.
MAX_DIGITS = 9
DAMAGED_FIX = "copy or download it again"


class ZipSource(ImageSource):
    """Image files in a zip archive, such as StyleGAN's, or a folder that was zipped."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._archive = PerProcess(partial(_open_zip, path))

    @cached_property
    def layout(self) -> Layout:
        """Names of the members. Raises DataError for an archive that is damaged or encrypted."""
        ignored: Counter[str] = Counter()
        names = []
        for member in self._archive.get().infolist():
            if member.is_dir():
                continue
            if member.flag_bits & ENCRYPTED:
                raise DataError(f"{self.path} is encrypted", fix="unpack it, and pass the folder as --data.path")
            if stat.S_ISLNK(member.external_attr >> 16):
                ignored["links"] += 1
            else:
                names.append(member.filename)
        return arrange(self.path, safe_names(names, ignored, self.path), ignored, self._read_labels, archive=True)

    def open(self, name: str) -> IO[bytes]:
        """Return a member. Raises ValueError if its declared length is too large."""
        member = self._archive.get().getinfo(name)
        check_length(member.file_size)
        return self._archive.get().open(member)

    def identity(self, name: str) -> int:
        """Return the checksum of a member."""
        return self._archive.get().getinfo(name).CRC

    def _read_labels(self, name: str) -> bytes:
        archive = self._archive.get()
        if archive.getinfo(name).file_size > MAX_LABELS_BYTES:
            raise DataError(f"{self.path}: {name} is longer than {MAX_LABELS_BYTES:,} bytes")
        try:
            return archive.read(name)
        except Exception as error:  # noqa: BLE001 - as above
            raise DataError(f"{self.path}: {name} cannot be read: {error_reason(error)}", fix=DAMAGED_FIX) from None


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        open_regular(path, max_bytes=MAX_ARCHIVE_BYTES).close()
        return zipfile.ZipFile(path)
    except Exception as error:  # noqa: BLE001 - damage makes zipfile raise nearly any error
        raise DataError(f"{path} is not a whole zip file: {error_reason(error)}", fix=DAMAGED_FIX) from None


class TarSource(ImageSource):
    """Image files in a tar archive, or in all archives of a folder: WebDataset's layout, or a folder that was packed.

    Labels come from members such as `000001.cls` next to `000001.png`, or from dataset.json.
    """

    @cached_property
    def layout(self) -> Layout:
        """Names of the members. Raises DataError for an archive that is damaged or compressed."""
        ignored: Counter[str] = Counter()
        sharded = self.path.is_dir()
        names = list(safe_names(self._members, ignored, self.path))
        labels = {name.removesuffix(CLASS_SUFFIX): name for name in names if name.endswith(CLASS_SUFFIX)}
        if LABELS_NAME in names or not (labels or sharded):
            kept = [name for name in names if not name.endswith(CLASS_SUFFIX)]
            return arrange(self.path, kept, ignored, self.read, archive=not sharded)
        pictures = [name for name in names if not name.endswith((CLASS_SUFFIX, *METADATA_SUFFIXES))]
        table = json.dumps({"labels": self._classes(pictures, labels) if labels else None}).encode()
        return arrange(self.path, [*pictures, LABELS_NAME], ignored, lambda _: table)

    def open(self, name: str) -> IO[bytes]:
        """Return a member. Raises ValueError if its declared length is too large."""
        archive, start, length = self._members[name]
        check_length(length)
        return io.BufferedReader(Section(archive, start, length))

    @cached_property
    def _members(self) -> dict[str, tuple[Path, int, int]]:
        """Archive, start and length of each member, by name."""
        if self.path.is_dir():
            shards = sorted(self.path.glob("*.tar"))
            return {f"{shard.name}/{name}": place for shard in shards for name, place in _index(shard).items()}
        return _index(self.path)

    def _classes(self, pictures: Iterable[str], labels: Mapping[str, str]) -> list[tuple[str, int]]:
        """Return the class of each picture that has one. Raises DataError for two pictures of one key."""
        classes, keys = [], Counter(map(_key, pictures))
        for name in pictures:
            if name.startswith(".") or _key(name) not in labels:
                continue
            if keys[_key(name)] > 1:
                raise DataError(
                    f"{self.path} has {keys[_key(name)]} pictures of the key {_key(name)}",
                    fix="pack one picture for each key, since their class is that of the key",
                )
            text = self.read(labels[_key(name)]).strip()
            if not text.isdigit() or len(text) > MAX_DIGITS or int(text) >= MAX_CLASSES:
                raise DataError(
                    f"{self.path}: {labels[_key(name)]} holds {text[:40]!r}, not a class number from 0 to "
                    f"{MAX_CLASSES - 1:,}"
                )
            classes.append((name, int(text)))
        return classes


def _key(name: str) -> str:
    """Return the key of a member of a WebDataset: its path up to the first dot of its file name."""
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.partition(".")[0]


def _index(path: Path) -> dict[str, tuple[Path, int, int]]:
    """Return path, start and length of each file in a tar archive, by name. Raises DataError."""
    try:
        with open_regular(path, max_bytes=MAX_ARCHIVE_BYTES) as file, tarfile.TarFile(fileobj=file) as archive:
            # Links could lead anywhere; parts of a sparse file are not stored in one piece.
            files = (member for member in archive if member.isreg() and member.sparse is None)
            members = [(each.name.removeprefix("./"), (path, each.offset_data, each.size)) for each in files]
            file.seek(archive.offset)
            if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError("it ends without the mark of its end")  # noqa: TRY301 - one message for both
    except Exception as error:  # noqa: BLE001 - damage makes tarfile raise nearly any error
        fix = DAMAGED_FIX if path.suffix == ".tar" else "decompress it first"
        raise DataError(f"{path} is not a whole tar file: {error_reason(error)}", fix=fix) from None
    index = dict(members)
    if len(index) < len(members):
        name = next(name for name, count in Counter(name for name, _ in members).items() if count > 1)
        raise DataError(f"{path} has two files of the name {name}", fix="pack it again, each file once")
    return index


class Section(io.RawIOBase):
    """A part of a file, opened for itself, so that threads and processes share no position."""

    def __init__(self, path: Path, start: int, length: int) -> None:
        self._file = path.open("rb", buffering=0)
        self._start, self._length, self._position = start, length, 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position within the part, and return it."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._length}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - a writable buffer of any kind
        """Read bytes of the part into a buffer, and return their number."""
        count = max(0, min(len(buffer), self._length - self._position))
        self._file.seek(self._start + self._position)
        content = self._file.read(count)
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def safe_names(names: Iterable[str], ignored: Counter[str], path: Path) -> Iterator[str]:
    """Yield the names of members; count those that lead out of the archive. Raises DataError for a repeated name."""
    seen: set[str] = set()
    for name in names:
        if ".." in name.split("/") or PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive:
            ignored["names outside of the archive"] += 1
            continue
        if name in seen:
            raise DataError(f"{path} has two files of the name {name}", fix="pack it again, each file once")
        seen.add(name)
        yield name


def check_length(length: int) -> None:
    """Raise ValueError for an encoded image that is too long."""
    if length > MAX_IMAGE_BYTES:
        raise ValueError(f"longer than {MAX_IMAGE_BYTES:,} bytes")

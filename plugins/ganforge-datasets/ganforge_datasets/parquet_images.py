"""Images in Parquet files of Hugging Face, read without the datasets library."""

from __future__ import annotations

import io
import json
import re
import threading
import zlib
from collections.abc import Mapping
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import IO, Any, ClassVar, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from ganforge.components import Split
from ganforge.errors import DataError
from ganforge.image_files import MAX_CLASSES, MAX_IMAGES, Format, ImageDataset, ImageSource, Layout, Packing

#: Columns of images and labels without a declared type.
IMAGE_NAMES, LABEL_NAMES = ("image", "img", "picture"), ("label", "labels", "fine_label")
#: Key of the columns' types in the metadata of a file.
METADATA = b"huggingface"
#: Names of the files of a split, such as train-00000-of-00002.parquet.
SPLIT_FILE = re.compile(r"(train|test)([-._].*)?")
#: Images of a row group, as the datasets library writes them.
ROWS_PER_GROUP = 100
#: Limit of the bytes of the row groups in memory, which holds a few copies of the last one.
MAX_GROUP_BYTES = 1 << 30
DAMAGED_FIX = "copy or download it again"


class Columns(NamedTuple):
    """Columns of a file: images, labels or None, and names of the classes or None."""

    image: str
    label: str | None
    class_names: tuple[str, ...] | None


class Place(NamedTuple):
    """Row of a file."""

    file: Path
    group: int
    row: int


class RowGroup(NamedTuple):
    """Images of a row group, and their bytes as the file declares them."""

    images: list[Any]
    size: int


class ParquetSource(ImageSource):
    """Images of a Parquet file, or of the files train-*.parquet and test-*.parquet of a folder.

    A row group is read as a whole. The last two are kept, within `MAX_GROUP_BYTES`: threads that read in order are in
    both at a boundary.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._lock = threading.Lock()
        self._groups: dict[tuple[Path, int], RowGroup] = {}

    @cached_property
    def layout(self) -> Layout:
        """Numbers of the rows, such as `train/7`, and their labels. Raises DataError."""
        files: dict[Split, list[tuple[str, int]]] = {}
        for split, paths in self._files.items():
            labels: list[Any] = []
            for path in paths:
                file, label = _open(path), self._columns.label
                if label is not None and label not in file.schema_arrow.names:
                    raise DataError(f"{path} has no column {label}, but other files have it")
                try:
                    labels += [0] * sum(_row_counts(path)) if label is None else file.read([label])[label].to_pylist()
                except (OSError, pa.ArrowException) as error:
                    raise DataError(f"{path} is damaged: {' '.join(str(error).split())}", fix=DAMAGED_FIX) from None
            wrong = next((row for row, label in enumerate(labels) if not _is_class(label)), None)
            if wrong is not None:
                raise DataError(f"row {wrong} of {split} in {self.path} has the label {labels[wrong]!r}, not a class")
            files[split] = [(f"{split}/{row}", int(label)) for row, label in enumerate(labels)]
        for split in ("train", *files):
            if not files.get(split):
                fix = "add rows or remove the empty file" if split in files else f"name its files {split}-….parquet"
                raise DataError(f"{self.path} has no rows for {split}ing", fix=fix)
        if self._columns.label is None:
            return Layout(None, files)
        largest = max(label for items in files.values() for _, label in items)
        names = self._columns.class_names or tuple(map(str, range(largest + 1)))
        if largest >= len(names):
            raise DataError(f"{self.path} has the label {largest}, but {len(names)} names of classes")
        return Layout(names, files)

    def open(self, name: str) -> IO[bytes]:
        """Return an encoded image. Raises ValueError for a row without one."""
        return io.BytesIO(self._content(name))

    def identity(self, name: str) -> int:
        """Return the checksum of an image."""
        return zlib.crc32(self._content(name))

    def _content(self, name: str) -> bytes:
        split, _, row = name.partition("/")
        place = self._places["train" if split == "train" else "test"][int(row)]
        key = place.file, place.group
        with self._lock:
            if key not in self._groups:
                column, file = self._columns.image, _open(place.file)
                group = file.metadata.row_group(place.group)
                chunks = (group.column(index) for index in range(group.num_columns))
                used = (chunk for chunk in chunks if f"{chunk.path_in_schema}.".startswith(f"{column}."))
                size = sum(chunk.total_uncompressed_size for chunk in used)
                if size > MAX_GROUP_BYTES:
                    raise ValueError(f"its row group is longer than {MAX_GROUP_BYTES:,} bytes: write smaller ones")
                self._groups = {
                    other: kept
                    for other, kept in list(self._groups.items())[-1:]
                    if kept.size + size <= MAX_GROUP_BYTES
                }
                table = file.read_row_group(place.group, [column])
                self._groups[key] = RowGroup(table[column].to_pylist(), size)
            value = self._groups[key].images[place.row]
        content = value.get("bytes") if isinstance(value, dict) else value
        if not content or not isinstance(content, bytes):
            raise ValueError("its row holds no bytes of an image")
        return content

    @cached_property
    def _files(self) -> dict[Split, list[Path]]:
        """Files of each split. Raises DataError."""
        if not self.path.is_dir():
            return {"train": [self.path]}
        paths = sorted(self.path.glob("*.parquet")) or sorted(self.path.glob("data/*.parquet"))
        splits = {path: SPLIT_FILE.fullmatch(path.stem) for path in paths}
        if not any(splits.values()) and paths:
            return {"train": paths}
        files: dict[Split, list[Path]] = {"train": [], "test": []}
        for path, match in splits.items():
            if match is None:
                raise DataError(
                    f"{path} belongs to no split", fix="name the files train-….parquet or test-….parquet, or move it"
                )
            files["train" if match[1] == "train" else "test"].append(path)
        return {split: found for split, found in files.items() if found}

    @cached_property
    def _places(self) -> Mapping[Split, list[Place]]:
        """File, row group and row of each image."""
        places: dict[Split, list[Place]] = {}
        for split, paths in self._files.items():
            places[split] = []
            for path in paths:
                for group, count in enumerate(_row_counts(path)):
                    places[split] += [Place(path, group, row) for row in range(count)]
        return places

    @cached_property
    def _columns(self) -> Columns:
        """Columns of the first file. Raises DataError."""
        path = next(path for paths in self._files.values() for path in paths) if self._files else self.path
        schema = _open(path).schema_arrow
        try:
            features = _features((schema.metadata or {}).get(METADATA, b"{}"))
        except (ValueError, AttributeError, RecursionError):
            raise DataError(f"{path}: its metadata of the datasets library are damaged", fix=DAMAGED_FIX) from None
        images = _of_type(features, "Image")
        images = images or [name for name in schema.names if name in IMAGE_NAMES]
        if len(images) != 1:
            raise DataError(f"{len(images)} columns of {path} hold images; there are {', '.join(schema.names)}")
        labels = _of_type(features, "ClassLabel")
        labels = labels or [name for name in schema.names if name in LABEL_NAMES]
        if len(labels) > 1:
            raise DataError(f"{len(labels)} columns of {path} hold labels: {', '.join(labels)}", fix="keep one of them")
        label = labels[0] if labels else None
        names = features[label].get("names") if label in features else None
        if not (names is None or (isinstance(names, list) and all(isinstance(name, str) for name in names))):
            raise DataError(f"{path}: the names of its classes are not text", fix=DAMAGED_FIX)
        return Columns(images[0], label, None if names is None else tuple(names))


def _features(metadata: bytes) -> dict[str, dict[str, Any]]:
    """Return the types of columns; raises any of three errors for other content."""
    features = json.loads(metadata).get("info", {}).get("features", {})
    return {column: kind for column, kind in features.items() if isinstance(kind, dict)}


def _of_type(features: Mapping[str, dict[str, Any]], name: str) -> list[str]:
    """Return the columns of a type of the datasets library."""
    return [column for column, kind in features.items() if kind.get("_type") == name]


def _is_class(label: object) -> bool:
    return isinstance(label, int) and 0 <= label < MAX_CLASSES


def _row_counts(path: Path) -> list[int]:
    """Return the number of rows of each row group. Raises DataError for more than memory should hold."""
    metadata = _open(path).metadata
    counts = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    if min(counts, default=0) < 0 or sum(counts) > MAX_IMAGES:
        raise DataError(f"{path} claims {sum(counts):,} rows; the limit is {MAX_IMAGES:,}")
    return counts


def _open(path: Path) -> Any:  # noqa: ANN401 - pyarrow has no types
    if not path.is_file():  # such as a pipe, for which pyarrow would wait
        raise DataError(f"{path} is not a regular file")
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{path} is not a whole Parquet file: {' '.join(str(error).split())}", fix=DAMAGED_FIX
        ) from None


def write_parquet(target: Path, packing: Packing) -> None:
    """Write a file with the columns image and label as the datasets library does; two splits become a folder."""
    splits = list(packing.dataset.layout.files)
    if len(splits) > 1:
        target.mkdir()
    features: dict[str, Any] = {"image": {"_type": "Image"}}
    fields = [("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))]
    if packing.class_names is not None:
        features["label"] = {"names": list(packing.class_names), "_type": "ClassLabel"}
        fields.append(("label", pa.int64()))
    schema = pa.schema(fields, {METADATA: json.dumps({"info": {"features": features}}).encode()})
    images = packing.images()
    writers = {
        split: pq.ParquetWriter(target / f"{split}.parquet" if len(splits) > 1 else target, schema) for split in splits
    }
    while chunk := list(islice(images, ROWS_PER_GROUP)):
        for split, writer in writers.items():
            kept = [image for image in chunk if len(splits) == 1 or image.name.startswith(f"{split}/")]
            if kept:
                columns = {"image": [{"bytes": image.content, "path": Path(image.name).name} for image in kept]}
                if packing.class_names is not None:
                    columns["label"] = [image.label for image in kept]  # type: ignore[misc]  # another type
                writer.write_table(pa.Table.from_pydict(columns, schema))
    for writer in writers.values():
        writer.close()


class Parquet(ImageDataset):
    """Images in Parquet files of Hugging Face, with its options for size, color and background.

    `--data huggingface` reads them through the datasets library, with a choice of columns and splits.
    """

    formats: ClassVar = {".parquet": Format(write_parquet)}

    def open_source(self, path: Path) -> ImageSource:
        """Return the images of a file or folder."""
        return ParquetSource(path)

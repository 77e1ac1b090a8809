"""Tables of the datasets library: opened from the disk, and what stands in their columns."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import datasets
import pyarrow.compute
import pyarrow.parquet
import torch
from torch import Tensor

from ganforge.errors import DataError

Tables = dict[str, datasets.Dataset]

#: What an image column without a type of its own may be called.
IMAGE_NAMES = ("image", "img", "picture")
LABEL_NAMES = ("label", "labels")


def open_tables(path: Path) -> Tables:
    """Open a folder that `save_to_disk` wrote, another one that the library can load, or a file of one, by split.

    Raises DataError, which names a file that is damaged.
    """
    try:
        if path.is_file():
            found = datasets.load_dataset(str(path.parent), data_files=path.name)
        elif any((path / name).is_file() for name in ("dataset_dict.json", "state.json")):
            found = datasets.load_from_disk(str(path))
        else:
            found = datasets.load_dataset(str(path))
    except Exception as error:  # the library lets through whatever pyarrow, its builders and the disk raise
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if problem := _problem(file):
                raise DataError(problem, fix="Replace it with a whole copy.") from error
        words = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{path} cannot be loaded by the datasets library: {words}",
            fix="It loads folders of pictures, parquet files, and what save_to_disk wrote.",
        ) from error
    return {"train": found} if isinstance(found, datasets.Dataset) else dict(found)


def _problem(file: Path) -> str | None:
    """Return why a file of a table cannot be read, or None where it can, or is of another kind."""
    try:
        if file.suffix == ".parquet":
            pyarrow.parquet.read_table(file)
        elif file.suffix == ".arrow":
            datasets.Dataset.from_file(str(file))
        elif file.suffix == ".json":
            json.loads(file.read_bytes())
    except Exception as error:  # noqa: BLE001 - whatever pyarrow raises is the answer
        return f"{file} is damaged: {' '.join(str(error).split())}"
    return None


def image_column(table: datasets.Dataset, asked: str) -> str:
    """Return the name of the column of images: the one asked for, or the only one. Raises DataError."""
    if asked != "auto":
        check_column(table, asked, "image")
        return asked
    found: list[str] = [name for name, kind in table.features.items() if isinstance(kind, datasets.Image)]
    found = found or [name for name in table.column_names if name in IMAGE_NAMES]
    if len(found) != 1:
        raise DataError(
            f"{len(found)} columns hold images; there are {', '.join(table.column_names)}",
            fix="Name the one to use, such as --data.image photo.",
        )
    return found[0]


def label_column(table: datasets.Dataset, asked: str | None) -> str | None:
    """Return the name of the column of labels: the one asked for, the only one, or None. Raises DataError."""
    if asked is None:
        return None
    if asked != "auto":
        check_column(table, asked, "label")
        return asked
    found: list[str] = [name for name, kind in table.features.items() if isinstance(kind, datasets.ClassLabel)]
    found = found or [name for name in table.column_names if name in LABEL_NAMES]
    if len(found) > 1:
        raise DataError(
            f"{len(found)} columns hold labels: {', '.join(found)}",
            fix=f"Name the one to use, such as --data.label {found[0]}, or pass --data.label none.",
        )
    return found[0] if found else None


def check_column(table: datasets.Dataset, column: str, option: str) -> None:
    """Raise DataError where a table has no such column."""
    if column not in table.column_names:
        raise DataError(
            f"there is no column {column!r} in {table.split or 'the table'}; there are {', '.join(table.column_names)}",
            fix=f"Name one that is in every split: --data.{option} {table.column_names[0]}",
        )


def as_images(table: datasets.Dataset, column: str) -> datasets.Dataset:
    """Return a table of a column alone, whose rows are decoded into pictures. Raises DataError."""
    check_column(table, column, "image")
    try:
        alone = table.select_columns([column])
        return (
            alone if isinstance(table.features[column], datasets.Image) else alone.cast_column(column, datasets.Image())
        )
    except Exception as error:  # pyarrow raises several kinds for what is no picture
        raise DataError(f"column {column!r} holds {table.features[column]}, which is no image") from error


def read_labels(tables: Tables, column: str) -> tuple[tuple[str, ...], dict[str, Tensor]]:
    """Return the classes' names and each split's labels, `(N,)` int64, from 0. Raises DataError.

    A column of whole numbers or words has a class for each value that occurs in any split.
    """
    for table in tables.values():
        check_column(table, column, "label")
    values = {split: table.select_columns([column])[:][column] for split, table in tables.items()}
    kind = next(iter(tables.values())).features[column]
    if isinstance(kind, datasets.ClassLabel):
        names, known = tuple(kind.names), list(range(len(kind.names)))
    else:
        known = sorted(_values(values.values(), column))
        names = tuple(map(str, known))
    numbers = {value: number for number, value in enumerate(known)}
    for split, given in values.items():
        row = next((row for row, value in enumerate(given) if value not in numbers), None)
        if row is not None:
            raise DataError(
                f"row {row} of {split!r} has the label {given[row]!r}, which is no class",
                fix="Pass --data.label none to train without labels, or --data.test none to leave that split out.",
            )
    return names, {split: torch.tensor([numbers[value] for value in given]) for split, given in values.items()}


def _values(columns: Iterable[list[Any]], column: str) -> set[Any]:
    """Return which whole numbers or words occur; others are no labels."""
    found = {value for given in columns for value in given if value is not None}
    if not (all(isinstance(value, int) for value in found) or all(isinstance(value, str) for value in found)):
        kinds = ", ".join(sorted({type(value).__name__ for value in found}))
        raise DataError(f"column {column!r} holds {kinds}; labels are whole numbers or words")
    return found


def fingerprint(images: datasets.Dataset, labels: Tensor | None, *facts: object) -> str:
    """Return the SHA-256 of the encoded pictures' sizes in bytes, labels, and of whatever else decides pixels.

    The pictures themselves are not read: one that is changed and keeps its size is not noticed.
    """
    (column,) = images.column_names
    encoded = images.cast_column(column, datasets.Image(decode=False)).with_format("arrow")[:][column]
    sizes = pyarrow.compute.binary_length(pyarrow.compute.struct_field(encoded, "bytes")).to_pylist()
    paths = pyarrow.compute.struct_field(encoded, "path").to_pylist()
    digest = hashlib.sha256(repr(facts).encode())
    for size, path in zip(sizes, paths, strict=True):
        digest.update(f"{os.stat(path).st_size if size is None and path else size}\0".encode())  # noqa: PTH116 - text
    if labels is not None:
        digest.update(labels.numpy().data)
    return digest.hexdigest()

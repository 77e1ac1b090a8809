"""Tables of the datasets library and their columns."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import datasets
import pyarrow.compute
import pyarrow.parquet
import torch
from torch import Tensor

from ganforge.errors import DataError
from ganforge.image_files import sampled_checksum

Tables = dict[str, datasets.Dataset]

#: Names of image columns without a type.
IMAGE_NAMES = ("image", "img", "picture")
LABEL_NAMES = ("label", "labels")
#: Last bytes of an encoded picture that are part of the fingerprint.
END_BYTES = 64


def open_tables(path: Path) -> Tables:
    """Return tables by split, from a folder that `save_to_disk` wrote, another one that the library loads, or a file.

    Raises:
        DataError: The path cannot be loaded; the message names a damaged file.
    """
    try:
        if path.is_file():
            loaded = datasets.load_dataset(str(path.parent), data_files=path.name)
        elif any((path / name).is_file() for name in ("dataset_dict.json", "state.json")):
            loaded = datasets.load_from_disk(str(path))
        else:
            loaded = datasets.load_dataset(str(path))
    except Exception as error:  # the library lets through any error of pyarrow, its builders and the disk
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if problem := _problem(file):
                raise DataError(problem, fix="replace it with a whole copy") from error
        words = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{path} cannot be loaded by the datasets library: {words}",
            fix="it loads folders of pictures, parquet files, and what save_to_disk wrote",
        ) from error
    return {"train": loaded} if isinstance(loaded, datasets.Dataset) else dict(loaded)


def _problem(file: Path) -> str | None:
    """Return why a file of a table cannot be read, or None if it can, or is of another kind."""
    try:
        if file.suffix == ".parquet":
            pyarrow.parquet.read_table(file)
        elif file.suffix == ".arrow":
            datasets.Dataset.from_file(str(file))
        elif file.suffix == ".json":
            json.loads(file.read_bytes())
    except Exception as error:  # noqa: BLE001 - any error of pyarrow is the answer
        return f"{file} is damaged: {' '.join(str(error).split())}"
    return None


def image_column(table: datasets.Dataset, option: str) -> str:
    """Return the name of the column of images: the chosen one, or the only one. Raises DataError."""
    if option != "auto":
        check_column(table, option, "image")
        return option
    columns: list[str] = [name for name, kind in table.features.items() if isinstance(kind, datasets.Image)]
    columns = columns or [name for name in table.column_names if name in IMAGE_NAMES]
    if len(columns) != 1:
        raise DataError(
            f"{len(columns)} columns hold images; there are {', '.join(table.column_names)}",
            fix="name the one to use, such as --data.image photo",
        )
    return columns[0]


def label_column(table: datasets.Dataset, option: str | None) -> str | None:
    """Return the name of the column of labels: the chosen one, the only one, or None. Raises DataError."""
    if option is None:
        return None
    if option != "auto":
        check_column(table, option, "label")
        return option
    columns: list[str] = [name for name, kind in table.features.items() if isinstance(kind, datasets.ClassLabel)]
    columns = columns or [name for name in table.column_names if name in LABEL_NAMES]
    if len(columns) > 1:
        raise DataError(
            f"{len(columns)} columns hold labels: {', '.join(columns)}",
            fix=f"name the one to use, such as --data.label {columns[0]}, or pass --data.label none",
        )
    return columns[0] if columns else None


def check_column(table: datasets.Dataset, column: str, option: str) -> None:
    """Raise DataError if a table has no such column."""
    if column not in table.column_names:
        raise DataError(
            f"no column {column!r} in {table.split or 'the table'}; there are {', '.join(table.column_names)}",
            fix=f"name one that is in every split: --data.{option} {table.column_names[0]}",
        )


def as_images(table: datasets.Dataset, column: str) -> datasets.Dataset:
    """Return a table of one column of encoded pictures. Raises DataError."""
    check_column(table, column, "image")
    try:
        return table.select_columns([column]).cast_column(column, datasets.Image(decode=False))
    except Exception as error:  # pyarrow raises several kinds of errors for other values
        raise DataError(f"column {column!r} holds {table.features[column]}, not images") from error


def read_labels(tables: Tables, column: str) -> tuple[tuple[str, ...], dict[str, Tensor]]:
    """Return the names of the classes and the classes of each split, `(N,)` int64, from 0. Raises DataError.

    A column of integers or words has a class for each value that occurs in any split.
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
                f"row {row} of {split!r} has the label {given[row]!r}, which is not a class",
                fix="pass --data.label none to train without labels, or --data.test none to leave that split out",
            )
    return names, {split: torch.tensor([numbers[value] for value in given]) for split, given in values.items()}


def _values(columns: Iterable[list[Any]], column: str) -> set[Any]:
    """Return the integers or words that occur. Raises DataError for other values."""
    values = {value for given in columns for value in given if value is not None}
    if not (all(isinstance(value, int) for value in values) or all(isinstance(value, str) for value in values)):
        kinds = ", ".join(sorted({type(value).__name__ for value in values}))
        raise DataError(f"column {column!r} holds {kinds}; labels are integers or words")
    return values


def fingerprint(images: datasets.Dataset, labels: Tensor | None, *facts: object) -> str:
    """Return the SHA-256 of the lengths and ends of the encoded pictures, of the classes and of other facts.

    The pictures are not read as a whole; an edit changes the end of nearly every compressed one.
    """
    (column,) = images.column_names
    encoded = images.with_format("arrow")[:][column]
    content, paths = (pyarrow.compute.struct_field(encoded, name) for name in ("bytes", "path"))
    lengths, ends = pyarrow.compute.binary_length(content), pyarrow.compute.binary_slice(content, -END_BYTES)
    digest = hashlib.sha256(repr(facts).encode())
    for length, end, path in zip(lengths.to_pylist(), ends.to_pylist(), paths.to_pylist(), strict=True):
        if length is None and path:
            with open(path, "rb") as file:  # noqa: PTH123 - text
                digest.update(f"{sampled_checksum(file)}\0".encode())
        else:
            digest.update(f"{length}\0".encode() + (end or b""))
    if labels is not None:
        digest.update(labels.numpy().data)
    return digest.hexdigest()

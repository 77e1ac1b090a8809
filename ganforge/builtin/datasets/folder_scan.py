"""Scan of a folder: its pictures, and the meaning of its subfolders, classes or splits."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from ganforge.builtin.datasets.folder_pictures import extensions, printable
from ganforge.components import Split
from ganforge.errors import DataError

#: If all subfolders have such names, they are splits. Next to `car` and `bus`, `train` is a class.
SPLIT_NAMES = {"train", "test", "val", "valid", "validation"}


@dataclass(frozen=True, slots=True)
class Layout:
    """Pictures with their labels for each split, in order, and the names of the classes, or None."""

    class_names: tuple[str, ...] | None
    files: dict[Split, list[tuple[Path, int]]]


def scan(root: Path) -> Layout:
    """Return all pictures, sorted by path (by code point in every locale), without hidden files and folders.

    Links to folders are followed at the level of classes, not below.

    Raises:
        DataError: The folder is missing, unreadable, without pictures, or its subfolders have no clear meaning.
    """
    names = _class_pictures(root)
    if not names:
        raise DataError(f"{root} holds no pictures", fix="Check --data.path; files are known by extension, as .png.")
    folded = {name.casefold(): name for name in names}
    if not folded.keys() <= SPLIT_NAMES or "train" not in folded:
        return _layout({"train": names})
    if folded.keys() != {"train", "test"} or len(names) != len(folded):
        raise DataError(
            f"{root} seems to be split, but ganforge needs the two folders train and test; with pictures it has "
            f"{', '.join(names)}",
            fix=f"Rename or move the others, or pass --data.path {root / folded['train']} to train on that alone.",
        )
    splits: dict[Split, dict[str, list[Path]]] = {
        "train": _class_pictures(root / folded["train"]),
        "test": _class_pictures(root / folded["test"]),
    }
    only = {split: sorted(splits[split].keys() - splits[reference].keys()) for split, reference in _PAIRS}
    if any(only.values()):
        differences = (
            f"only in {split}: {', '.join(name or 'no classes' for name in names)}" for split, names in only.items()
        )
        raise DataError(f"train and test in {root} hold different classes; {'; '.join(differences)}")
    return _layout(splits)


_PAIRS: tuple[tuple[Split, Split], ...] = (("train", "test"), ("test", "train"))


def _layout(splits: dict[Split, dict[str, list[Path]]]) -> Layout:
    """Return the layout with a number for each class; the name "" stands for pictures without a class."""
    names = tuple(splits["train"])
    files = {
        split: [(path, label) for label, name in enumerate(names) for path in classes[name]]
        for split, classes in splits.items()
    }
    return Layout(None if names == ("",) else names, files)


def _class_pictures(folder: Path) -> dict[str, list[Path]]:
    """Return the pictures of each subfolder that has any, sorted; under "" those of a folder without subfolders."""
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        pictures = {entry.name: _pictures_below(entry) for entry in entries if entry.is_dir()}
    except OSError as error:
        _refuse(error)
    classes = {name: paths for name, paths in pictures.items() if paths}
    loose = [entry for entry in entries if entry.name not in pictures and entry.suffix.lower() in extensions()]
    if not loose:
        return classes
    if classes:
        raise DataError(
            f"{folder} has pictures next to its subfolders ({printable(loose[0].name)} next to "
            f"{printable(next(iter(classes)))}/, {len(loose)} in all), so their class is not clear",
            fix="Move them into a subfolder, or move the subfolders elsewhere.",
        )
    return {"": loose}


def _pictures_below(folder: Path) -> list[Path]:
    """Return all pictures in a folder and below, sorted by path."""
    pictures: list[Path] = []
    for parent, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        pictures += [
            Path(parent, name)
            for name in files
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in extensions()  # noqa: PTH122 - faster
        ]
    return sorted(pictures, key=lambda path: path.parts)


def _refuse(error: OSError) -> NoReturn:
    """Raise DataError for a folder that cannot be listed."""
    if isinstance(error, FileNotFoundError):
        raise DataError(f"no such folder: {error.filename}", fix="Check --data.path.") from error
    if isinstance(error, NotADirectoryError):
        raise DataError(f"{error.filename} is a file, not a folder of pictures", fix="Check --data.path.") from error
    raise DataError(f"{error.filename} cannot be read: {error.strerror or error}") from error

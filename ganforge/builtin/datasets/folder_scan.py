"""Find the pictures in a folder, and what its subfolders mean: classes, or train and test."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from ganforge.builtin.datasets.folder_pictures import extensions, shown
from ganforge.components import Split
from ganforge.errors import DataError

#: Subfolders that are all named so are splits, not classes. A class may well be called `train`, beside `car` and `bus`.
SPLIT_NAMES = {"train", "test", "val", "valid", "validation"}


@dataclass(frozen=True, slots=True)
class Layout:
    """Hold each split's pictures with their labels, in order, and the classes' names, or None for no labels."""

    classes: tuple[str, ...] | None
    files: dict[Split, list[tuple[Path, int]]]


def scan(root: Path) -> Layout:
    """Find all pictures, sorted by path (by code point, whatever the locale). Hidden files and folders are left out.

    Links to folders are followed at the level of classes, not below. Raises DataError: no folder, not readable, no
    pictures in it, or subfolders whose meaning is not clear.
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
            fix=f"Rename or move what is not so, or pass --data.path {root / folded['train']} to train on that alone.",
        )
    splits: dict[Split, dict[str, list[Path]]] = {
        "train": _class_pictures(root / folded["train"]),
        "test": _class_pictures(root / folded["test"]),
    }
    only = {split: sorted(splits[split].keys() - splits[other].keys()) for split, other in _PAIRS}
    if any(only.values()):
        differences = (
            f"only in {split}: {', '.join(n or 'no classes' for n in found)}" for split, found in only.items()
        )
        raise DataError(f"train and test in {root} hold different classes; {'; '.join(differences)}")
    return _layout(splits)


_PAIRS: tuple[tuple[Split, Split], ...] = (("train", "test"), ("test", "train"))


def _layout(splits: dict[Split, dict[str, list[Path]]]) -> Layout:
    """Give each class its number; the name "" stands for pictures without one."""
    names = tuple(splits["train"])
    files = {
        split: [(path, label) for label, name in enumerate(names) for path in classes[name]]
        for split, classes in splits.items()
    }
    return Layout(None if names == ("",) else names, files)


def _class_pictures(folder: Path) -> dict[str, list[Path]]:
    """Return each subfolder's pictures, sorted, if it has any; under "" those of a folder without any."""
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        found = {entry.name: _pictures_below(entry) for entry in entries if entry.is_dir()}
    except OSError as error:
        _refuse(error)
    classes = {name: pictures for name, pictures in found.items() if pictures}
    loose = [entry for entry in entries if entry.name not in found and entry.suffix.lower() in extensions()]
    if not loose:
        return classes
    if classes:
        raise DataError(
            f"{folder} has pictures beside its subfolders ({shown(loose[0].name)} beside "
            f"{shown(next(iter(classes)))}/, {len(loose)} in all), so it is not clear which class they belong to",
            fix="Move them into a subfolder, or the subfolders elsewhere.",
        )
    return {"": loose}


def _pictures_below(folder: Path) -> list[Path]:
    """Return all pictures in a folder and below, sorted by path."""
    found: list[Path] = []
    for place, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(place, name)
            for name in files
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in extensions()  # noqa: PTH122 - faster
        ]
    return sorted(found, key=lambda path: path.parts)


def _refuse(error: OSError) -> NoReturn:
    """Raise DataError for a folder that cannot be listed."""
    if isinstance(error, FileNotFoundError):
        raise DataError(f"there is no folder {error.filename}", fix="Check --data.path.") from error
    if isinstance(error, NotADirectoryError):
        raise DataError(f"{error.filename} is a file, not a folder of pictures", fix="Check --data.path.") from error
    raise DataError(f"{error.filename} cannot be read: {error.strerror or error}") from error

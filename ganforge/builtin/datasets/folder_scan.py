"""Scan of a folder: its pictures, and the meaning of its subfolders, classes or splits."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from ganforge.builtin.datasets.folder_pictures import extensions
from ganforge.components import Split
from ganforge.errors import DataError
from ganforge.utils.text import shell_command

#: Names of splits in the datasets that people share, such as `training`, `val`, `trainA`, `test_set` and `train2017`.
SPLIT_NAME = re.compile(
    r"(train|training|trn|test|testing|tst|val|valid|validation|eval|evaluation|dev)([-_ ]?(set|images|[ab]|\d+))?"
)


@dataclass(frozen=True, slots=True)
class Layout:
    """Pictures of a folder.

    Attributes:
        class_names: Names of the classes, or None.
        files: Pictures with their labels for each split, in order.
        ignored: Number of other files, and of links that are not followed, by kind.
    """

    class_names: tuple[str, ...] | None
    files: dict[Split, list[tuple[Path, int]]]
    ignored: Counter[str]


def scan(root: Path) -> Layout:
    """Return all pictures, sorted by path (by code point in every locale), without hidden files and folders.

    Subfolders are splits if all have names of splits, or several have. Next to `car` and `bus`, `train` is a class.
    Links to folders are followed at the level of classes, not below.

    Raises:
        DataError: The folder is missing, unreadable, without pictures, or its subfolders have no clear meaning.
    """
    ignored: Counter[str] = Counter()
    folders = [entry for entry in _entries(root) if entry.is_dir()]
    split_folders = [entry for entry in folders if SPLIT_NAME.fullmatch(entry.name.casefold()) and _has_pictures(entry)]
    others = (entry for entry in folders if entry not in split_folders)
    if not split_folders or (len(split_folders) == 1 and any(map(_has_pictures, others))):
        classes = _class_pictures(root, ignored)
        if not classes:
            raise DataError(
                f"{root} holds no pictures{_listed(ignored)}",
                fix="Check --data.path; files are known by extension, as .png.",
            )
        return _layout({"train": classes}, ignored)
    if loose := _loose_pictures(_entries(root), ignored):
        raise _mixed(root, loose, split_folders[0].name)
    folded = {entry.name.casefold(): entry for entry in folders if entry in split_folders or _has_pictures(entry)}
    if folded.keys() != {"train", "test"} or len(split_folders) != len(folded):
        training = next((entry for entry in split_folders if entry.name.casefold().startswith("tr")), split_folders[0])
        raise DataError(
            f"{root} seems to be split, but ganforge needs the two folders train and test; with pictures it has "
            f"{', '.join(entry.name for entry in sorted({*split_folders, *folded.values()}))}",
            fix=f"Rename or move the others, or pass --data.path {shell_command(training)} to train on that alone.",
        )
    train, test = (_class_pictures(folded[split], ignored) for split in ("train", "test"))
    only = {"train": train.keys() - test.keys(), "test": test.keys() - train.keys()}
    if any(only.values()):
        differences = (
            f"only in {split}: {', '.join(name or 'no classes' for name in sorted(names))}"
            for split, names in only.items()
            if names
        )
        raise DataError(f"train and test in {root} hold different classes; {'; '.join(differences)}")
    return _layout({"train": train, "test": test}, ignored)


def describe_ignored(ignored: Counter[str]) -> str:
    """Return the number of files by kind, as `.heic: 2, no extension: 1`, the most frequent kinds first."""
    return ", ".join(f"{kind}: {count:,}" for kind, count in ignored.most_common())


def _listed(ignored: Counter[str]) -> str:
    return f", but other files ({describe_ignored(ignored)})" if ignored else ""


def _layout(splits: dict[Split, dict[str, list[Path]]], ignored: Counter[str]) -> Layout:
    """Return the layout with a number for each class; the name "" stands for pictures without a class."""
    names = tuple(splits["train"])
    files = {
        split: [(path, label) for label, name in enumerate(names) for path in classes[name]]
        for split, classes in splits.items()
    }
    return Layout(None if names == ("",) else names, files, ignored)


def _entries(folder: Path) -> list[Path]:
    """Return a folder's entries that are not hidden, sorted."""
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        _refuse(error)


def _class_pictures(folder: Path, ignored: Counter[str]) -> dict[str, list[Path]]:
    """Return the pictures of each subfolder that has any, sorted; under "" those of a folder without subfolders."""
    entries = _entries(folder)
    pictures = {entry.name: sorted(_pictures_below(entry, ignored), key=_parts) for entry in entries if entry.is_dir()}
    classes = {name: paths for name, paths in pictures.items() if paths}
    loose = _loose_pictures(entries, ignored)
    if loose and classes:
        raise _mixed(folder, loose, next(iter(classes)))
    return {"": loose} if loose else classes


def _parts(path: Path) -> tuple[str, ...]:
    return path.parts


def _loose_pictures(entries: list[Path], ignored: Counter[str]) -> list[Path]:
    """Return the entries that are pictures, and count the other files."""
    return [entry for entry in entries if not entry.is_dir() and _is_picture(entry.name, ignored)]


def _mixed(folder: Path, loose: list[Path], subfolder: str) -> DataError:
    return DataError(
        f"{folder} has pictures next to its subfolders ({loose[0].name} next to {subfolder}/, "
        f"{len(loose)} in all), so their class is not clear",
        fix="Move them into a subfolder, or move the subfolders elsewhere.",
    )


def _has_pictures(folder: Path) -> bool:
    """Return whether a folder, or a link to a folder in it, has pictures."""
    ignored: Counter[str] = Counter()
    links = (entry for entry in _entries(folder) if entry.is_symlink() and entry.is_dir())
    return any(next(_pictures_below(place, ignored), None) for place in (folder, *links))


def _pictures_below(folder: Path, ignored: Counter[str]) -> Iterator[Path]:
    """Yield all pictures in a folder and below, and count the other files."""
    for parent, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links = sum(os.path.islink(os.path.join(parent, name)) for name in folders)  # noqa: PTH114, PTH118 - faster
        if links:
            ignored["links to folders"] += links
        for name in files:
            if not name.startswith(".") and _is_picture(name, ignored):
                yield Path(parent, name)


def _is_picture(name: str, ignored: Counter[str]) -> bool:
    """Return whether a file is named like a picture, else count its kind."""
    extension = os.path.splitext(name)[1].lower()  # noqa: PTH122 - faster
    if extension in extensions():
        return True
    ignored[extension or "no extension"] += 1
    return False


def _refuse(error: OSError) -> NoReturn:
    """Raise DataError for a folder that cannot be listed."""
    if isinstance(error, FileNotFoundError):
        raise DataError(f"no such folder: {error.filename}", fix="Check --data.path.") from error
    if isinstance(error, NotADirectoryError):
        raise DataError(f"{error.filename} is a file, not a folder of pictures", fix="Check --data.path.") from error
    raise DataError(f"{error.filename} cannot be read: {error.strerror or error}") from error

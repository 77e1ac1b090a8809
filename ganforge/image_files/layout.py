"""Meaning of the names of images: splits and classes, from folders or from dataset.json."""

from __future__ import annotations

import os
import re
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ganforge.components import Split
from ganforge.errors import DataError
from ganforge.image_files.decoding import extensions
from ganforge.utils.schema import first_problem
from ganforge.utils.text import shell_command

#: Name of a file of labels as StyleGAN writes it, at the top of a folder or archive.
LABELS_NAME = "dataset.json"
#: Limit of its length; a million labels have about 50 MB.
MAX_LABELS_BYTES = 1 << 28
#: Limit of the number of classes.
MAX_CLASSES = 1 << 16
#: Names of splits in the datasets that people share, such as `training`, `val`, `trainA`, `test_set` and `train2017`.
SPLIT_NAME = re.compile(
    r"(train|training|trn|test|testing|tst|val|valid|validation|eval|evaluation|dev)"
    r"([-_ ]?(set|data|dataset|images|imgs?|[ab]|\d+))?"
)
#: Folders of operating systems, servers and file managers, such as thumbnails and deleted files; they count as hidden.
SYSTEM_FOLDERS = frozenset(
    {"__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
)


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name is ignored silently."""
    return name.startswith(".") or name in SYSTEM_FOLDERS


@dataclass(frozen=True, slots=True)
class Layout:
    """Images of a path.

    Attributes:
        class_names: Names of the classes, or None.
        files: Names of the images with their labels for each split, in order.
        ignored: Number of other files, and of links that are not followed, by kind.
    """

    class_names: tuple[str, ...] | None
    files: Mapping[Split, list[tuple[str, int]]]
    ignored: Counter[str] = field(default_factory=Counter)


class LabelFile(BaseModel):
    """Content of dataset.json; other keys are ignored.

    Attributes:
        labels: Name of an image below the folder of the file, and its class; None: the images have no classes.
        class_names: Names of the classes, which ganforge adds.
    """

    model_config = ConfigDict(strict=True)

    labels: list[tuple[str, Annotated[int, Field(ge=0, lt=MAX_CLASSES)]]] | None
    class_names: list[str] | None = None


class Labels(NamedTuple):
    """Classes of images by name, or None, and names of the classes, or None."""

    labels: dict[str, int] | None
    class_names: tuple[str, ...] | None


class _Image(NamedTuple):
    """Image by the parts of its name, below the top folder or a split, and by its whole name."""

    parts: tuple[str, ...]
    name: str


def arrange(
    root: Path, names: Iterable[str], ignored: Counter[str], read: Callable[[str], bytes], *, archive: bool = False
) -> Layout:
    """Return the images among the names of files, sorted by path (by code point), without hidden files and folders.

    Folders are splits if all have names of splits, or several have. Next to `car` and `bus`, `train` is a class.
    Labels in a file dataset.json, at the top or in the folder of a split, replace the classes by folders.

    Args:
        root: Folder or archive, for messages.
        names: Paths of files below the root, separated by slashes.
        ignored: Number of files that are skipped already, by kind; the others are counted here.
        read: Function that returns the content of a dataset.json by its name.
        archive: Whether one folder around everything else has no meaning.

    Raises:
        DataError: There are no images, their folders have no clear meaning, or labels are missing.
    """
    images, label_files = [], {}
    for name in names:
        parts = tuple(name.split("/"))
        if any(map(is_hidden, parts)):
            continue
        extension = os.path.splitext(parts[-1])[1].lower()  # noqa: PTH122 - faster
        if extension in extensions():
            images.append(_Image(parts, name))
        elif parts[-1] == LABELS_NAME:
            label_files[parts[:-1]] = name
        else:
            ignored[extension or "no extension"] += 1
    if not images:
        raise DataError(
            f"{root} holds no pictures{_listed(ignored)}",
            fix="check --data.path; files are known by extension, as .png",
        )
    images.sort()
    top = images[0].parts[:1]
    if archive and () not in label_files and all(len(each.parts) > 1 and each.parts[:1] == top for each in images):
        images = [_Image(each.parts[1:], each.name) for each in images]
        label_files = {place[1:]: name for place, name in label_files.items() if place[:1] == top}
    splits = _split(root, images)
    places = {(), *((folder,) for folder, _ in splits.values())}
    if len(label_files.keys() - places):
        ignored[".json"] += len(label_files.keys() - places)
    if not places.isdisjoint(label_files):
        chosen = {place: name for place, name in label_files.items() if place in places}
        return _labelled(root, splits, chosen, ignored, read)
    return _by_folders(root, {split: images for split, (_, images) in splits.items()}, ignored)


def describe_ignored(ignored: Counter[str]) -> str:
    """Return the number of files by kind, as `.heic: 2, no extension: 1`, the most frequent kinds first."""
    return ", ".join(f"{kind}: {count:,}" for kind, count in sorted(ignored.items(), key=lambda item: (-item[1], item)))


def _listed(ignored: Counter[str]) -> str:
    return f", but other files ({describe_ignored(ignored)})" if ignored else ""


def _split(root: Path, images: list[_Image]) -> dict[Split, tuple[str, list[_Image]]]:
    """Return each split's folder, or "", and its images with names below that folder."""
    folders = sorted({each.parts[0] for each in images if len(each.parts) > 1})
    split_folders = [name for name in folders if SPLIT_NAME.fullmatch(name.casefold())]
    if not split_folders or (len(split_folders) == 1 and len(folders) > 1):
        below = {each.parts[1].casefold() if len(each.parts) > len(("class", "file")) else "" for each in images}
        if len(below) > 1 and all(map(SPLIT_NAME.fullmatch, below)):
            raise _unclear_split(root, sorted({"/".join(each.parts[:2]) for each in images}), folders[0])
        return {"train": ("", images)}
    if loose := [each for each in images if len(each.parts) == 1]:
        raise _mixed(root, loose, split_folders[0])
    folded = {name.casefold(): name for name in folders}
    if folded.keys() != {"train", "test"} or len(split_folders) != len(folded):
        training = next((name for name in split_folders if name.casefold().startswith("tr")), split_folders[0])
        raise _unclear_split(root, folders, training)
    return {
        split: (folded[split], [_Image(each.parts[1:], each.name) for each in images if each.parts[0] == folded[split]])
        for split in ("train", "test")
    }


def _unclear_split(root: Path, folders: Sequence[str], training: str) -> DataError:
    return DataError(
        f"{root} seems to be split, but ganforge needs the two folders train and test; with pictures it has "
        f"{', '.join(folders)}",
        fix=f"rename or move the others, or pass --data.path {shell_command(root / training)} to train on that alone",
    )


def _by_folders(root: Path, splits: Mapping[Split, list[_Image]], ignored: Counter[str]) -> Layout:
    """Return the layout with a class for each folder."""
    classes = {split: _classes(root, images) for split, images in splits.items()}
    train, test = classes["train"], classes.get("test", classes["train"])
    only = {"train": train.keys() - test.keys(), "test": test.keys() - train.keys()}
    if any(only.values()):
        differences = (
            f"only in {split}: {', '.join(name or 'no classes' for name in sorted(names))}"
            for split, names in only.items()
            if names
        )
        raise DataError(f"train and test in {root} hold different classes; {'; '.join(differences)}")
    names = tuple(train)
    files = {
        split: [(name, label) for label, class_name in enumerate(names) for name in of_split[class_name]]
        for split, of_split in classes.items()
    }
    return Layout(None if names == ("",) else names, files, ignored)


def _classes(root: Path, images: Sequence[_Image]) -> dict[str, list[str]]:
    """Return the images of each folder; under "" those without a folder. Raises DataError for a mixture."""
    classes: dict[str, list[str]] = {}
    for each in images:
        classes.setdefault(each.parts[0] if len(each.parts) > 1 else "", []).append(each.name)
    if "" in classes and len(classes) > 1:
        loose = [each for each in images if len(each.parts) == 1]
        raise _mixed(root, loose, next(name for name in classes if name))
    return classes


def _mixed(root: Path, loose: Sequence[_Image], subfolder: str) -> DataError:
    return DataError(
        f"{root} has pictures next to its subfolders ({loose[0].name} next to {subfolder}/, "
        f"{len(loose)} in all), so their class is not clear",
        fix="move them into a subfolder, or move the subfolders elsewhere",
    )


def _labelled(
    root: Path,
    splits: Mapping[Split, tuple[str, list[_Image]]],
    label_files: Mapping[tuple[str, ...], str],
    ignored: Counter[str],
    read: Callable[[str], bytes],
) -> Layout:
    """Return the layout with the labels of dataset.json, at the top or one for each split."""
    tables = {place: _parse_labels(read(file), f"{root}: {file}") for place, file in label_files.items()}
    files: dict[Split, list[tuple[str, int]]] = {}
    for split, (folder, images) in splits.items():
        place = (folder,) if (folder,) in tables else ()
        if place not in tables:
            raise DataError(f"{root} has no {folder}/{LABELS_NAME}", fix="add it, or remove that of the other split")
        labels, prefix = tables[place].labels, (folder,) if folder and not place else ()
        keys = ["/".join((*prefix, *each.parts)) for each in images]
        missing = [] if labels is None else [key for key in keys if key not in labels]
        if missing:
            raise DataError(
                f"{root}: {label_files[place]} has no label for {len(missing):,} of {len(keys):,} pictures, such as "
                f"{missing[0]}",
                fix='add them, remove the pictures, or write {"labels": null} to train without classes',
            )
        files[split] = [
            (each.name, 0 if labels is None else labels[key]) for key, each in zip(keys, images, strict=True)
        ]
    unused = sum(len(table.labels or ()) for table in tables.values()) - sum(map(len, files.values()))
    if unused > 0:
        ignored["labels without a picture"] += unused
    return Layout(_class_names(root, list(tables.values()), files), files, ignored)


def _parse_labels(content: bytes, origin: str) -> Labels:
    """Return the labels of a dataset.json, whose path `origin` is for messages.

    Raises DataError if it has another form, names an image twice, or has a class without a name.
    """
    try:
        file = LabelFile.model_validate_json(content.removeprefix(BOM_UTF8))
    except ValidationError as error:
        raise DataError(
            f"{origin}: {first_problem(error)}",
            fix='write {"labels": [["00000/img00000000.png", 6], …]} with class numbers from 0, or {"labels": null}',
        ) from None
    if file.labels is None:
        return Labels(None, None)
    labels = {name.replace("\\", "/"): label for name, label in file.labels}
    if len(labels) < len(file.labels):
        raise DataError(f"{origin} has two labels for one image", fix="remove one of them")
    largest = max(labels.values(), default=-1)
    if file.class_names is not None and largest >= len(file.class_names):
        raise DataError(
            f"{origin} has the label {largest}, but {len(file.class_names)} class_names", fix="add the missing names"
        )
    return Labels(labels, None if file.class_names is None else tuple(file.class_names))


def _class_names(
    root: Path, tables: Sequence[Labels], files: Mapping[Split, list[tuple[str, int]]]
) -> tuple[str, ...] | None:
    """Return the names of the classes that the label files agree on: their numbers if no file names them."""
    first, *others = tables
    for other in others:
        if (other.labels is None) != (first.labels is None) or other.class_names != first.class_names:
            raise DataError(f"train and test in {root} have different classes in their files {LABELS_NAME}")
    if first.labels is None:
        return None
    largest = max(label for split in files.values() for _, label in split)
    return first.class_names or tuple(map(str, range(largest + 1)))

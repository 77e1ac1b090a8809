"""Any images of the datasets library."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Literal

import datasets
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor

from ganforge import Dataset, DatasetInfo, Images, ImageSpec
from ganforge.errors import DataError
from ganforge.utils.downloads import Wanted, expanded
from ganforge_datasets import tables
from ganforge_datasets.locating import Remote, locate
from ganforge_datasets.rows import Rows, look

HUB_NAME = re.compile(r"\w[\w.-]*(?:/\w[\w.-]*)?")
MARKER = "dataset_dict.json"
DOWNLOAD_SECONDS = 3600.0
GIGABYTE = 1e9

Tables = tables.Tables


class HuggingFace(Dataset):
    """Images that the datasets library loads: from the hub, a folder of pictures, parquet files, or `save_to_disk`.

    What comes from the hub is kept as `save_to_disk` writes it, in `huggingface/OWNER___NAME/SUBSET` below
    `root`, or below the folder that the environment variable GANFORGE_DATA names, or in the user's cache folder, and
    found there the next time. GANFORGE_OFFLINE=1 forbids the download.

    Images are loaded whole where they take at most `whole_gigabytes`, else read while training goes on.
    """

    class Options(Dataset.Options):
        """Where the images are, in which columns, and what shape they get."""

        path: str = Field(min_length=1)
        """A name on the hub, such as ylecun/mnist; else a folder of pictures or parquet files, or one such file."""
        subset: str | None = Field(default=None, pattern=r'^[^.<>:"/\\|?*][^<>:"/\\|?*]*$')
        """The subset, or configuration, where data on the hub has several."""
        root: Path | None = None
        """The folder that downloads from the hub are kept in."""
        image: str = "auto"
        """The column of images; auto: the only one."""
        label: str | None = "auto"
        """The column of labels; auto: the only one, if any; none: no labels."""
        train: str = "train"
        """The split to train on."""
        test: str | None = "auto"
        """The split to evaluate on; auto: test, else validation, if there is one; none: no such split."""
        size: PositiveInt | None = None
        """Side in pixels: the shorter side is resized to it (Lanczos, antialiased), the longer one cropped at its
        centre. none: pictures stay as they are; all must have one size."""
        channels: Literal[1, 3] | None = None
        """1: grey; 3: colours; none: grey where the first pictures are."""
        whole_gigabytes: NonNegativeFloat = 4.0
        """Images that take more, as pixels, are read while training goes on; 0: always."""

    options: Options

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._loaded: dict[str, Images] = {}

    @property
    def splits(self) -> tuple[Literal["train", "test"], ...]:
        """`train`, and `test` where there is one."""
        return ("train", "test") if "test" in self._tables else ("train",)

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The labels' names, or None."""
        return self._labels[0]

    @property
    def source(self) -> str:
        """Say where the rows came from, and how many there are; known once a split is loaded or `info` asked for."""
        if "_tables" not in vars(self):
            return ""
        counts = ", ".join(f"{len(table):,} for {split}ing" for split, table in self._tables.items())
        where = self._folder if self._local is not None else f"{self.options.path} of the hub, kept in {self._folder}"
        return f"rows of {where}: {counts}"

    def resolved(self) -> Options:
        """Return options that name the folder, the columns and the splits that were found."""
        found: dict[str, object] = {
            "image": self._image,
            "label": self._label,
            "test": self._splits.get("test"),
            "channels": self._shape[0],
        }
        if self._local is None:
            found["root"] = self._root.absolute()
        else:
            found["path"] = str(self._local.absolute())
        return self.options.model_copy(update=found)

    def load(self, split: str) -> Images | None:
        """Return a whole split, or None where images are read while training goes on. Raises DataError."""
        if self._too_large:
            return None
        if split not in self._loaded:
            self._loaded[split] = self.open(split).load()
        return self._loaded[split]

    def open(self, split: str) -> Rows:
        """Return a split's rows, each decoded when it is asked for. Raises DataError."""
        if split not in self._images:
            raise DataError(f"{self.options.path} has no {split} split; pass --data.{split}")
        return Rows(
            self._images[split],
            self._labels[1].get(split),
            image=ImageSpec(*self._shape),
            size=self.options.size,
            grey_is_a_guess=self._shape[0] == 1 and self.options.channels is None,
            what=f"{self._splits[split]!r} in {self._folder}",
        )

    @cached_property
    def info(self) -> DatasetInfo:
        """Describe the data: of images that are not loaded by the sizes of the encoded pictures."""
        if not self._too_large:
            return super().info
        classes = self.class_names
        return DatasetInfo(
            name=self.options.path,
            image=ImageSpec(*self._shape, None if classes is None else len(classes)),
            class_names=classes,
            sizes={split: len(table) for split, table in self._tables.items()},
            fingerprint=tables.fingerprint(
                self._images["train"], self._labels[1].get("train"), self._shape, self.options.size, classes
            ),
            source=self.source,
        )

    @classmethod
    def fetch(cls, root: Path, *arguments: str) -> None:
        """Download from the hub, and save below `root`; what the library's own cache holds is taken from there."""
        path, subset = arguments
        found = datasets.load_dataset(path, subset or None)
        found.save_to_disk(str(root / _folder(path, subset)))

    @cached_property
    def _local(self) -> Path | None:
        """The folder or file on this machine, or None for a name on the hub. Raises DataError."""
        given = self.options.path
        place = expanded(given)
        if place.exists():
            return place
        if place.is_absolute() or place.suffix in {".parquet", ".arrow"} or not HUB_NAME.fullmatch(given):
            raise DataError(
                f"there is no folder or file {place}, and it is no name on the hub either",
                fix="Pass --data.path FOLDER, or a name such as ylecun/mnist.",
            )
        return None

    @cached_property
    def _root(self) -> Path:
        """The folder that holds what came from the hub. Raises DataError."""
        path, subset = self.options.path, self.options.subset or ""
        folder = _folder(path, subset)
        asked = f"{path!r}, {subset!r}" if subset else f"{path!r}"
        return locate(
            self.options.root,
            Remote(
                wanted=Wanted(title=f"{path} of the hub", layouts=(folder,), names=(MARKER,)),
                fetcher=HuggingFace,
                arguments=(path, subset),
                addresses=(datasets.config.HF_ENDPOINT,),
                seconds=DOWNLOAD_SECONDS,
                size="its size is not known",
                fix="Where it can be loaded, run datasets.load_dataset"
                f"({asked}).save_to_disk(FOLDER) in Python, and pass --data.path FOLDER; or put what that wrote, "
                f"{MARKER} and the folders beside it, into {folder} below the folder of --data.root or GANFORGE_DATA.",
            ),
        )

    @property
    def _folder(self) -> Path:
        """Where the tables lie."""
        if self._local is not None:
            return self._local
        return self._root / _folder(self.options.path, self.options.subset or "")

    @cached_property
    def _found(self) -> Tables:
        """All splits, by their own names. Raises DataError."""
        return tables.open_tables(self._folder)

    @cached_property
    def _splits(self) -> dict[str, str]:
        """The names of the splits to train on and to evaluate on. Raises DataError."""
        train, test = self.options.train, self.options.test
        if test == "auto":
            test = next((name for name in ("test", "validation") if name in self._found and name != train), None)
        chosen = {"train": train} if test is None else {"train": train, "test": test}
        for option, name in chosen.items():
            if name not in self._found:
                raise DataError(
                    f"{self._folder} has no split {name!r}; it has {', '.join(self._found)}",
                    fix=f"Name one of them: --data.{option} {next(iter(self._found))}",
                )
        return chosen

    @cached_property
    def _tables(self) -> Tables:
        return {split: self._found[name] for split, name in self._splits.items()}

    @cached_property
    def _image(self) -> str:
        return tables.image_column(self._tables["train"], self.options.image)

    @cached_property
    def _label(self) -> str | None:
        return tables.label_column(self._tables["train"], self.options.label)

    @cached_property
    def _labels(self) -> tuple[tuple[str, ...] | None, dict[str, Tensor]]:
        """The classes' names, or None, and each split's labels."""
        return (None, {}) if self._label is None else tables.read_labels(self._tables, self._label)

    @cached_property
    def _images(self) -> Tables:
        """Each split's column of images alone."""
        return {split: tables.as_images(table, self._image) for split, table in self._tables.items()}

    @cached_property
    def _shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        what = f"{self._splits['train']!r} in {self._folder}"
        return look(self._images["train"], what, self.options.size, self.options.channels)

    @property
    def _too_large(self) -> bool:
        channels, height, width = self._shape
        images = sum(map(len, self._tables.values()))
        return images * channels * height * width > self.options.whole_gigabytes * GIGABYTE


def _folder(path: str, subset: str) -> str:
    """Return where data of the hub is kept, below a root."""
    return f"huggingface/{path.replace('/', '___')}/{subset or 'default'}"

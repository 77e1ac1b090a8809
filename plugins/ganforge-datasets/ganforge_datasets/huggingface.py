"""Images of the datasets library."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Literal

import datasets
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor

from ganforge import ConditionSpec, Dataset, DatasetInfo, ImageSpec, ImageTensors
from ganforge.errors import DataError
from ganforge.utils.downloads import RequiredFiles
from ganforge.utils.files import expanded
from ganforge_datasets import tables
from ganforge_datasets.locating import Remote, locate
from ganforge_datasets.rows import Rows, probe_shape

HUB_NAME = re.compile(r"\w[\w.-]*(?:/\w[\w.-]*)?")
MARKER = "dataset_dict.json"
DOWNLOAD_SECONDS = 3600.0
GIGABYTE = 1e9

Tables = tables.Tables


class HuggingFace(Dataset):
    """Images that the datasets library loads: from the hub, a folder of pictures, parquet files, or `save_to_disk`.

    Data from the hub is kept as `save_to_disk` writes it, in `huggingface/OWNER___NAME/SUBSET` below `root`, the folder
    of the environment variable GANFORGE_DATA, or the user's cache folder. GANFORGE_OFFLINE=1 forbids the download.

    Images are in memory if they take at most `max_memory_gigabytes`, else they are read during training.
    """

    class Options(Dataset.Options):
        """Location, columns and shape of the images."""

        path: str = Field(min_length=1)
        """Name on the hub, such as ylecun/mnist; or a folder of pictures or parquet files, or one such file."""
        subset: str | None = Field(default=None, pattern=r'^[^.<>:"/\\|?*][^<>:"/\\|?*]*$')
        """Subset, or configuration, if data on the hub has several."""
        root: Path | None = None
        """Folder that keeps downloads from the hub."""
        image: str = "auto"
        """Column of images; auto: the only one."""
        label: str | None = "auto"
        """Column of class labels; auto: the only one, if any; none: no classes."""
        train: str = "train"
        """Split to train on."""
        test: str | None = "auto"
        """Split to evaluate on; auto: test, else validation, if there is one; none: no such split."""
        size: PositiveInt | None = None
        """Side in pixels: the shorter side is resized to it (Lanczos, antialiased), the longer side is cropped around
        its center. none: pictures keep their size; all must have the same."""
        channels: Literal[1, 3] | None = None
        """1: gray; 3: RGB; none: gray if the first pictures are."""
        max_memory_gigabytes: NonNegativeFloat = 4.0
        """Images that take more, as pixels, are read during training; 0: always."""

    options: Options

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._loaded: dict[str, ImageTensors] = {}

    @property
    def splits(self) -> tuple[Literal["train", "test"], ...]:
        """`train`, and `test` if there is one."""
        return ("train", "test") if "test" in self._tables else ("train",)

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes, or None."""
        return self._labels[0]

    @property
    def source(self) -> str:
        """Origin and number of the rows; known once a split is open or `info` was read."""
        if "_tables" not in vars(self):
            return ""
        counts = ", ".join(f"{len(table):,} for {split}ing" for split, table in self._tables.items())
        where = self._folder if self._local is not None else f"{self.options.path} of the hub, kept in {self._folder}"
        return f"rows of {where}: {counts}"

    def resolved(self) -> Options:
        """Return options that name the folder, the columns and the splits."""
        resolved: dict[str, object] = {
            "image": self._image,
            "label": self._label,
            "test": self._splits.get("test"),
            "channels": self._shape[0],
        }
        if self._local is None:
            resolved["root"] = self._root.absolute()
        else:
            resolved["path"] = str(self._local.absolute())
        return self.options.model_copy(update=resolved)

    def open(self, split: str) -> ImageTensors | Rows:
        """Return a split: in memory, decoded once, or as rows that are decoded when they are read.

        Raises:
            DataError: There is no such split, or a row cannot be read.
        """
        if split not in self._images:
            raise DataError(f"{self.options.path} has no {split} split; pass --data.{split}")
        if split in self._loaded:
            return self._loaded[split]
        rows = Rows(
            self._images[split],
            self._labels[1].get(split),
            shape=self._shape,
            size=self.options.size,
            gray_is_guessed=self._shape[0] == 1 and self.options.channels is None,
            source=f"{self._splits[split]!r} in {self._folder}",
        )
        if self._too_large:
            return rows
        self._loaded[split] = rows.decode_all()
        return self._loaded[split]

    @cached_property
    def info(self) -> DatasetInfo:
        """Metadata; the fingerprint of images that are not in memory has the encoded pictures' lengths and ends."""
        if not self._too_large:
            return super().info
        names = self.class_names
        return DatasetInfo(
            image=ImageSpec(*self._shape, None if names is None else ConditionSpec.classes(len(names))),
            class_names=names,
            sizes={split: len(table) for split, table in self._tables.items()},
            fingerprint=tables.fingerprint(
                self._images["train"], self._labels[1].get("train"), self._shape, self.options.size, names
            ),
            name=self.options.path,
            source=self.source,
        )

    @classmethod
    def fetch(cls, root: Path, *arguments: str) -> None:
        """Download from the hub, or copy from the library's own cache, and save below `root`."""
        path, subset = arguments
        datasets.load_dataset(path, subset or None).save_to_disk(str(root / _folder(path, subset)))

    @cached_property
    def _local(self) -> Path | None:
        """The folder or file on this machine, or None for a name on the hub. Raises DataError."""
        path = expanded(self.options.path)
        if path.exists():
            return path
        if path.is_absolute() or path.suffix in {".parquet", ".arrow"} or not HUB_NAME.fullmatch(self.options.path):
            raise DataError(
                f"no folder or file {path}, and not a name on the hub",
                fix="pass --data.path FOLDER, or a name such as ylecun/mnist",
            )
        return None

    @cached_property
    def _root(self) -> Path:
        """The folder that holds downloads from the hub. Raises DataError."""
        path, subset = self.options.path, self.options.subset or ""
        folder = _folder(path, subset)
        call = f"{path!r}, {subset!r}" if subset else f"{path!r}"
        return locate(
            self.options.root,
            Remote(
                required=RequiredFiles(title=f"{path} of the hub", layouts=(folder,), names=(MARKER,)),
                fetcher=HuggingFace,
                arguments=(path, subset),
                addresses=(datasets.config.HF_ENDPOINT,),
                seconds=DOWNLOAD_SECONDS,
                size="size unknown",
                fix=f"on a machine with a network, run datasets.load_dataset({call}).save_to_disk(FOLDER) in Python, "
                f"and pass --data.path FOLDER; or put its content, {MARKER} and the folders next to it, into {folder} "
                "below the folder of --data.root or GANFORGE_DATA",
            ),
        )

    @property
    def _folder(self) -> Path:
        """The folder of the tables."""
        if self._local is not None:
            return self._local
        return self._root / _folder(self.options.path, self.options.subset or "")

    @cached_property
    def _all_tables(self) -> Tables:
        """All splits, by their own names. Raises DataError."""
        return tables.open_tables(self._folder)

    @cached_property
    def _splits(self) -> dict[str, str]:
        """Names of the splits to train on and to evaluate on. Raises DataError."""
        train, test = self.options.train, self.options.test
        if test == "auto":
            test = next((name for name in ("test", "validation") if name in self._all_tables and name != train), None)
        chosen = {"train": train} if test is None else {"train": train, "test": test}
        for option, name in chosen.items():
            if name not in self._all_tables:
                raise DataError(
                    f"{self._folder} has no split {name!r}; it has {', '.join(self._all_tables)}",
                    fix=f"name one of them: --data.{option} {next(iter(self._all_tables))}",
                )
        return chosen

    @cached_property
    def _tables(self) -> Tables:
        return {split: self._all_tables[name] for split, name in self._splits.items()}

    @cached_property
    def _image(self) -> str:
        return tables.image_column(self._tables["train"], self.options.image)

    @cached_property
    def _label(self) -> str | None:
        return tables.label_column(self._tables["train"], self.options.label)

    @cached_property
    def _labels(self) -> tuple[tuple[str, ...] | None, dict[str, Tensor]]:
        """Names of the classes, or None, and the classes of each split."""
        return (None, {}) if self._label is None else tables.read_labels(self._tables, self._label)

    @cached_property
    def _images(self) -> Tables:
        """Column of images of each split."""
        return {split: tables.as_images(table, self._image) for split, table in self._tables.items()}

    @cached_property
    def _shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        source = f"{self._splits['train']!r} in {self._folder}"
        return probe_shape(self._images["train"], source, self.options.size, self.options.channels)

    @property
    def _too_large(self) -> bool:
        channels, height, width = self._shape
        images = sum(map(len, self._tables.values()))
        return images * channels * height * width > self.options.max_memory_gigabytes * GIGABYTE


def _folder(path: str, subset: str) -> str:
    """Return the folder of data from the hub below a root."""
    return f"huggingface/{path.replace('/', '___')}/{subset or 'default'}"

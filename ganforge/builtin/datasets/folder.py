"""A folder of one's own pictures."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import Literal, TypeVar

import torch
from pydantic import PositiveInt

from ganforge.builtin.datasets.folder_pictures import Header, read_header, read_pixels, reason, shown
from ganforge.builtin.datasets.folder_scan import Layout, scan
from ganforge.builtin.datasets.folder_stream import Pictures, fingerprint, machine_memory, too_large
from ganforge.components import Dataset, DatasetInfo, Images, ImageSpec, Split
from ganforge.errors import DataError

#: How many skipped files are named.
NAMED = 5

Result = TypeVar("Result")


class Folder(Dataset):
    """Pictures of any format that Pillow decodes, at any depth below `path`, in the order of their paths.

    Direct subfolders are the classes. Two subfolders called `train` and `test` are the splits, each with the same
    classes or none; otherwise all pictures are for training. Hidden files and other kinds of files are left out;
    pictures that cannot be read are skipped and named in `notices`.

    Pictures are turned upright (EXIF), 16-bit grey is scaled to 8 bits, transparency lies on white, of animations the
    first frame is taken.
    """

    class Options(Dataset.Options):
        """Where the pictures are, the side that they get, and their colours."""

        path: Path
        """The folder of pictures."""
        size: PositiveInt | None = None
        """Side in pixels: the shorter side is resized to it (Lanczos, antialiased), the longer one cropped at its
        centre. none: pictures stay as they are; all must have one size."""
        colour: Literal["auto", "grey", "rgb"] = "auto"
        """auto: grey where every picture is, else rgb."""
        stream: Literal["auto", "yes", "no"] = "auto"
        """yes: pictures are read while training goes on; no: all are loaded before; auto: they are read meanwhile where
        their pixels would take more than half of the machine's memory."""

    options: Options

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        # Path.expanduser raises where there is no such user; this one leaves the name as it is, to be reported.
        self._root = Path(os.path.expanduser(options.path))  # noqa: PTH111
        self._unreadable: dict[Path, str] = {}
        self._loaded: dict[Split, Images] = {}
        self._counts: dict[Split, int] = {}

    @property
    def splits(self) -> tuple[Split, ...]:
        """`train`, and `test` where the folder has it."""
        return tuple(self._layout.files)

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The subfolders' names, or None where there are none."""
        return self._layout.classes

    @property
    def source(self) -> str:
        """Say which folder it was and how many pictures it has; known once a split is loaded or `info` asked for."""
        if not self._counts:
            return ""
        read = ", ".join(f"{count:,} for {split}ing" for split, count in self._counts.items())
        return f"pictures from {self._root}: {read}"

    @property
    def notices(self) -> tuple[str, ...]:
        """Name the pictures that were skipped; known once a split is loaded or `info` asked for."""
        if not self._unreadable or not self._counts:
            return ()
        return (f"{self._root}: {self._skipped(self._unreadable)}",)

    def resolved(self) -> Options:
        """Return options whose `path` means the same from every working folder, and whether pictures are streamed."""
        return self.options.model_copy(
            update={"path": self._root.absolute(), "stream": "yes" if self._streamed else "no"}
        )

    def load(self, split: Split) -> Images | None:
        """Return a whole split, read once; None where pictures are streamed. Raises DataError."""
        self._check_split(split)
        if self._streamed:
            return None
        if split not in self._loaded:
            self._loaded[split] = self._read(split)
            self._counts[split] = len(self._loaded[split])
        return self._loaded[split]

    def open(self, split: Split) -> Pictures:
        """Return a split's pictures, each read when it is asked for. Raises DataError."""
        self._check_split(split)
        grey = self._shape[0] == 1
        return Pictures(self._root, self._readable(split), grey=grey, size=self.options.size)

    @cached_property
    def info(self) -> DatasetInfo:
        """Describe the data: of streamed pictures by their headers, and by the names and sizes of the files."""
        if not self._streamed:
            return super().info
        files = {split: self._readable(split) for split in self.splits}
        for split, found in files.items():
            self._check_complete(split, {label for _, label in found})
        self._counts = {split: len(found) for split, found in files.items()}
        classes, options = self.class_names, self.options
        return DatasetInfo(
            name=type(self).__name__,
            image=ImageSpec(*self._shape, None if classes is None else len(classes)),
            class_names=classes,
            sizes={split: len(found) for split, found in files.items()},
            fingerprint=fingerprint(self._root, files["train"], self._shape, options.size, options.colour),
            source=self.source,
        )

    def _check_split(self, split: Split) -> None:
        if split not in self._layout.files:
            raise DataError(
                f"{self._root} has no {split} split; all its pictures are for training",
                fix=f"Put some pictures into {self._root / split} and the others into {self._root / 'train'}.",
            )

    @cached_property
    def _streamed(self) -> bool:
        """Whether pictures are read while training goes on."""
        if self.options.stream != "auto":
            return self.options.stream == "yes"
        pictures = sum(len(self._readable(split)) for split in self.splits)
        return too_large(math.prod(self._shape) * pictures, machine_memory())

    def _readable(self, split: Split) -> list[tuple[Path, int]]:
        """Return a split's pictures and labels, but for those whose headers cannot be read."""
        _ = self._shape  # finding it out reads the headers
        return [item for item in self._layout.files[split] if item[0] not in self._unreadable]

    @cached_property
    def _layout(self) -> Layout:
        """All pictures' paths and labels."""
        return scan(self._root)

    @cached_property
    def _shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every picture in every split."""
        paths = [path for files in self._layout.files.values() for path, _ in files]
        headers = dict(self._attempt(partial(read_header, upright=self.options.size is None), paths))
        if not headers:
            raise DataError(f"no picture in {self._root} could be read; {self._skipped(self._unreadable)}")
        grey = all(header.grey for header in headers.values()) and self.options.colour == "auto"
        channels = 1 if grey or self.options.colour == "grey" else 3
        if self.options.size is not None:
            return channels, self.options.size, self.options.size
        return channels, *self._common_size(headers)

    def _common_size(self, headers: dict[Path, Header]) -> tuple[int, int]:
        """Return the one height and width that all pictures have, or raise DataError."""
        sizes: dict[tuple[int, int], Path] = {}
        for path, header in headers.items():
            sizes.setdefault((header.height, header.width), path)
        if len(sizes) > 1:
            (first, first_path), (second, second_path), *_ = sizes.items()
            raise DataError(
                f"the pictures in {self._root} have {len(sizes):,} different sizes: {self._name(first_path)} is "
                f"{first[1]}×{first[0]} pixels, {self._name(second_path)} {second[1]}×{second[0]}",
                fix="Pass the side to resize them to, such as --data.size 64.",
            )
        return next(iter(sizes))

    def _read(self, split: Split) -> Images:
        """Decode a split into one tensor, and leave out what cannot be decoded."""
        channels, height, width = self._shape
        files = dict(self._readable(split))
        try:
            pixels = torch.empty((len(files), channels, height, width), dtype=torch.uint8)
        except RuntimeError as error:
            raise DataError(
                f"{len(files):,} pictures of {channels}×{height}×{width} do not fit into memory",
                fix="Pass a smaller --data.size, or --data.stream yes.",
            ) from error
        slots = {path: slot for slot, path in enumerate(files)}

        def decode(path: Path) -> int:
            pixels[slots[path]] = read_pixels(path, grey=channels == 1, size=self.options.size)
            return slots[path]

        read = self._attempt(decode, list(files))
        for target, (_, slot) in enumerate(read):
            if target != slot:  # pictures before it were skipped: close the gap, in place
                pixels[target] = pixels[slot]
        self._check_complete(split, {files[path] for path, _ in read})
        labels = None if self.class_names is None else torch.tensor([files[path] for path, _ in read])
        return Images(pixels[: len(read)], labels)

    def _check_complete(self, split: Split, labels: set[int]) -> None:
        """Raise DataError where a split, or a class of it, has no picture left."""
        names = self.class_names or ("",)
        for label in range(len(names)):
            if label not in labels:
                whose = f"of class {names[label]!r} " if names[label] else ""
                lost = {path: self._unreadable[path] for path, of in self._layout.files[split] if of == label}
                raise DataError(
                    f"no picture {whose}for {split}ing could be read in {self._root}; {self._skipped(lost)}"
                )

    def _attempt(self, work: Callable[[Path], Result], paths: list[Path]) -> list[tuple[Path, Result]]:
        """Do `work` for each file, on all cores; return paths and results in order, and remember what is unreadable."""

        def guarded(path: Path) -> Result | Exception:
            try:
                return work(path)
            except Exception as error:  # noqa: BLE001 - damaged files make Pillow raise nearly anything; all is shown
                return error

        done: list[tuple[Path, Result]] = []
        # Pillow warns of odd metadata, and of pictures that are half as large as those that it refuses.
        with warnings.catch_warnings(action="ignore"), ThreadPoolExecutor(os.cpu_count()) as pool:
            for path, result in zip(paths, pool.map(guarded, paths), strict=True):
                if isinstance(result, Exception):
                    self._unreadable[path] = reason(result)
                else:
                    done.append((path, result))
        return done

    def _skipped(self, unreadable: dict[Path, str]) -> str:
        """Name the first few of some unreadable pictures, in one line."""
        total = sum(len(files) for files in self._layout.files.values())
        named = [f"{self._name(path)} ({why})" for path, why in list(unreadable.items())[:NAMED]]
        if len(unreadable) > NAMED:
            named.append(f"and {len(unreadable) - NAMED:,} more")
        return f"{len(unreadable):,} of {total:,} pictures could not be read and are skipped: {', '.join(named)}"

    def _name(self, path: Path) -> str:
        """Return a picture's path below the folder."""
        return shown(str(path.relative_to(self._root)))

"""Dataset of the user's own pictures in a folder."""

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

from ganforge.builtin.datasets.folder_pictures import Depth, Header, describe_error, read_header, read_pixels
from ganforge.builtin.datasets.folder_scan import Layout, describe_ignored, scan
from ganforge.builtin.datasets.folder_stream import Pictures, equal_files, fingerprint, machine_memory, too_large
from ganforge.components import ConditionSpec, Dataset, DatasetInfo, ImageSpec, ImageTensors, Split
from ganforge.errors import DataError

#: Number of skipped files, or of classes, that a notice names.
MAX_NAMED = 5

Result = TypeVar("Result")
Fact = TypeVar("Fact")


class Folder(Dataset):
    """Pictures of any format that Pillow decodes, at any depth below `path`, in the order of their paths.

    Direct subfolders are the classes. Two subfolders called `train` and `test` are the splits, with the same classes
    or none; otherwise all pictures are for training. Splits of other names are an error. Hidden files are ignored.
    `notices` has the splits and classes, the kinds of other files, and the pictures that cannot be read.

    Pictures are turned upright (EXIF), transparency lies on white, and of an animation the first frame is taken.
    """

    class Options(Dataset.Options):
        """Location, size, color and depth of the pictures."""

        path: Path
        """Folder of pictures."""
        size: PositiveInt | None = None
        """Side in pixels: the shorter side is resized to it (Lanczos, antialiased), the longer side is cropped around
        its center. none: pictures keep their size; all must have the same."""
        color: Literal["auto", "gray", "rgb"] = "auto"
        """auto: gray if every picture is, else rgb."""
        depth: Depth = 8
        """Bits per channel. 8: 16-bit gray is scaled to 8 bits. 16: 16-bit gray keeps its depth, as float32 in [-1, 1];
        Pillow decodes colors with 8 bits."""
        stream: Literal["auto", "yes", "no"] = "auto"
        """yes: pictures are read during training; no: all are loaded before; auto: they are streamed if their pixels
        take more than half of the memory of the machine or container."""

    options: Options

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        # Path.expanduser raises for an unknown user; this one keeps the name, which is then reported as missing.
        self._root = Path(os.path.expanduser(options.path))  # noqa: PTH111
        self._unreadable: dict[Path, str] = {}
        self._loaded: dict[Split, ImageTensors] = {}
        self._counts: dict[Split, int] = {}

    @property
    def splits(self) -> tuple[Split, ...]:
        """`train`, and `test` if the folder has it."""
        return tuple(self._layout.files)

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the subfolders, or None without subfolders."""
        return self._layout.class_names

    @property
    def source(self) -> str:
        """The folder and the number of its pictures; known once a split is open or `info` was read."""
        if not self._counts:
            return ""
        read = ", ".join(f"{count:,} for {split}ing" for split, count in self._counts.items())
        return f"pictures from {self._root}: {read}"

    @property
    def notices(self) -> tuple[str, ...]:
        """Splits and classes, other files and skipped pictures; known once a split is open or `info` was read."""
        if not self._counts:
            return ()
        names = self.class_names or ()
        shown = ", ".join(names[:MAX_NAMED]) + (", …" if len(names) > MAX_NAMED else "")
        classes = f"{len(names):,} classes ({shown})" if names else "no classes"
        lines = [f"{', '.join(f'{split} {len(files):,}' for split, files in self._layout.files.items())}; {classes}"]
        if self._layout.ignored:
            lines.append(f"not pictures by their names, and ignored: {describe_ignored(self._layout.ignored)}")
        if self._unreadable:
            lines.append(self._skipped(self._unreadable))
        lines += [f"all pictures for {split}ing are equal" for split in self._counts if self._all_equal(split)]
        return tuple(f"{self._root}: {line}" for line in lines)

    def resolved(self) -> Options:
        """Return options with an absolute `path`, and with the decision whether pictures are streamed."""
        return self.options.model_copy(
            update={"path": self._root.absolute(), "stream": "yes" if self._streamed else "no"}
        )

    def open(self, split: Split) -> ImageTensors | Pictures:
        """Return a split: in memory, decoded once, or as pictures that are decoded when they are read."""
        if split not in self._layout.files:
            raise DataError(
                f"{self._root} has no {split} split; all its pictures are for training",
                fix=f"Put some pictures into {self._root / split} and the others into {self._root / 'train'}.",
            )
        if self._streamed:
            gray = self._shape[0] == 1
            files, size, depth = self._readable(split), self.options.size, self.options.depth
            return Pictures(self._root, files, gray=gray, size=size, depth=depth)
        if split not in self._loaded:
            self._loaded[split] = self._decode_all(split)
            self._counts[split] = len(self._loaded[split])
        return self._loaded[split]

    @cached_property
    def info(self) -> DatasetInfo:
        """Metadata; of streamed pictures from their headers and the names and sizes of their files."""
        if not self._streamed:
            return super().info
        files = {split: self._readable(split) for split in self.splits}
        for split, readable in files.items():
            self._check_complete(split, {label for _, label in readable})
        self._counts = {split: len(readable) for split, readable in files.items()}
        names, options = self.class_names, self.options
        return DatasetInfo(
            image=ImageSpec(
                *self._shape,
                None if names is None else ConditionSpec.classes(len(names)),
                "uint8" if self._dtype == torch.uint8 else "float32",
            ),
            class_names=names,
            sizes={split: len(readable) for split, readable in files.items()},
            fingerprint=fingerprint(
                self._root, files["train"], self._shape, options.size, options.color, options.depth
            ),
            name=type(self).__name__,
            source=self.source,
        )

    @cached_property
    def _streamed(self) -> bool:
        """True if image files are read during training."""
        if self.options.stream != "auto":
            return self.options.stream == "yes"
        pictures = sum(len(self._readable(split)) for split in self.splits)
        return too_large(self._dtype.itemsize * math.prod(self._shape) * pictures, machine_memory())

    @property
    def _dtype(self) -> torch.dtype:
        return torch.uint8 if self.options.depth == 8 else torch.float32  # noqa: PLR2004 - bits

    def _readable(self, split: Split) -> list[tuple[Path, int]]:
        """Return pictures and labels of a split, without those whose headers cannot be read."""
        _ = self._shape  # reads the headers
        return [item for item in self._layout.files[split] if item[0] not in self._unreadable]

    @cached_property
    def _layout(self) -> Layout:
        """Paths and labels of all pictures."""
        return scan(self._root)

    @cached_property
    def _shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every picture in every split."""
        paths = [path for files in self._layout.files.values() for path, _ in files]
        headers = dict(self._attempt(partial(read_header, upright=self.options.size is None), paths))
        if not headers:
            raise DataError(f"no picture in {self._root} could be read; {self._skipped(self._unreadable)}")
        channels = 1 if self.options.color == "gray" else 3
        if self.options.color == "auto":
            channels = 3 if self._examples(headers, lambda header: header.gray).get(False) else 1
        if self.options.size is not None:
            return channels, self.options.size, self.options.size
        return channels, *self._common_size(headers)

    def _examples(self, headers: dict[Path, Header], fact: Callable[[Header], Fact]) -> dict[Fact, Path]:
        """Return a picture for each value of a fact; of several values only those of a picture that can be decoded."""
        values: dict[Fact, list[Path]] = {}
        for path, header in headers.items():
            values.setdefault(fact(header), []).append(path)
        # A damaged picture must not decide, but pictures that are streamed are decoded during training only.
        if len(values) == 1 or self.options.stream == "yes":
            return {value: paths[0] for value, paths in values.items()}
        examples = {value: next(filter(self._can_be_decoded, paths), None) for value, paths in values.items()}
        return {value: path for value, path in examples.items() if path is not None}

    def _can_be_decoded(self, path: Path) -> bool:
        """Decode a picture, and skip it if that fails."""
        gray, size, depth = self.options.color == "gray", self.options.size, self.options.depth
        return bool(self._attempt(partial(read_pixels, gray=gray, size=size, depth=depth), [path]))

    def _common_size(self, headers: dict[Path, Header]) -> tuple[int, int]:
        """Return the height and width that all pictures have. Raises DataError for different sizes."""
        sizes = self._examples(headers, lambda header: (header.height, header.width))
        if not sizes:
            raise DataError(f"no picture in {self._root} could be read; {self._skipped(self._unreadable)}")
        if len(sizes) > 1:
            (first, first_path), (second, second_path), *_ = sizes.items()
            raise DataError(
                f"the pictures in {self._root} have {len(sizes):,} different sizes: {self._name(first_path)} is "
                f"{first[1]}×{first[0]} pixels, {self._name(second_path)} {second[1]}×{second[0]}",
                fix="Pass the side to resize them to, such as --data.size 64.",
            )
        return next(iter(sizes))

    def _decode_all(self, split: Split) -> ImageTensors:
        """Decode a split into one tensor, and skip pictures that cannot be decoded."""
        channels, height, width = self._shape
        files = dict(self._readable(split))
        try:
            images = torch.empty((len(files), channels, height, width), dtype=self._dtype)
        except RuntimeError as error:
            raise DataError(
                f"{len(files):,} pictures of {channels}×{height}×{width} do not fit into memory",
                fix="Pass a smaller --data.size, or --data.stream yes.",
            ) from error
        slots = {path: slot for slot, path in enumerate(files)}

        def decode(path: Path) -> int:
            gray, size, depth = channels == 1, self.options.size, self.options.depth
            images[slots[path]] = read_pixels(path, gray=gray, size=size, depth=depth)
            return slots[path]

        decoded = self._attempt(decode, list(files))
        for target, (_, slot) in enumerate(decoded):
            if target != slot:  # earlier pictures were skipped: close the gap, in place
                images[target] = images[slot]
        self._check_complete(split, {files[path] for path, _ in decoded})
        labels = None if self.class_names is None else torch.tensor([files[path] for path, _ in decoded])
        return ImageTensors(images[: len(decoded)], labels)

    def _check_complete(self, split: Split, labels: set[int]) -> None:
        """Raise DataError if a split, or one of its classes, has no picture left."""
        names = self.class_names or ("",)
        for label in range(len(names)):
            if label not in labels:
                whose = f"of class {names[label]!r} " if names[label] else ""
                lost = {path: self._unreadable[path] for path, of in self._layout.files[split] if of == label}
                raise DataError(
                    f"no picture {whose}for {split}ing could be read in {self._root}; {self._skipped(lost)}"
                )

    def _attempt(self, work: Callable[[Path], Result], paths: list[Path]) -> list[tuple[Path, Result]]:
        """Return paths and results of `work` in order, computed on all cores; errors make a file unreadable."""

        def guarded(path: Path) -> Result | Exception:
            try:
                return work(path)
            except Exception as error:  # noqa: BLE001 - damaged files make Pillow raise nearly any error; all are shown
                return error

        done: list[tuple[Path, Result]] = []
        # Pillow warns of odd metadata, and of pictures half as large as those that it refuses.
        with warnings.catch_warnings(action="ignore"), ThreadPoolExecutor(os.cpu_count()) as pool:
            for path, result in zip(paths, pool.map(guarded, paths), strict=True):
                if isinstance(result, Exception):
                    self._unreadable[path] = describe_error(result)
                else:
                    done.append((path, result))
        return done

    def _skipped(self, unreadable: dict[Path, str]) -> str:
        """Return one line that names the first few unreadable pictures."""
        total = sum(len(files) for files in self._layout.files.values())
        named = [f"{self._name(path)} ({reason})" for path, reason in list(unreadable.items())[:MAX_NAMED]]
        if len(unreadable) > MAX_NAMED:
            named.append(f"and {len(unreadable) - MAX_NAMED:,} more")
        return f"{len(unreadable):,} of {total:,} pictures could not be read and are skipped: {', '.join(named)}"

    def _all_equal(self, split: Split) -> bool:
        """Return whether a split has several pictures, all equal; of streamed ones, whether their files are."""
        if self._counts[split] == 1:
            return False
        if split in self._loaded:
            first, *others = self._loaded[split].images
            return all(torch.equal(first, other) for other in others)
        return equal_files([path for path, _ in self._readable(split)])

    def _name(self, path: Path) -> str:
        """Return the path of a picture below the folder."""
        return str(path.relative_to(self._root))

"""Dataset of the user's own images in files of any kind."""

from __future__ import annotations

import math
import re
import stat
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeVar

import torch
from pydantic import AfterValidator, Field, PositiveInt

from ganforge.components import ConditionSpec, Dataset, DatasetInfo, ImageSpec, ImageTensors, Split
from ganforge.errors import DataError
from ganforge.image_files.decoding import Decoding, Depth, Fit, Header
from ganforge.image_files.layout import Layout, describe_ignored
from ganforge.image_files.source import Broken, ImageSource, read_all
from ganforge.image_files.streamed import StreamedImages, equal_images, fingerprint, machine_memory, too_large
from ganforge.utils.files import error_reason, expanded

if TYPE_CHECKING:
    from ganforge.image_files.conversion import Format  # it converts datasets

#: Number of skipped files, or of classes, that a notice names.
MAX_NAMED = 5

Result = TypeVar("Result")
Fact = TypeVar("Fact")


def _check_color(value: str) -> str:
    if not re.fullmatch("white|black|#[0-9a-fA-F]{6}", value):
        raise ValueError("white, black or #rrggbb is required")
    return value


class ImageDataset(Dataset):
    """Images of one path, which a subclass opens as an `ImageSource`; decoding, classes and streaming are shared.

    Pictures are turned upright (EXIF), transparency lies on the background, and of an animation the first frame is
    taken. `notices` has the splits and classes, the kinds of other files, and the pictures that cannot be read.
    """

    class Options(Dataset.Options):
        """Location, size, color and depth of the pictures."""

        path: Path
        """Folder or file of pictures."""
        size: PositiveInt | None = None
        """Side in pixels that pictures are resized to (Lanczos, antialiased). none: pictures keep their size; all must
        have the same."""
        fit: Fit = "crop"
        """With size: crop cuts the longer side around the center; letterbox adds bars of the background; stretch scales
        both sides."""
        color: Literal["auto", "gray", "rgb"] = "auto"
        """auto: gray if every picture is, else rgb."""
        background: Annotated[str, AfterValidator(_check_color)] = "white"
        """Color behind transparent pixels: white, black or #rrggbb."""
        depth: Depth = 8
        """Bits per channel. 8: 16-bit gray is scaled to 8 bits. 16: 16-bit gray keeps its depth, as float32 in [-1, 1];
        Pillow decodes colors with 8 bits."""
        mirror: bool = False
        """Train on each picture and on its mirror image: twice as many, the mirrored ones last."""
        holdout: Annotated[float, Field(ge=0, lt=1)] = 0
        """Share of the pictures, spread evenly over their order, that become the test split of data without one."""
        stream: Literal["auto", "yes", "no"] = "auto"
        """yes: pictures are read during training; no: all are loaded before; auto: they are streamed if their pixels
        take more than half of the memory of the machine or container."""

    options: Options
    #: Formats that `ganforge data convert` writes, by extension, "" for a folder.
    formats: ClassVar[Mapping[str, Format]] = {}

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._root = expanded(options.path)
        self._unreadable: dict[str, str] = {}
        self._loaded: dict[Split, ImageTensors] = {}
        self._counts: dict[Split, int] = {}

    @abstractmethod
    def open_source(self, path: Path) -> ImageSource:
        """Return the images of a path that exists. Raises DataError for a path of another kind."""

    @cached_property
    def image_source(self) -> ImageSource:
        """The images of `path`. Raises DataError."""
        try:
            mode = self._root.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            raise DataError(f"no such folder or file: {self._root}", fix="check --data.path") from None
        except (OSError, ValueError) as error:  # ValueError: a null byte in its name
            raise DataError(f"{self._root} cannot be read: {error_reason(error)}", fix="check --data.path") from None
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # such as a pipe, which would be waited for
            raise DataError(f"{self._root} is neither a folder nor a regular file", fix="check --data.path")
        return self.open_source(self._root)

    @property
    def splits(self) -> tuple[Split, ...]:
        """`train`, and `test` if the folder has it."""
        return tuple(self.layout.files)

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the subfolders, or None without subfolders."""
        return self.layout.class_names

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
        lines = [f"{', '.join(f'{split} {len(files):,}' for split, files in self.layout.files.items())}; {classes}"]
        if self.layout.ignored:
            lines.append(f"not pictures by their names, and ignored: {describe_ignored(self.layout.ignored)}")
        if self._unreadable:
            lines.append(self.describe_skipped(self._unreadable))
        lines += [f"all pictures for {split}ing are equal" for split in self._counts if self._all_equal(split)]
        return tuple(f"{self._root}: {line}" for line in lines)

    def resolved(self) -> Options:
        """Return options with an absolute `path`, and with the decision whether pictures are streamed."""
        return self.options.model_copy(
            update={"path": self._root.absolute(), "stream": "yes" if self._streamed else "no"}
        )

    def open(self, split: Split) -> ImageTensors | StreamedImages:
        """Return a split: in memory, decoded once, or as pictures that are decoded when they are read."""
        if split not in self.layout.files:
            raise DataError(
                f"{self._root} has no {split} split; all its pictures are for training",
                fix=f"put some pictures into {self._root / split} and the others into {self._root / 'train'}, or pass "
                "--data.holdout 0.1",
            )
        if self._streamed:
            return StreamedImages(self.image_source, self._readable(split), self.decoding, mirror=self._mirrored(split))
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
        self._counts = {split: len(readable) * (2 if self._mirrored(split) else 1) for split, readable in files.items()}
        names, facts = self.class_names, self.options.model_dump(exclude={"path", "stream"})
        condition = None if names is None else ConditionSpec.classes(len(names))
        return DatasetInfo(
            image=ImageSpec(*self._shape, condition, "uint8" if self._dtype == torch.uint8 else "float32"),
            class_names=names,
            sizes={split: self._counts[split] for split in self.splits},
            fingerprint=fingerprint(self.image_source, files["train"], self._shape, facts),
            name=type(self).__name__,
            source=self.source,
        )

    @cached_property
    def _streamed(self) -> bool:
        """True if image files are read during training."""
        if self.options.stream != "auto":
            return self.options.stream == "yes"
        pictures = sum(len(self._readable(split)) * (2 if self._mirrored(split) else 1) for split in self.splits)
        return too_large(self._dtype.itemsize * math.prod(self._shape) * pictures, machine_memory())

    @property
    def _dtype(self) -> torch.dtype:
        return torch.uint8 if self.options.depth == 8 else torch.float32  # noqa: PLR2004 - bits

    def _mirrored(self, split: Split) -> bool:
        return self.options.mirror and split == "train"

    def _readable(self, split: Split) -> list[tuple[str, int]]:
        """Return pictures and labels of a split, without those whose headers cannot be read."""
        _ = self._shape  # reads the headers
        return [item for item in self.layout.files[split] if item[0] not in self._unreadable]

    @cached_property
    def layout(self) -> Layout:
        """Names and labels of all pictures, with the pictures that are held out. Raises DataError."""
        layout, share = self.image_source.layout, self.options.holdout
        if not share:
            return layout
        if "test" in layout.files:
            raise DataError(f"{self._root} has a test split already", fix="leave out --data.holdout")
        files: dict[Split, list[tuple[str, int]]] = {"train": [], "test": []}
        for index, item in enumerate(layout.files["train"]):
            files["test" if math.floor((index + 1) * share) > math.floor(index * share) else "train"].append(item)
        for split, items in files.items():
            if not items:
                raise DataError(
                    f"--data.holdout {share} leaves no pictures for {split}ing of {len(layout.files['train']):,}",
                    fix="pass a number such as 0.1",
                )
        return replace(layout, files=files)

    @cached_property
    def decoding(self) -> Decoding:
        """Form of the pixels of all pictures. Raises DataError."""
        return self._decoding_as(gray=self._shape[0] == 1)

    def _decoding_as(self, *, gray: bool) -> Decoding:
        options = self.options
        return Decoding(gray, options.size, options.depth, options.fit, options.background)

    @cached_property
    def _shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every picture in every split."""
        names = [name for files in self.layout.files.values() for name, _ in files]
        headers = dict(self._attempt(partial(self.image_source.header, upright=self.options.size is None), names))
        if not headers:
            raise DataError(f"no picture in {self._root} could be read; {self.describe_skipped(self._unreadable)}")
        channels = 1 if self.options.color == "gray" else 3
        if self.options.color == "auto":
            channels = 3 if self._examples(headers, lambda header: header.gray).get(False) else 1
        if self.options.size is not None:
            return channels, self.options.size, self.options.size
        return channels, *self._common_size(headers)

    def _examples(self, headers: Mapping[str, Header], fact: Callable[[Header], Fact]) -> dict[Fact, str]:
        """Return a picture for each value of a fact; of several values only those of a picture that can be decoded."""
        values: dict[Fact, list[str]] = {}
        for name, header in headers.items():
            values.setdefault(fact(header), []).append(name)
        # A damaged picture must not decide, but pictures that are streamed are decoded during training only.
        if len(values) == 1 or self.options.stream == "yes":
            return {value: names[0] for value, names in values.items()}
        examples = {value: next(filter(self._can_be_decoded, names), None) for value, names in values.items()}
        return {value: name for value, name in examples.items() if name is not None}

    def _can_be_decoded(self, name: str) -> bool:
        """Decode a picture, and skip it if that fails."""
        decoding = self._decoding_as(gray=self.options.color == "gray")
        return bool(self._attempt(partial(self.image_source.pixels, decoding=decoding), [name]))

    def _common_size(self, headers: Mapping[str, Header]) -> tuple[int, int]:
        """Return the height and width that all pictures have. Raises DataError for different sizes."""
        sizes = self._examples(headers, lambda header: (header.height, header.width))
        if not sizes:
            raise DataError(f"no picture in {self._root} could be read; {self.describe_skipped(self._unreadable)}")
        if len(sizes) > 1:
            (first, first_name), (second, second_name), *_ = sizes.items()
            raise DataError(
                f"the pictures in {self._root} have {len(sizes):,} different sizes: {first_name} is "
                f"{first[1]}×{first[0]} pixels, {second_name} {second[1]}×{second[0]}",
                fix="pass the side to resize them to, such as --data.size 64",
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
                fix="pass a smaller --data.size, or --data.stream yes",
            ) from error
        slots = {name: slot for slot, name in enumerate(files)}
        source, decoding = self.image_source, self.decoding

        def decode(name: str) -> int:
            images[slots[name]] = source.pixels(name, decoding)
            return slots[name]

        decoded = self._attempt(decode, list(files))
        for target, (_, slot) in enumerate(decoded):
            if target != slot:  # earlier pictures were skipped: close the gap, in place
                images[target] = images[slot]
        self._check_complete(split, {files[name] for name, _ in decoded})
        labels = None if self.class_names is None else torch.tensor([files[name] for name, _ in decoded])
        images = images[: len(decoded)]
        if not self._mirrored(split):
            return ImageTensors(images, labels)
        return ImageTensors(torch.cat([images, images.flip(-1)]), None if labels is None else labels.repeat(2))

    def _check_complete(self, split: Split, labels: set[int]) -> None:
        """Raise DataError if a split, or one of its classes, has lost all its pictures."""
        names, files = self.class_names or ("",), self.layout.files[split]
        for label in sorted({label for _, label in files} - labels):
            whose = f"of class {names[label]!r} " if names[label] else ""
            lost = {name: self._unreadable[name] for name, of in files if of == label}
            raise DataError(
                f"no picture {whose}for {split}ing could be read in {self._root}; {self.describe_skipped(lost)}"
            )

    def _attempt(self, work: Callable[[str], Result], names: list[str]) -> list[tuple[str, Result]]:
        """Return names and results of `work` in order, computed on all cores; errors make a file unreadable."""
        done: list[tuple[str, Result]] = []
        for name, result in read_all(work, names):
            if isinstance(result, Broken):
                self._unreadable[name] = result.reason
            else:
                done.append((name, result))
        return done

    def describe_skipped(self, unreadable: Mapping[str, str]) -> str:
        """Return one line that names the first few unreadable pictures."""
        total = sum(len(files) for files in self.layout.files.values())
        named = [f"{name} ({reason})" for name, reason in list(unreadable.items())[:MAX_NAMED]]
        if len(unreadable) > MAX_NAMED:
            named.append(f"and {len(unreadable) - MAX_NAMED:,} more")
        return f"{len(unreadable):,} of {total:,} pictures could not be read and are skipped: {', '.join(named)}"

    def _all_equal(self, split: Split) -> bool:
        """Return whether a split has several pictures, all equal; of streamed ones, whether their files are."""
        if len(self.layout.files[split]) == 1:
            return False
        if split in self._loaded:
            first, *others = self._loaded[split].images
            return all(torch.equal(first, other) for other in others)
        return equal_images(self.image_source, [name for name, _ in self._readable(split)])

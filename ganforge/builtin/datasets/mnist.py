"""MNIST: all digits from disk or download, else the sample that ships with ganforge."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from ganforge.builtin.datasets.mnist_files import CLASSES, REQUIRED, SHA256, changed_files, download_mnist, read_split
from ganforge.components import Dataset, ImageTensors, Split
from ganforge.errors import DataError
from ganforge.utils.downloads import DownloadError, find_folder, search_places
from ganforge.utils.files import expanded

SAMPLE = Path(__file__).parent / "mnist_sample"
SAMPLE_DESCRIPTION = "the 10,000 + 2,000 digits that ship with ganforge"


@dataclass(frozen=True, slots=True)
class MnistSource:
    """Source of both splits: full or sample, its folder, and a notice if the sample replaces the full one."""

    source: Literal["full", "sample"]
    folder: Path
    notice: str | None = None

    def __str__(self) -> str:
        return f"full MNIST from {self.folder}" if self.source == "full" else f"MNIST: {SAMPLE_DESCRIPTION}"


class Mnist(Dataset):
    """Handwritten digits: images `(N, 1, 28, 28)` uint8, classes 0 to 9.

    The full 60,000 + 10,000 are searched for in `root`, then in the folder of the environment variable GANFORGE_DATA,
    then in the user's cache folder; in torchvision's layout (`MNIST/raw`), in `raw`, or in the folder itself; plain or
    .gz. If none has them, torchvision downloads them into the first of these folders, whole and verified or not at
    all, within two minutes. GANFORGE_OFFLINE=1 forbids the download; files on the disk are used all the same.

    With source `full` it is an error if that fails; `auto` then takes the sample that ships with ganforge, with a
    notice; `sample` looks at neither disk nor network. The choice is made once, for both splits.
    """

    class Options(Dataset.Options):
        """Location of the full MNIST, and whether the sample may replace it."""

        root: Path | None = None
        """Folder that holds MNIST/raw in torchvision's layout; a download goes there too."""
        source: Literal["auto", "full", "sample"] = "auto"
        """full: all 70,000 digits or an error; sample: the 12,000 that ship; auto: full if possible."""

    options: Options
    recommended: ClassVar = {"features": "digits"}

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._source: MnistSource | None = None
        self._loaded: dict[Split, ImageTensors] = {}
        self._changed: list[str] = []

    @property
    def class_names(self) -> tuple[str, ...]:
        """The digits, `0` to `9`."""
        return CLASSES

    @property
    def source(self) -> str:
        """The full MNIST or the sample; known once a split is open."""
        return "" if self._source is None else str(self._source)

    @property
    def notices(self) -> tuple[str, ...]:
        """Notice that the sample replaces the full MNIST, and names of files that are not the original ones."""
        lines = [] if self._source is None or self._source.notice is None else [self._source.notice]
        if self._source is not None and self._changed:
            lines.append(
                f"MNIST: not the original files (their SHA-256 differs), used unchanged: "
                f"{', '.join(self._changed)} in {self._source.folder}"
            )
        return tuple(lines)

    def resolved(self) -> Options:
        """Return options with the chosen `source`, so that a repeated run, from any folder, uses it or fails."""
        root = None if self.options.root is None else expanded(self.options.root).absolute()
        return self.options.model_copy(update={"source": self._choose().source, "root": root})

    def open(self, split: Split) -> ImageTensors:
        """Return a split in memory, read once."""
        if split not in self._loaded:
            source = self._choose()
            images = read_split(source.folder, split)
            if source.source == "full":
                self._changed += changed_files(images, split)
            self._loaded[split] = images
        return self._loaded[split]

    def _choose(self) -> MnistSource:
        """Return the source of both splits, decided at the first call."""
        if self._source is None:
            self._source = MnistSource("sample", SAMPLE) if self.options.source == "sample" else self._search()
        return self._source

    def _search(self) -> MnistSource:
        """Return the full MNIST on disk, else download it, else fall back or raise DataError."""
        folders = search_places(self.options.root)
        for folder, named in folders.items():
            if files := find_folder(folder, REQUIRED, named=named):
                return MnistSource("full", files)
        searched = " or ".join(map(str, folders))
        try:
            return MnistSource("full", download_mnist(next(iter(folders))))
        except DownloadError as error:
            missing = f"are not in {searched} and could not be downloaded: {error}"
            if self.options.source == "full":
                raise DataError(
                    f"no full MNIST: its four files {missing}",
                    fix=f"put torchvision's MNIST folder anywhere and pass --data.root, or set GANFORGE_DATA; it holds "
                    f"MNIST/raw/{next(iter(SHA256))} and so on; or pass --data.source sample: {SAMPLE_DESCRIPTION}",
                ) from error
            return MnistSource(
                "sample",
                SAMPLE,
                f"MNIST: {SAMPLE_DESCRIPTION} (the full 60,000 {missing}; "
                "put torchvision's MNIST folder anywhere and pass --data.root, or set GANFORGE_DATA)",
            )

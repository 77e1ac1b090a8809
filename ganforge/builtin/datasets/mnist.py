"""MNIST: in full from disk or download, else the sample that ships with ganforge."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from ganforge.builtin.datasets.mnist_download import download_mnist
from ganforge.builtin.datasets.mnist_files import CLASSES, SHA256, changed_files, find_files, read_split
from ganforge.components import Dataset, Images, Split
from ganforge.errors import DataError
from ganforge.utils.downloads import DownloadError, expanded, search_places

SAMPLE = Path(__file__).parent / "mnist_sample"
SAMPLE_WORDS = "the 10,000 + 2,000 digits that ship with ganforge"


@dataclass(frozen=True, slots=True)
class Choice:
    """Hold what both splits are read from: full or sample, the folder, and why it is not the full one."""

    source: Literal["full", "sample"]
    folder: Path
    notice: str | None = None

    def __str__(self) -> str:
        if self.notice is not None:
            return self.notice
        return f"full MNIST from {self.folder}" if self.source == "full" else f"MNIST: {SAMPLE_WORDS}"


class Mnist(Dataset):
    """Handwritten digits: pixels `(N, 1, 28, 28)`, labels 0 to 9.

    The full 60,000 + 10,000 are looked for in `root`, then in the folder that the environment variable GANFORGE_DATA
    names, then in the user's cache folder; in torchvision's layout (`MNIST/raw`), in `raw`, or in the folder itself;
    plain or .gz. If none has them, torchvision downloads them into the first of these folders, whole and verified or
    not at all, within two minutes at most.
    GANFORGE_OFFLINE=1 forbids the download; what is on the disk is used all the same.

    source: `full` fails where that fails; `auto` then takes the sample that ships with ganforge, and says so; `sample`
    looks at neither disk nor network. The choice is made once, for both splits.
    """

    class Options(Dataset.Options):
        """Where the full MNIST lies or goes, and whether the sample may stand in for it."""

        root: Path | None = None
        """The folder that holds MNIST/raw, as torchvision lays it out; a download goes there too."""
        source: Literal["auto", "full", "sample"] = "auto"
        """full: all 70,000 digits or an error; sample: the 12,000 that ship; auto: full where possible."""

    options: Options
    recommended: ClassVar = {"features": "digits"}

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._choice: Choice | None = None
        self._loaded: dict[Split, Images] = {}
        self._changed: list[str] = []

    @property
    def class_names(self) -> tuple[str, ...]:
        """The digits, `0` to `9`."""
        return CLASSES

    @property
    def source(self) -> str:
        """Say whether it is the full MNIST or the sample, and why; known once a split is loaded."""
        return "" if self._choice is None else str(self._choice)

    @property
    def notices(self) -> tuple[str, ...]:
        """Say that the sample stands in for the full MNIST, and which files are not the original ones."""
        lines = [] if self._choice is None or self._choice.notice is None else [self._choice.notice]
        if self._choice is not None and self._changed:
            lines.append(
                f"MNIST: not the original files (their SHA-256 differs), used as they are: "
                f"{', '.join(self._changed)} in {self._choice.folder}"
            )
        return tuple(lines)

    def resolved(self) -> Options:
        """Return options whose `source` is what was used, so that a repeated run, from any folder, uses it or fails."""
        root = None if self.options.root is None else expanded(self.options.root).absolute()
        return self.options.model_copy(update={"source": self._chosen().source, "root": root})

    def load(self, split: Split) -> Images:
        """Return a whole split; read once. Raises DataError."""
        if split not in self._loaded:
            choice = self._chosen()
            images = read_split(choice.folder, split)
            if choice.source == "full":
                self._changed += changed_files(images, split)
            self._loaded[split] = images
        return self._loaded[split]

    def _chosen(self) -> Choice:
        """Return what both splits are read from; decided at the first call."""
        if self._choice is None:
            self._choice = Choice("sample", SAMPLE) if self.options.source == "sample" else self._look()
        return self._choice

    def _look(self) -> Choice:
        """Find the full MNIST on disk, else download it, else fall back or raise DataError."""
        places = search_places(self.options.root)
        for place, named in places.items():
            if folder := find_files(place, named=named):
                return Choice("full", folder)
        looked = " or ".join(str(place) for place in places)
        try:
            return Choice("full", download_mnist(next(iter(places))))
        except DownloadError as error:
            missing = f"are not in {looked} and could not be downloaded: {error}"
            if self.options.source == "full":
                raise DataError(
                    f"no full MNIST: its four files {missing}",
                    fix=f"Put torchvision's MNIST folder anywhere and pass --data.root, or set GANFORGE_DATA; it holds "
                    f"MNIST/raw/{next(iter(SHA256))} and so on. Or pass --data.source sample: {SAMPLE_WORDS}.",
                ) from error
            return Choice(
                "sample",
                SAMPLE,
                f"MNIST: {SAMPLE_WORDS} (the full 60,000 {missing}; "
                "put torchvision's MNIST folder anywhere and pass --data.root, or set GANFORGE_DATA)",
            )

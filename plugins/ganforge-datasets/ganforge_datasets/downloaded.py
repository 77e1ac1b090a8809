"""What the data sets that torchvision knows have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import ClassVar

from torchvision.datasets.utils import check_integrity

from ganforge import Dataset, Images
from ganforge.errors import DataError
from ganforge.utils.downloads import Wanted
from ganforge_datasets.locating import Remote, locate

#: A download that is slower than this is given up.
MEGABYTES_PER_SECOND = 0.5
LEAST_SECONDS = 60.0


class Downloaded(Dataset):
    """Look for data in torchvision's layout, else let torchvision download it.

    It is looked for in `root`, then in the folder that the environment variable GANFORGE_DATA names, then in the user's
    cache folder. If none has it, torchvision downloads it into the first of these folders, whole and verified or not at
    all, within a time that fits its size. GANFORGE_OFFLINE=1 forbids the download.
    """

    class Options(Dataset.Options):
        """Where the data lies or goes."""

        root: Path | None = None
        """The folder that holds the data as torchvision lays it out; a download goes there too."""

    options: Options

    #: What people call it, and how much is downloaded.
    title: ClassVar[str]
    megabytes: ClassVar[int]
    #: Where its files lie below the root.
    folder: ClassVar[str]

    @property
    @abstractmethod
    def checksums(self) -> Mapping[str, str | None]:
        """The files, or folders, that are needed, and the MD5 of those of which torchvision knows it."""

    @property
    @abstractmethod
    def addresses(self) -> tuple[str, ...]:
        """Where torchvision downloads it from."""

    @classmethod
    @abstractmethod
    def fetch(cls, root: Path, *arguments: str) -> None:
        """Let torchvision download into `root`, and remove the archives; runs in a process of its own."""

    @cached_property
    def root(self) -> Path:
        """The folder that holds the data in torchvision's layout. Raises DataError."""
        return locate(self.options.root, self._remote())

    @property
    def source(self) -> str:
        """Say which folder it was; known once a split is loaded or `info` asked for."""
        return f"{self.title} from {self.root / self.folder}" if "root" in vars(self) else ""

    def resolved(self) -> Options:
        """Return options whose `root` is the folder that was found, from whichever working folder."""
        return self.options.model_copy(update={"root": self.root.absolute()})

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Turn whatever torchvision raises for files that it cannot read into a DataError that names the file."""
        try:
            yield
        except DataError:
            raise
        except Exception as error:  # its readers let through whatever pickle, scipy and the disk raise
            for name, md5 in self.checksums.items():
                if problem := _problem(self.root / self.folder / name, md5):
                    raise DataError(problem, fix=self.renew) from error
            words = str(error) or type(error).__name__
            raise DataError(f"{self.root / self.folder} cannot be read: {words}", fix=self.renew) from error

    @property
    def renew(self) -> str:
        """What to do with a file that is damaged."""
        return "Replace it with a whole copy of the original, or remove it and the others to have all downloaded anew."

    def _remote(self) -> Remote:
        names = tuple(self.checksums)
        paths = ", ".join(str(PurePosixPath(self.folder, name)) for name in names)
        return Remote(
            wanted=Wanted(title=self.title, layouts=(self.folder,), names=names),
            fetcher=type(self),
            addresses=self.addresses,
            seconds=LEAST_SECONDS + self.megabytes / MEGABYTES_PER_SECOND,
            size=f"{self.megabytes:,} MB",
            fix="Put torchvision's files anywhere, and pass --data.root or set GANFORGE_DATA to the folder that holds "
            f"{paths}.",
        )


class LoadedWhole(Downloaded):
    """Read each split once, into memory."""

    def __init__(self, options: Downloaded.Options) -> None:
        super().__init__(options)
        self._loaded: dict[str, Images] = {}

    @abstractmethod
    def read(self, split: str) -> Images:
        """Read a whole split from `root`. Raises DataError, or whatever torchvision raises."""

    def load(self, split: str) -> Images:
        """Return a whole split. Raises DataError that names the file that is missing or damaged."""
        if split not in self._loaded:
            with self.reading():
                self._loaded[split] = self.read(split)
        return self._loaded[split]


def _problem(path: Path, md5: str | None) -> str | None:
    """Return what is wrong with a file of which torchvision knows the MD5, or None."""
    if not path.exists():
        return f"{path} is missing"
    if md5 is None:
        return None
    try:
        return None if check_integrity(path, md5) else f"{path} is damaged: it is not the original (MD5)"
    except OSError as error:
        return f"{path} cannot be read: {error.strerror or error}"

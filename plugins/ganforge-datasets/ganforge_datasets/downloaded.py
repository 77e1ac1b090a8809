"""Base of the datasets that torchvision downloads."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import ClassVar

from torchvision.datasets.utils import check_integrity

from ganforge import Dataset, ImageTensors
from ganforge.errors import DataError
from ganforge.utils.downloads import RequiredFiles
from ganforge.utils.files import error_reason
from ganforge_datasets.locating import Remote, locate

#: A slower download is aborted.
MIN_MEGABYTES_PER_SECOND = 0.5
MIN_SECONDS = 60.0


class Downloaded(Dataset):
    """Dataset in torchvision's layout, on disk or downloaded by torchvision.

    It is searched for in `root`, then in the folder of the environment variable GANFORGE_DATA, then in the user's cache
    folder. If none has it, torchvision downloads it into the first of these folders, whole and verified or not at all,
    within a time that fits its size. GANFORGE_OFFLINE=1 forbids the download.

    Attributes:
        title: Name for messages.
        megabytes: Size of the download.
        folder: Folder of the files below the root.
    """

    class Options(Dataset.Options):
        """Location of the data."""

        root: Path | None = None
        """Folder that holds the data in torchvision's layout; a download goes there too."""

    options: Options

    title: ClassVar[str]
    megabytes: ClassVar[int]
    folder: ClassVar[str]

    @property
    @abstractmethod
    def checksums(self) -> Mapping[str, str | None]:
        """Required files and folders, each with its MD5 if torchvision has one."""

    @property
    @abstractmethod
    def addresses(self) -> tuple[str, ...]:
        """Addresses that torchvision downloads from."""

    @classmethod
    @abstractmethod
    def fetch(cls, root: Path, *arguments: str) -> None:
        """Download into `root` with torchvision, and remove the archives; runs in a separate process."""

    @cached_property
    def root(self) -> Path:
        """Folder that holds the data in torchvision's layout. Raises DataError."""
        return locate(self.options.root, self._remote())

    @property
    def source(self) -> str:
        """The folder; known once a split is open or `info` was read."""
        return f"{self.title} from {self.root / self.folder}" if "root" in vars(self) else ""

    def resolved(self) -> Options:
        """Return options with the absolute `root`, valid in every working folder."""
        return self.options.model_copy(update={"root": self.root.absolute()})

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Turn any error of torchvision's readers into a DataError that names the file."""
        try:
            yield
        except DataError:
            raise
        except Exception as error:  # its readers let through any error of pickle, scipy and the disk
            for name, md5 in self.checksums.items():
                if problem := _problem(self.root / self.folder / name, md5):
                    raise DataError(problem, fix=self.renew) from error
            words = str(error) or type(error).__name__
            raise DataError(f"{self.root / self.folder} cannot be read: {words}", fix=self.renew) from error

    @property
    def renew(self) -> str:
        """Fix for a damaged file."""
        return "replace it with a whole copy of the original, or remove it and the others to download all again"

    def _remote(self) -> Remote:
        names = tuple(self.checksums)
        paths = ", ".join(str(PurePosixPath(self.folder, name)) for name in names)
        return Remote(
            required=RequiredFiles(title=self.title, layouts=(self.folder,), names=names),
            fetcher=type(self),
            addresses=self.addresses,
            seconds=MIN_SECONDS + self.megabytes / MIN_MEGABYTES_PER_SECOND,
            size=f"{self.megabytes:,} MB",
            fix="put torchvision's files anywhere, and pass --data.root or set GANFORGE_DATA to the folder that holds "
            f"{paths}",
        )


class DownloadedInMemory(Downloaded):
    """Downloaded dataset whose splits are read once, into memory."""

    def __init__(self, options: Downloaded.Options) -> None:
        super().__init__(options)
        self._loaded: dict[str, ImageTensors] = {}

    @abstractmethod
    def read(self, split: str) -> ImageTensors:
        """Return a split, read from `root`. Raises DataError, or any error of torchvision."""

    def open(self, split: str) -> ImageTensors:
        """Return a split in memory. Raises DataError that names a missing or damaged file."""
        if split not in self._loaded:
            with self.reading():
                self._loaded[split] = self.read(split)
        return self._loaded[split]


def _problem(path: Path, md5: str | None) -> str | None:
    """Return the problem of a file whose MD5 torchvision has, or None."""
    if not path.exists():
        return f"{path} is missing"
    if md5 is None:
        return None
    try:
        return None if check_integrity(path, md5) else f"{path} is damaged: it is not the original (MD5)"
    except OSError as error:
        return f"{path} cannot be read: {error_reason(error)}"

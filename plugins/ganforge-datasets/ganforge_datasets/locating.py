"""Find data on this machine, else download it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from ganforge.errors import DataError
from ganforge.utils.downloads import DownloadError, Wanted, download, find_folder, search_places
from ganforge_datasets.fetch import FILES

#: Starts the process that downloads, before its arguments; -P: files in the working folder are not its modules.
FETCHER = (sys.executable, "-P", "-m", "ganforge_datasets.fetch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """Say what is to be found, and how it is downloaded.

    wanted: its files; a download goes where the first layout says. fetcher: the class whose `fetch` downloads it.
    arguments: what `fetch` is given beside the root. addresses: where it comes from. seconds: the limit. size: in
    words. fix: what to do where it is neither found nor downloaded.
    """

    wanted: Wanted
    fetcher: type
    addresses: tuple[str, ...]
    seconds: float
    size: str
    fix: str
    arguments: tuple[str, ...] = ()


def locate(root: Path | None, remote: Remote) -> Path:
    """Return the folder that holds the data: `root`, GANFORGE_DATA or the user's cache, in this order.

    Where none has it, it is downloaded into the first of them. Raises DataError.
    """
    places = search_places(root)
    for place, named in places.items():
        if find_folder(place, remote.wanted, named=named) is not None:
            return place
    first, title, folder = next(iter(places)), remote.wanted.title, remote.wanted.layouts[0]
    try:
        download(
            FETCHER,
            f"{remote.fetcher.__module__}:{remote.fetcher.__qualname__}",
            *remote.arguments,
            root=first,
            folder=folder,
            fetched=f"{FILES}/{folder}",
            addresses=remote.addresses,
            seconds=remote.seconds,
            announcement=f"downloading {title} ({remote.size}) into {first}; "
            f"this is given up after {remote.seconds / 60:.0f} minutes",
        )
    except DownloadError as error:
        looked = " or ".join(map(str, places))
        raise DataError(
            f"no {title}: its files are not in {looked} and could not be downloaded: {error}", fix=remote.fix
        ) from error
    return first

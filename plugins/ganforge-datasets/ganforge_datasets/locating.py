"""Location of data on this machine, with a download as the fallback."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from ganforge.errors import DataError
from ganforge.utils.downloads import DownloadError, RequiredFiles, download, find_folder, search_places
from ganforge_datasets.fetch import FILES

#: Command of the process that downloads; -P keeps files in the working folder from being imported.
FETCHER = (sys.executable, "-P", "-m", "ganforge_datasets.fetch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """Files of a dataset and their download.

    Attributes:
        required: The files; a download uses the first layout.
        fetcher: Class whose `fetch` downloads them.
        addresses: Addresses that it downloads from.
        seconds: Limit of the download.
        size: Size of the download, for messages.
        fix: Fix if the files are missing and cannot be downloaded.
        arguments: Further arguments of `fetch`, after the root.
    """

    required: RequiredFiles
    fetcher: type
    addresses: tuple[str, ...]
    seconds: float
    size: str
    fix: str
    arguments: tuple[str, ...] = ()


def locate(root: Path | None, remote: Remote) -> Path:
    """Return the folder that holds the data: `root`, GANFORGE_DATA or the user's cache, in this order.

    If none has it, it is downloaded into the first of them.

    Raises:
        DataError: The data is missing and cannot be downloaded.
    """
    places = search_places(root)
    for place, named in places.items():
        if find_folder(place, remote.required, named=named) is not None:
            return place
    first, title, folder = next(iter(places)), remote.required.title, remote.required.layouts[0]
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
            f"this is aborted after {remote.seconds / 60:.0f} minutes",
        )
    except DownloadError as error:
        searched = " or ".join(map(str, places))
        raise DataError(
            f"no {title}: its files are not in {searched} and could not be downloaded: {error}", fix=remote.fix
        ) from error
    return first

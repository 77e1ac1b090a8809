"""Reading of many images on all cores, in bounded memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from os import cpu_count
from typing import TypeVar

from ganforge.image_files.decoding import describe_error

Result = TypeVar("Result")

#: Images in work at the same time.
CHUNK = 64


@dataclass(frozen=True, slots=True)
class Broken:
    """Picture that cannot be read, and the reason."""

    name: str
    reason: str


def read_all(work: Callable[[str], Result], names: Iterable[str]) -> Iterator[tuple[str, Result | Broken]]:
    """Yield names and results of `work` in order, or the reason why a picture is broken."""

    def guarded(name: str) -> Result | Broken:
        try:
            return work(name)
        except Exception as error:  # noqa: BLE001 - damaged files make Pillow raise nearly any error; all are shown
            return Broken(name, describe_error(error))

    iterator = iter(names)
    with ThreadPoolExecutor(cpu_count()) as pool:
        while chunk := list(islice(iterator, CHUNK)):
            # Pillow warns of odd metadata, and of pictures half as large as those that it refuses.
            with warnings.catch_warnings(action="ignore"):
                results = list(pool.map(guarded, chunk))
            yield from zip(chunk, results, strict=True)

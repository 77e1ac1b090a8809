"""Whose a component is, and what is wrong with a plugin."""

from __future__ import annotations

import sysconfig
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

#: The distribution that the built-in components come from.
OWN_DISTRIBUTION = "ganforge"

LONGEST_LINE = 500

_OWN_FOLDER = Path(__file__).parents[1]
_STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib"))
_PACKAGES = frozenset({"site-packages", "dist-packages"})
_MACHINERY = frozenset({"pluggy", "pydantic", "torch"})


@dataclass(frozen=True, slots=True)
class Source:
    """Say which distribution, or which local file, provides something.

    distribution: its name; a local plugin's file name. version: as installed; `local` for a file. path and sha256: a
    local plugin's alone.
    """

    distribution: str
    version: str
    path: Path | None = None
    sha256: str | None = None

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


@dataclass(frozen=True, slots=True)
class Problem:
    """Say what is wrong with a plugin that was set aside.

    stage: `metadata`, `import`, `hooks`, `components` or `api`, whichever it did not get past. error: one line.
    details: where it comes from, in several lines, for `ganforge doctor`; empty where the error says it all.
    """

    distribution: str
    version: str
    stage: str
    error: str
    details: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as `doctor --json` prints it."""
        return asdict(self)

    def __str__(self) -> str:
        return f"plugin {self.distribution} {self.version} is set aside ({self.stage}): {self.error}"


def one_line(text: str) -> str:
    """Return text on one line that is safe for a terminal: no control characters, and no longer than a person reads."""
    line = "".join(letter for letter in " ".join(text.split()) if letter.isprintable())
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 1]}…"


def explain(error: BaseException, within: Path | None = None) -> str:
    """Return an exception in one line: its type, its message, and the author's line that it comes from.

    That is the last line of its traceback `within` a path, or else the last one that is neither ganforge's own, nor
    torch's or pydantic's, nor Python's.
    """
    try:
        text = one_line(str(error))
    except Exception:  # noqa: BLE001 - a plugin's exception may fail even at this
        text = "an error that cannot be shown"
    summary = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if isinstance(error, SyntaxError):
        return summary  # its message names file and line already
    files = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    for file, line in reversed(files):
        if file.is_relative_to(within) if within is not None else _is_an_authors(file):
            return f"{summary} ({file.name}, line {line})"
    return summary


def trace(error: BaseException) -> str:
    """Return where an exception comes from as Python shows it, but from the author's first line on."""
    frames = traceback.extract_tb(error.__traceback__)
    first = next((index for index, frame in enumerate(frames) if _is_an_authors(Path(frame.filename))), len(frames))
    return "".join(traceback.format_list(frames[first:])).rstrip()


def _is_an_authors(file: Path) -> bool:
    """Whether a line of a traceback is worth showing to whoever wrote the plugin."""
    if file.name.startswith("<"):
        return False
    if file.is_relative_to(_OWN_FOLDER):
        return file.is_relative_to(_OWN_FOLDER / "builtin")
    for position, part in enumerate(file.parts[:-1]):
        if part in _PACKAGES:
            return file.parts[position + 1] not in _MACHINERY
    return not file.is_relative_to(_STANDARD_LIBRARY)

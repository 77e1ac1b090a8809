"""Whose a component is, and what is wrong with a plugin."""

from __future__ import annotations

import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

#: The distribution that the built-in components come from.
OWN_DISTRIBUTION = "ganforge"


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

    stage: `import`, `hooks`, `components` or `api`, whichever it did not get past.
    """

    distribution: str
    version: str
    stage: str
    error: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as `doctor --json` prints it."""
        return asdict(self)

    def __str__(self) -> str:
        return f"plugin {self.distribution} {self.version} is set aside ({self.stage}): {self.error}"


def explain(error: BaseException, within: Path | None = None) -> str:
    """Return an exception in one line: its type, its message, and the last line of it that lies `within` a path."""
    text = " ".join(str(error).split())
    summary = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if isinstance(error, SyntaxError):
        return summary  # its message names file and line already
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        if within is None or Path(frame.filename).is_relative_to(within):
            return f"{summary} ({Path(frame.filename).name}, line {frame.lineno})"
    return summary

"""Source of a component, and problem of a plugin."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

#: Distribution of the built-in components.
OWN_DISTRIBUTION = "ganforge"


def canonical(distribution: str) -> str:
    """Return the normalized name of a distribution (PEP 503); `packaging` would take a tenth of `--help`'s time."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


@dataclass(frozen=True, slots=True)
class Source:
    """Distribution, or local file, that provides something.

    Attributes:
        distribution: Name of the distribution; file name of a local plugin.
        version: Installed version; `local` for a local plugin.
        path: Path of a local plugin, else None.
        sha256: Hash of a local plugin, else None.
        text: Code of a plugin without a file, which a run directory gets, else None.
    """

    distribution: str
    version: str
    path: Path | None = None
    sha256: str | None = None
    text: str | None = None

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


@dataclass(frozen=True, slots=True)
class Problem:
    """Reason why a plugin was skipped.

    Attributes:
        distribution: Name of its distribution.
        version: Version of its distribution.
        stage: Stage that failed: `metadata`, `import`, `hooks`, `components`, `presets`, `commands` or `api`.
        error: Error in one line.
        details: Traceback for `ganforge doctor`; empty if the error is enough.
    """

    distribution: str
    version: str
    stage: str
    error: str
    details: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the problem as `doctor --json` prints it."""
        return asdict(self)

    def __str__(self) -> str:
        return f"plugin {self.distribution} {self.version} is skipped ({self.stage}): {self.error}"

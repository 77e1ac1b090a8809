"""Policy of which installed plugins are loaded, and the time limit of their imports."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

from ganforge.errors import ConfigError
from ganforge.plugins.sources import OWN_DISTRIBUTION, canonical

#: Limit of a plugin's import. Importing torch, which a plugin should do on demand, takes this long on a slow disk.
IMPORT_TIMEOUT_SECONDS = 20.0
#: Interval of further interrupts, for a plugin that swallows the first exception in a loop.
REPEAT_SECONDS = 1.0


def _names(text: str | None) -> frozenset[str] | None:
    if text is None:
        return None
    return frozenset(canonical(name.strip()) for name in text.split(",") if name.strip())


def _seconds(text: str | None) -> float:
    if not text:
        return IMPORT_TIMEOUT_SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ConfigError(f"GANFORGE_PLUGIN_SECONDS is {text!r}; it must be a number of seconds, such as 20")
    return seconds


@dataclass(frozen=True, slots=True)
class Policy:
    """Policy for plugins, by the name of their distribution or of their entry point.

    ganforge's own plugin is only blocked by name.

    Attributes:
        allowed: Names to load, or None for all.
        blocked: Names not to load.
        none: Whether only ganforge's own plugin is loaded.
        strict: Whether the first broken plugin is an error.
        seconds: Limit of one import.
    """

    allowed: frozenset[str] | None = None
    blocked: frozenset[str] = frozenset()
    none: bool = False
    strict: bool = False
    seconds: float = IMPORT_TIMEOUT_SECONDS

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ, *, no_plugins: bool = False) -> Policy:
        """Read `GANFORGE_PLUGINS`, `GANFORGE_DISABLE_PLUGINS`, `GANFORGE_STRICT_PLUGINS` and `GANFORGE_PLUGIN_SECONDS`.

        Raises:
            ConfigError: The seconds are not a number above 0.
        """
        return cls(
            allowed=_names(environment.get("GANFORGE_PLUGINS")),
            blocked=_names(environment.get("GANFORGE_DISABLE_PLUGINS")) or frozenset(),
            none=no_plugins,
            strict=environment.get("GANFORGE_STRICT_PLUGINS", "") not in {"", "0"},
            seconds=_seconds(environment.get("GANFORGE_PLUGIN_SECONDS")),
        )

    def allows(self, distribution: str, entry_point: str) -> bool:
        """Return whether a plugin may be loaded."""
        names = {canonical(distribution), canonical(entry_point)}
        if names & self.blocked:
            return False
        if distribution == OWN_DISTRIBUTION:
            return True
        return not self.none and (self.allowed is None or bool(names & self.allowed))

    def unmatched(self, plugins: Iterable[tuple[str, str]]) -> list[str]:
        """Return the allowed and blocked names that match no plugin, given as (distribution, entry point)."""
        known = {canonical(name) for pair in plugins for name in pair}
        return sorted(((self.allowed or frozenset()) | self.blocked) - known)


class PluginTimeoutError(BaseException):
    """Timeout of a plugin's import; not an Exception, so that a plugin's `except Exception` does not catch it."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise PluginTimeoutError in the running code after a number of seconds, so that a plugin cannot hang a command.

    The limit applies in the main thread of systems with timers (Linux, macOS) only.
    """
    if threading.current_thread() is not threading.main_thread() or sys.platform == "win32":
        yield
        return

    def interrupt(_: int, __: FrameType | None) -> NoReturn:
        raise PluginTimeoutError(f"it took longer than {seconds:g} s")

    previous_handler = signal.signal(signal.SIGALRM, interrupt)
    remaining, interval = signal.setitimer(signal.ITIMER_REAL, seconds, REPEAT_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, remaining, interval)
        signal.signal(signal.SIGALRM, previous_handler)

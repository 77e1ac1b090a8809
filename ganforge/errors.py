"""Every exception that ganforge raises for what people pass in.

GanforgeError                 exit code 1
├── UsageError                2   what was asked cannot be done as asked
│   ├── ConfigError               a key or a value of the configuration
│   ├── UnknownComponentError     a name that nothing provides, or that two provide
│   ├── IncompatibleError         parts that do not fit each other
│   ├── DataError                 pictures that are missing, damaged or not as declared
│   └── RunDirectoryError         a run directory that exists, is locked, or is none
├── PluginError               2   a plugin's fault; the message names the plugin
│   └── StrictPluginError     3   the same, under GANFORGE_STRICT_PLUGINS=1
├── CheckpointError           1   nothing left that can be loaded
└── TrainingError             1   the run itself failed
    ├── DivergedError         1   a loss or a weight is not finite any more
    │   └── CollapsedError    1   the fakes have lost their diversity, and that shall not go on
    └── OutOfMemoryError      1   a batch does not fit into the device's memory
"""

from __future__ import annotations

from typing import ClassVar


class GanforgeError(Exception):
    """Say one thing that went wrong, and how to fix it.

    `message` names what was given and whose it is; `fix`, where there is one, says what to do.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, fix: str | None = None) -> None:
        super().__init__(message if fix is None else f"{message}\n{fix}")
        self.message = message
        self.fix = fix


class UsageError(GanforgeError):
    """Refuse a request that cannot be carried out as it stands."""

    exit_code = 2


class ConfigError(UsageError):
    """Refuse a key or a value of the configuration."""


class UnknownComponentError(UsageError):
    """Refuse a component's name that nothing provides, or that several provide."""


class IncompatibleError(UsageError):
    """Refuse parts that do not fit each other; the message names the part, both shapes or ranges."""


class DataError(UsageError):
    """Refuse data that is missing, damaged, or not as its data set declares it."""


class RunDirectoryError(UsageError):
    """Refuse a run directory that exists already, is in use, or is no run directory."""


class PluginError(GanforgeError):
    """Blame a plugin for what it provides; the message names its distribution."""

    exit_code = 2


class StrictPluginError(PluginError):
    """Stop at the first broken plugin, because GANFORGE_STRICT_PLUGINS=1 asks for it."""

    exit_code = 3


class CheckpointError(GanforgeError):
    """Refuse to go on: no checkpoint is left that can be trusted."""


class TrainingError(GanforgeError):
    """Report that a run failed while it trained."""


class DivergedError(TrainingError):
    """Report that a loss or a weight is no longer finite."""


class CollapsedError(DivergedError):
    """Report that the fakes have lost their diversity, since the step `since_step`."""

    def __init__(self, message: str, *, since_step: int, fix: str | None = None) -> None:
        super().__init__(message, fix=fix)
        self.since_step = since_step


class OutOfMemoryError(TrainingError):
    """Report that a batch does not fit into memory; the fix names the size that does."""

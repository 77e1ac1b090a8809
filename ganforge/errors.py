"""Exceptions about user input, plugins, checkpoints and failed trainings, each with the exit code of its command."""

from __future__ import annotations

from typing import ClassVar

from ganforge.utils.text import as_keywords, printable


class GanforgeError(Exception):
    """Base of all errors of ganforge: one message with the fix, each a printable line.

    As text, the fix names settings by keywords: `num_samples=97` in place of `--num-samples 97`.

    Attributes:
        message: The input, the nearest valid one, and the component at fault.
        fix: How to fix it on the command line, or None.
        exit_code: Exit code of a command that ends with the error.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, fix: str | None = None) -> None:
        self.message = printable(message)
        self.fix = None if fix is None else printable(fix)
        super().__init__("\n".join(filter(None, (self.message, self.fix and as_keywords(self.fix)))))


class UsageError(GanforgeError):
    """Invalid request."""

    exit_code = 2


class ConfigError(UsageError):
    """Invalid key or value of the configuration."""


class UnknownComponentError(UsageError):
    """Unknown name of a component, or a name that several plugins provide."""


class IncompatibleError(UsageError):
    """Components that do not fit together; the message names one, and both shapes or ranges."""


class DataError(UsageError):
    """Data that is missing, damaged, or not as its dataset declares it."""


class TooFewImagesError(DataError):
    """Fewer images than a metric needs.

    Attributes:
        minimum: Images that it needs.
    """

    def __init__(self, message: str, *, minimum: int, fix: str | None = None) -> None:
        self.minimum = minimum
        super().__init__(message, fix=fix or f"compare {minimum} or more: --num-samples {minimum}")


class RunDirectoryError(UsageError):
    """Run directory that exists already, is in use, or is not a run directory."""


class PluginError(GanforgeError):
    """Error of a plugin; the message names its distribution."""

    exit_code = 2


class StrictPluginError(PluginError):
    """First broken plugin, with GANFORGE_STRICT_PLUGINS=1."""

    exit_code = 3


class CheckpointError(GanforgeError):
    """Checkpoint that is damaged or belongs to other components, or no valid checkpoint."""


class TrainingError(GanforgeError):
    """Failed training."""


class DivergedError(TrainingError):
    """Loss or weight that is not finite."""


class CollapsedError(DivergedError):
    """Fakes that have lost their diversity.

    Attributes:
        since_step: Step at which the collapse began.
    """

    def __init__(self, message: str, *, since_step: int, fix: str | None = None) -> None:
        super().__init__(message, fix=fix)
        self.since_step = since_step


class OutOfMemoryError(TrainingError):
    """Batch that does not fit into memory; the fix names the size that does."""

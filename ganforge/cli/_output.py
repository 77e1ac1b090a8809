"""Output of commands: results on stdout, progress and problems on stderr, errors as one message without a traceback."""

from __future__ import annotations

import functools
import json
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from contextvars import ContextVar
from pathlib import Path
from typing import ParamSpec, TextIO, TypeVar

import typer
from rich.console import Console
from rich.markup import escape

from ganforge.errors import GanforgeError, UsageError

P = ParamSpec("P")
R = TypeVar("R")

TRACEBACK = "GANFORGE_TRACEBACK"
INTERRUPTED = 130
_results: ContextVar[TextIO] = ContextVar("results")


def results() -> TextIO:
    """Return the stream for results: stdout at the start of the command."""
    return _results.get(sys.stdout)


def out() -> Console:
    """Return the console for results. In a pipe it neither wraps nor colors."""
    console = Console(file=results())
    return console if console.is_terminal else Console(file=results(), width=200, soft_wrap=True)


def err() -> Console:
    """Return the console for progress and problems."""
    return Console(stderr=True, soft_wrap=True, highlight=False)


def print_json(document: object) -> None:
    """Print one JSON document, and nothing else, to stdout."""
    text = json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n"
    results().write(text.encode("utf-8", "replace").decode("utf-8"))
    results().flush()


def check_output_path(path: Path, *, force: bool) -> None:
    """Raise UsageError for an existing file without `force`, for a folder, and for a file in a missing folder."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder", fix=f"name a file in it, such as {path / 'page.html'}")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is not a regular file", fix="choose another file")
    if path.exists() and not force:
        raise UsageError(f"{path} exists already", fix="choose another file, or pass --force to replace it")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{path} cannot be written: the folder {path.parent} does not exist")


def problem(message: str, fix: str | None = None) -> None:
    """Print an error and its fix to stderr."""
    console = err()
    console.print(f"[bold red]error[/]: {escape(message)}")
    if fix is not None:
        console.print(f"[cyan]→[/] {escape(fix)}")


def notice(message: str) -> None:
    """Print a message for the user to stderr."""
    err().print(f"[yellow]note[/]: {escape(message)}")


def waiting(stage: str, *, quiet: bool) -> AbstractContextManager[object]:
    """Show a spinner with a text while the context is active, on a terminal."""
    console = err()
    return nullcontext() if quiet or not console.is_terminal else console.status(f"[dim]{escape(stage)} …[/]")


def handle_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Decorate a command: every exception becomes one message and an exit code; --traceback shows its origin.

    Output of plugins is redirected to stderr, since stdout is for results.
    """

    @functools.wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        outer = _results.set(results())
        try:
            with redirect_stdout(sys.stderr):
                return command(*args, **kwargs)
        except (typer.Exit, BrokenPipeError):
            raise
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - every exception becomes a message
            raise typer.Exit(_print_error(error)) from None
        finally:
            _results.reset(outer)

    return wrapper


def _print_error(error: BaseException) -> int:
    """Print an exception as one message, and return the exit code."""
    if isinstance(error, KeyboardInterrupt):
        notice("stopped")
        return INTERRUPTED
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    if isinstance(error, GanforgeError):
        problem(error.message, error.fix)
        return error.exit_code
    if isinstance(error, OSError):  # such as a full disk
        problem(f"{error.filename or 'operating system'}: {error.strerror or error}", "--traceback shows the origin")
    else:
        text = " ".join(str(error).split())
        problem(f"{type(error).__name__}: {text}", "a bug of ganforge or of a plugin; --traceback shows its origin")
    return 1

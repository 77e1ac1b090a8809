"""What goes where: results to stdout, progress and problems to stderr; mistakes as one message, never a traceback."""

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
from typing import Any, ParamSpec, TextIO, TypeVar

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
    """Return the stream for results: stdout, as it was when the command began."""
    return _results.get(sys.stdout)


def out() -> Console:
    """Return the console for results. Piped, it neither wraps nor colours."""
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


def check_place(place: Path, *, force: bool) -> None:
    """Raise UsageError where a file is not to be written: it is there, is something else, or has no folder."""
    if place.is_dir():
        raise UsageError(f"{place} is a folder", fix=f"name a file in it, such as {place / 'page.html'}")
    if place.exists() and not place.is_file():
        raise UsageError(f"{place} is no ordinary file", fix="choose another file")
    if place.exists() and not force:
        raise UsageError(f"{place} exists already", fix="choose another file, or pass --force to replace it")
    if not place.absolute().parent.is_dir():
        raise UsageError(f"{place} cannot be written: there is no folder {place.parent}")


def problem(message: str, fix: str | None = None) -> None:
    """Print a problem, and how to fix it, to stderr."""
    console = err()
    console.print(f"[bold red]error[/]: {escape(message)}")
    if fix is not None:
        console.print(f"[cyan]→[/] {escape(fix)}")


def notice(message: str) -> None:
    """Print a line that a person should read to stderr."""
    err().print(f"[yellow]note[/]: {escape(message)}")


def waiting(what: str, *, quiet: bool) -> AbstractContextManager[object]:
    """Show that something takes a moment, on a terminal; nothing of it stays."""
    console = err()
    return nullcontext() if quiet or not console.is_terminal else console.status(f"[dim]{escape(what)} …[/]")


def answering(command: Callable[P, R]) -> Callable[P, R]:
    """Turn whatever a command raises into one message and the right exit code; --traceback shows where it came from.

    What plugins print goes to stderr meanwhile, whenever they do: stdout is for results.
    """

    @functools.wraps(command)
    def answered(*args: P.args, **kwargs: P.kwargs) -> R:
        outer = _results.set(results())
        try:
            with redirect_stdout(sys.stderr):
                return command(*args, **kwargs)
        except (typer.Exit, BrokenPipeError):
            raise
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, a person is told
            raise typer.Exit(_told(error)) from None
        finally:
            _results.reset(outer)

    return answered


def _told(error: BaseException) -> int:
    """Print what went wrong as one message, and return the exit code."""
    if isinstance(error, KeyboardInterrupt):
        notice("stopped")
        return INTERRUPTED
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    if isinstance(error, GanforgeError):
        problem(error.message, error.fix)
        return error.exit_code
    if isinstance(error, OSError):  # such as a disk that is full
        problem(f"{error.filename or 'the system says'}: {error.strerror or error}", "--traceback shows where")
    else:
        text = " ".join(str(error).split())
        problem(f"{type(error).__name__}: {text}", "this should not happen; --traceback shows where it did")
    return 1


def describe_value(value: Any) -> str:  # noqa: ANN401 - an option's default has any type
    """Return a value as it is written on the command line."""
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, default=str)

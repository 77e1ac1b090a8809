"""What goes where: results to stdout, progress and problems to stderr; mistakes as one message, never a traceback."""

from __future__ import annotations

import functools
import json
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.markup import escape

from ganforge.errors import GanforgeError, UsageError

P = ParamSpec("P")
R = TypeVar("R")

TRACEBACK = "GANFORGE_TRACEBACK"
INTERRUPTED = 130


def out() -> Console:
    """Return the console for results. Piped, it neither wraps nor colours."""
    console = Console()
    return console if console.is_terminal else Console(width=200, soft_wrap=True)


def err() -> Console:
    """Return the console for progress and problems."""
    return Console(stderr=True, soft_wrap=True, highlight=False)


def print_json(document: object) -> None:
    """Print one JSON document, and nothing else, to stdout."""
    text = json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n"
    sys.stdout.write(text.encode("utf-8", "replace").decode("utf-8"))
    sys.stdout.flush()


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
    """Turn whatever a command raises into one message and the right exit code; --traceback shows where it came from."""

    @functools.wraps(command)
    def answered(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except typer.Exit:
            raise
        except GanforgeError as error:
            if os.environ.get(TRACEBACK):
                traceback.print_exception(error)
            problem(error.message, error.fix)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            notice("stopped")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            raise
        except Exception as error:
            if os.environ.get(TRACEBACK):
                raise
            text = " ".join(str(error).split())
            problem(f"{type(error).__name__}: {text}", "this should not happen; --traceback shows where it did")
            raise typer.Exit(1) from None

    return answered


def describe_value(value: Any) -> str:  # noqa: ANN401 - an option's default has any type
    """Return a value as it is written on the command line."""
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, default=str)

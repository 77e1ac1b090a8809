"""Output of commands: results on stdout, progress and problems on stderr, errors as one message without a traceback."""

from __future__ import annotations

import errno
import functools
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TextIO, TypeVar

import typer

from ganforge.cli._stdout import share_stdout
from ganforge.errors import GanforgeError, UsageError
from ganforge.plugins.commands import Command
from ganforge.plugins.registry import Registry
from ganforge.plugins.sources import OWN_DISTRIBUTION
from ganforge.utils.files import error_reason
from ganforge.utils.format import format_bytes
from ganforge.utils.signals import SecondSignal
from ganforge.utils.suggest import nearest
from ganforge.utils.text import printable_json, shell_command
from ganforge.utils.tracebacks import single_line, summarize_exception

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]  # as above

if TYPE_CHECKING:
    from ganforge.cli._printer import Printer

P = ParamSpec("P")
R = TypeVar("R")

TRACEBACK = "GANFORGE_TRACEBACK"
INTERRUPTED = 130
PLUGIN_PROBLEMS = 3
#: click's base of errors in arguments; typer may bring its own copy of click.
CLICK_ERROR: type[Exception] = typer.BadParameter.__mro__[2]


#: Fixes of errors of the operating system that the path of a user causes.
PATH_FIXES = {
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOENT: "check the path; a missing folder is created with mkdir -p",
    errno.ENOTDIR: "choose another path: a part of this one is a file",
    errno.EISDIR: "name a file, not a folder",
    errno.EACCES: "choose another path, or change its permissions",
    errno.EPERM: "choose another path, or change its permissions",
    errno.EROFS: "choose a path on a file system that can be written",
    errno.ELOOP: "choose another path: this one is a loop of links",
}


#: Message of Python for a thread that the system refuses.
NO_THREAD = "can't start new thread"
#: Files and folders of a run that no command replaces.
RUN_FILES = frozenset(
    {"run.toml", "run.json", "metrics.jsonl", "evaluation.jsonl", "checkpoints", "components.py", ".lock"}
)
#: Files and folders of a sweep that no command replaces.
SWEEP_FILES = frozenset({"sweep.toml", "plan.json", "search.journal", "trials", ".lock"})
#: Owners of folders, the files that mark them, and those that no command replaces.
OWNERS = (("run", ("run.toml",), RUN_FILES), ("sweep", ("sweep.toml", "trials"), SWEEP_FILES))


@dataclass(frozen=True, slots=True)
class Invocation:
    """Command that runs.

    Attributes:
        name: Name that the user gave.
        stdout: Stream for results.
    """

    name: str
    stdout: TextIO


_invocation: ContextVar[Invocation | None] = ContextVar("invocation", default=None)


def invoked_name() -> str | None:
    """Return the name of the command that runs, as the user gave it."""
    invocation = _invocation.get()
    return None if invocation is None else invocation.name


def results() -> TextIO:
    """Return the stream for results: stdout at the start of the command."""
    invocation = _invocation.get()
    return sys.stdout if invocation is None else invocation.stdout


def out() -> Printer:
    """Return the console for results. In a pipe it neither wraps nor colors."""
    from ganforge.cli._printer import Printer  # rich is slow; lists do without

    console = Printer(file=results(), highlight=False)
    return console if console.is_terminal else Printer(file=results(), width=200, soft_wrap=True, highlight=False)


def err() -> Printer:
    """Return the console for progress and problems."""
    from ganforge.cli._printer import Printer

    return Printer(stderr=True, soft_wrap=True, highlight=False)


def print_json(document: object) -> None:
    """Print one JSON document, and nothing else, to stdout."""
    results().write(printable_json(document, indent=2) + "\n")
    results().flush()


def print_result(document: object, *lines: str, json: bool) -> None:
    """Print the document of `--json`, or lines of markup in its place."""
    if json:
        print_json(document)
    else:
        for line in lines:
            out().print(line)


def check_output_path(path: Path, *, force: bool) -> None:
    """Raise UsageError for an existing file without `force`, for a folder, and for a file in a missing folder."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder", fix=f"name a file in it, such as {path / 'page.html'}")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is not a regular file", fix="choose another file")
    if path.exists() and not force:
        raise UsageError(f"{path} exists already", fix="choose another file, or pass --force to replace it")
    _check_not_of_run(path)
    check_parent(path)


def check_output_folder(path: Path, *, force: bool) -> None:
    """Raise UsageError for an existing folder without `force`, for a file, and for a folder in a missing one."""
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file", fix="name a folder")
    if path.exists() and not force:
        raise UsageError(f"{path} exists already", fix="choose another folder, or pass --force to replace its files")
    _check_not_of_run(path)
    check_parent(path)


def _check_not_of_run(path: Path) -> None:
    """Raise UsageError for a file or a folder that a run or a sweep needs."""
    place = path.resolve()
    for folder in place.parents:
        name = place.relative_to(folder).parts[0]
        for owner, markers, files in OWNERS:
            if name in files and all((folder / marker).exists() for marker in markers):
                raise UsageError(f"{path} belongs to a {owner}, which needs it", fix="choose another path")


def check_parent(path: Path) -> None:
    """Raise UsageError for a file in a missing folder."""
    if not path.absolute().parent.is_dir():
        message = f"{path} cannot be written: the folder {path.parent} does not exist"
        raise UsageError(message, fix=shell_command("mkdir", "-p", path.parent))


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise UsageError, which names the file, for an OSError within the block."""
    try:
        yield
    except OSError as error:
        fix = PATH_FIXES.get(error.errno or 0)
        raise UsageError(f"{path} cannot be written: {error_reason(error)}", fix=fix) from None


def problem(message: str, fix: str | None = None) -> None:
    """Print an error and its fix to stderr."""
    console = err()
    console.message("error", "bold red", f": {message}")
    for line in () if fix is None else fix.split("\n"):
        console.message("→", "cyan", f" {line}")


def notice(*messages: str) -> None:
    """Print messages for the user to stderr."""
    for message in messages:
        err().message("note", "yellow", f": {message}")


def next_command(*arguments: object, registry: Registry | None = None, program: str = "ganforge") -> str:
    """Return a command for the user to paste, with the plugins of the present one if `registry` is given."""
    options: list[object] = []
    if registry is not None:
        options = [option for path in registry.local for option in ("--plugin", path)]
        options += ["--no-plugins"] if registry.no_plugins else []
    return f"{program} {shell_command(*arguments, *options)}"


def waiting(stage: str, *, quiet: bool) -> AbstractContextManager[object]:
    """Show a spinner with a text while the context is active, on a terminal."""
    console = err()
    return nullcontext() if quiet or not console.is_terminal else console.status(f"[dim]{stage} …[/]")


def handle_errors(callback: Callable[P, R], command: Command, name: str) -> Callable[P, R]:
    """Decorate the callback of a command, under the name that the user gave: an exception becomes one message.

    Output of plugins that ganforge's own commands call is redirected to stderr, since stdout is for results; that of
    plugins' commands is theirs.
    """
    is_own = command.source.distribution == OWN_DISTRIBUTION

    @functools.wraps(callback)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        token = _invocation.set(Invocation(name, results()))
        try:
            if not is_own:
                share_stdout()
            with redirect_stdout(sys.stderr) if is_own else nullcontext():
                return callback(*args, **kwargs)
        except (typer.Exit, typer.Abort, CLICK_ERROR, BrokenPipeError):
            raise
        except BaseException as error:
            if not is_own and isinstance(error, SystemExit):
                raise
            raise typer.Exit(print_error(error, None if is_own else command)) from None
        finally:
            _invocation.reset(token)

    return wrapper


def print_error(error: BaseException, command: Command | None = None) -> int:
    """Print an exception, of the command of a plugin if it raised it, as one message, and return the exit code."""
    if isinstance(error, KeyboardInterrupt):
        notice("stopped")
        return int(error.code or 0) if isinstance(error, SecondSignal) else INTERRUPTED
    if os.environ.get(TRACEBACK):
        err().print("".join(traceback.format_exception(error)), markup=False)
    if isinstance(error, GanforgeError):
        problem(error.message, error.fix)
        return error.exit_code
    limit = memory_limit()
    if limit is not None and lacks_memory(error):
        text = f"the memory of a process is limited to {format_bytes(limit)} here: {single_line(str(error))}"
        problem(text, "raise the limit: ulimit -v unlimited")
        return UsageError.exit_code
    if NO_THREAD in str(error):
        problem("no thread can be started: the processes and threads of a user are limited here", "see: ulimit -u")
        return UsageError.exit_code
    if isinstance(error, OSError):
        fix = PATH_FIXES.get(error.errno or 0)
        place = error.filename or "operating system"
        problem(f"{place}: {error_reason(error)}", fix or "--traceback shows the origin")  # such as a full disk
        return 1 if fix is None else UsageError.exit_code
    if command is not None:
        problem(f"{command}: {summarize_exception(error)}", "a bug of the plugin; --traceback shows its origin")
    else:
        text = f"{type(error).__name__}: {single_line(str(error))}"
        problem(text, "a bug of ganforge or of a plugin; --traceback shows its origin")
    return 1


def memory_limit() -> int | None:
    """Return the limit of this process's address space in bytes, such as that of `ulimit -v`, or None."""
    if resource is None:
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def lacks_memory(error: BaseException) -> bool:
    """Return whether memory was refused: to Python, to the loader of a library, or to a thread."""
    refused = ("failed to map segment", "cannot allocate memory", NO_THREAD)
    return isinstance(error, MemoryError) or any(text in str(error).lower() for text in refused)


def print_argument_error(error: Any) -> int:  # noqa: ANN401 - click's own exception, vendored by typer or not
    """Print an error in the arguments, which the parser raises, as all other errors; return the exit code."""
    message = error.format_message().rstrip(".").replace(": Value error, ", ": ")
    if not message:  # the command was called without arguments, and has printed its help
        return int(error.exit_code)
    if "possibilities" in vars(error):
        message = (
            f"invalid option {error.option_name!r}{did_you_mean_option(error.option_name, error.possibilities or ())}"
        )
    fix = None if error.ctx is None else f"{error.ctx.command_path} --help"
    problem(re.sub(r"(^|: )([A-Z])(?=[a-z])", lambda start: start[0].lower(), message), fix)
    return int(error.exit_code)


def did_you_mean_option(option: str, options: Iterable[str]) -> str:
    """Return "; did you mean '--X'?" if an option is similar, else ""."""
    by_name = {option.lstrip("-"): option for option in options}
    match = nearest(option.lstrip("-"), by_name)
    return "" if match is None else f"; did you mean {by_name[match]!r}?"

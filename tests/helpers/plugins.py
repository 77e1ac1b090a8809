"""Real distributions and local plugins, and runs of the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from rich.text import Text

from ganforge.cli.app import app

#: First lines of a plugin's module; its own first line is line 3.
HEADER = "from ganforge import Component, hookimpl\n\n"


def provides(kind: str, name: str, target: str = "no_such_module:NoSuchClass", **more: object) -> str:
    """Return the source of a hook that gives one component; nothing of its target needs to exist to be listed."""
    extra = "".join(f", {key}={value!r}" for key, value in more.items())
    return (
        "@hookimpl\ndef ganforge_components():\n"
        f"    return [Component(kind={kind!r}, name={name!r}, target={target!r}{extra})]\n"
    )


def distribution(
    folder: Path, name: str, source: str, *, version: str = "1.0", value: str | None = None, entry: str = "plugin"
) -> Path:
    """Write an installed distribution, as pip leaves it: a module, METADATA and entry_points.txt; return its folder.

    The module is called as the distribution, with underscores. value: of the entry point, the module by default.
    """
    module = name.replace("-", "_")
    information = folder / f"{module}-{version}.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (information / "entry_points.txt").write_text(f"[ganforge]\n{entry} = {value or module}\n")
    (folder / f"{module}.py").write_text(HEADER + source)
    return folder


def local(path: Path, source: str) -> Path:
    """Write a local plugin's file, and the folders that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEADER + source)
    return path


def in_process(folder: Path, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, in a folder, with nothing set but what is given."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GANFORGE_")}
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "ganforge", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        cwd=folder,
        env={**kept, "COLUMNS": "200", "GANFORGE_OFFLINE": "1", "XDG_CACHE_HOME": str(folder / "cache"), **environment},
    )


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command line within this process, which has imported torch already."""
    words = [str(argument) for argument in arguments]
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        try:
            app(words)
        except SystemExit as end:
            code = end.code
    return subprocess.CompletedProcess(words, int(code or 0), out.getvalue(), err.getvalue())


def shown_on_terminal(columns: int, *arguments: str | Path) -> list[str]:
    """Return the lines that a command prints on a terminal of a width, without colors."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORCE_COLOR", "1")
        patch.setenv("COLUMNS", str(columns))
        return Text.from_ansi(command(*arguments).stdout).plain.splitlines()


def notes(finished: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the notes on stderr, without the word before each."""
    return [line.removeprefix("note: ") for line in finished.stderr.splitlines() if line.startswith("note: ")]

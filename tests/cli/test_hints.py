"""Law of hints: commands in messages can be pasted into a shell."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from ganforge.cli._output import next_command, print_error
from ganforge.errors import UsageError
from ganforge.plugins.registry import Registry
from tests.helpers.plugins import local, provides


def test_commands_in_messages_are_quoted_and_complete(tmp_path: Path) -> None:
    """A path is one argument whatever it holds, and the next command loads the plugins of the present one."""
    plugin = local(tmp_path / "my plugin.py", provides("loss", "odd"))
    registry = Registry.discover([plugin], no_plugins=True)
    line = next_command("resume", Path("a b/$c's"), registry=registry)
    assert "\n" not in line
    assert shlex.split(line) == ["ganforge", "resume", "a b/$c's", "--plugin", str(plugin), "--no-plugins"]
    assert next_command("runs") == "ganforge runs"


def test_a_hint_on_a_narrow_terminal_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A hint is not wrapped, however narrow the terminal is."""
    monkeypatch.setenv("COLUMNS", "20")
    plugin = local(tmp_path / "a long name for a plugin.py", provides("loss", "odd"))
    registry = Registry.discover([plugin], no_plugins=True)
    print_error(UsageError("it failed", fix=next_command("resume", "run", registry=registry)))
    hint = f"→ ganforge resume run --plugin {shlex.quote(str(plugin))} --no-plugins"
    assert hint in capsys.readouterr().err.splitlines()

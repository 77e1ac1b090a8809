"""Laws of command plugins: listed without an import, called by name, and harmless when they are broken."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
import typer

from ganforge.cli._classes import PlainCommand
from ganforge.cli._commands import CORE, all_commands, build
from ganforge.errors import StrictPluginError
from ganforge.plugins import Policy, discover
from ganforge.plugins.registry import Registry
from tests.helpers.plugins import HEADER, command, distribution, in_process, local, notes

HOOK = "@hookimpl\ndef ganforge_commands(app):\n"
#: Module of commands that prints a line to stderr on import.
COMMANDS = '''
import sys
from typing import Annotated
import typer
print("commands are imported", file=sys.stderr)

def stroll(run: Annotated[str, typer.Argument(help="Run directory.")], port: int = 8000) -> None:
    """Stroll through a generator."""
    if run == "nowhere":
        raise typer.BadParameter("no such run")
    if run == "broken":
        1 / 0
    print("strolling", run, port)

app = typer.Typer()

@app.command()
def start() -> None:
    """Start it."""
    print("started")

@app.command()
def stop(now: bool = False) -> None:
    """Stop it."""
    raise RuntimeError("it does not stop")
'''


def adds(name: str, target: str, text: str = "Stroll through a generator.") -> str:
    """Return a line of a hook that adds a command."""
    return f"    app.add_command({name!r}, {target!r}, help={text!r})\n"


@pytest.fixture(autouse=True)
def _forget_modules() -> None:
    """Remove the fake plugins from this process's modules."""
    for name in [name for name in sys.modules if name.startswith(("stroll_", "ganforge_local_"))]:
        del sys.modules[name]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder on this process's path, for installed distributions."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.fixture
def installed(here: Path) -> Path:
    """Install a plugin with a command and a group of commands, in a module of their own."""
    source = HOOK + adds("stroll", "stroll_commands:stroll") + adds("serve", "stroll_commands:app", "Serve it.")
    distribution(here, "stroll-plugin", source, version="1.2")
    (here / "stroll_commands.py").write_text(COMMANDS)
    return here


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process that finds the distributions of a folder."""
    return in_process(folder, *arguments, PYTHONPATH=str(folder), **environment)


def test_own_commands_come_through_the_hook() -> None:
    """The built-in plugin adds these commands; without it they do not exist."""
    names = {each.name for each in discover(Policy(none=True)).commands}
    assert names >= {"report", "sweep", "bench", "interpolate", "latent", "export", "publish", "import-weights", "data"}
    assert CORE.keys().isdisjoint(names)
    assert discover(Policy(blocked=frozenset({"builtin"})), own_only=True).commands == []


def test_help_lines_are_those_of_the_commands() -> None:
    """The line that `ganforge --help` shows without an import is the first one of the command's own help."""
    for each in all_commands(Registry.discover(no_plugins=True)):
        assert build(each, each.name).help == each.help


def test_a_command_is_listed_in_its_own_panel(installed: Path) -> None:
    """`--help` shows a plugin's commands under "Plugins" with its distribution, and imports none of them."""
    finished = run(installed, "--help")
    assert (finished.returncode, finished.stderr) == (0, "")
    own, _, plugins = finished.stdout.partition("\nPlugins:\n")
    assert " sweep " in own
    assert "Stroll through a generator. (stroll-plugin 1.2)" in " ".join(plugins.split())
    assert "Serve it. (stroll-plugin 1.2)" in " ".join(plugins.split())
    assert "stroll" not in run(installed, "--no-plugins", "--help").stdout


@pytest.mark.parametrize("arguments", [("list",), ("list", "--json"), ("run", "--help"), ("sweep", "--help")])
def test_other_commands_do_not_import_it(arguments: tuple[str, ...], installed: Path) -> None:
    """No other command imports the module of a plugin's commands."""
    finished = run(installed, *arguments)
    assert (finished.returncode, finished.stderr) == (0, "")


@pytest.mark.parametrize("arguments", ["--version", "runs .", "compare --help", "report --help"])
def test_commands_without_plugins_read_no_entry_points(arguments: str, installed: Path) -> None:
    """A command that needs no plugins looks at no distribution but ganforge's own."""
    program = (
        "import sys\n"
        "import ganforge.plugins.installed as installed\n"
        "read = installed._text\n"
        "def text(folder, name):\n"
        "    if folder['name'] != 'ganforge': raise SystemExit('entry points are read')\n"
        "    return read(folder, name)\n"
        "installed._text = text\n"
        "from ganforge.cli import main\n"
        "main()\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program, *arguments.split()],
        capture_output=True,
        text=True,
        check=False,
        cwd=installed,
    )
    assert (finished.returncode, "entry points" in finished.stderr) == (0, False)


def test_a_function_becomes_a_command(installed: Path) -> None:
    """A function with Typer's annotations gets arguments and options; stdout is its own."""
    finished = run(installed, "stroll", "runs/1", "--port", "9")
    assert (finished.returncode, finished.stdout) == (0, "strolling runs/1 9\n")
    described = run(installed, "stroll", "--help")
    assert "Run directory." in described.stdout
    for arguments in (("nowhere",), ("x", "--port", "many"), ()):
        finished = run(installed, "stroll", *arguments)
        assert (finished.returncode, finished.stdout) == (2, "")
        assert "error: " in finished.stderr


def test_a_parser_converts_a_text(capsys: pytest.CaptureFixture[str]) -> None:
    """A command may convert texts to texts; an option without a parser has its text."""
    app = typer.Typer()

    @app.command(cls=PlainCommand)
    def echo(name: Annotated[str, typer.Argument(parser=str.upper)], tag: str = "none") -> None:
        """Print the arguments."""
        sys.stdout.write(f"{name} {tag}")

    app(["dcgan", "--tag", "mine"], standalone_mode=False)
    assert capsys.readouterr().out == "DCGAN mine"


def test_a_typer_becomes_a_group(installed: Path) -> None:
    """A `typer.Typer` gets its subcommands; their errors are messages, too."""
    assert run(installed, "serve", "start").stdout == "started\n"
    finished = run(installed, "serve", "stop")
    assert (finished.returncode, finished.stdout) == (1, "")
    assert "error: command 'serve' (stroll-plugin 1.2): RuntimeError: it does not stop" in finished.stderr


def test_an_error_of_a_command_is_one_message(installed: Path) -> None:
    """An exception names command, plugin and the author's line, exit code 1; --traceback shows its origin."""
    finished = run(installed, "stroll", "broken")
    assert finished.returncode == 1
    expected = "error: command 'stroll' (stroll-plugin 1.2): ZeroDivisionError: division by zero (stroll_commands.py"
    assert expected in finished.stderr
    assert "Traceback" not in finished.stderr
    assert "1 / 0" in run(installed, "stroll", "broken", "--traceback").stderr


BROKEN = {
    "missing": ("nowhere:stroll", "cannot be imported from 'nowhere:stroll': ModuleNotFoundError"),
    "no-name": ("stroll_commands:strol", "has no 'strol'; did you mean 'stroll'?"),
    "no-command": ("json:decoder", "is not a command of Typer"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_command_harms_no_other(name: str, here: Path) -> None:
    """Called, it is one message with plugin and fix, exit code 3; everything else works, and `doctor` lists it."""
    target, reason = BROKEN[name]
    distribution(here, "stroll-plugin", HOOK + adds("stroll", target))
    (here / "stroll_commands.py").write_text(COMMANDS)
    finished = command("stroll")
    assert (finished.returncode, finished.stdout) == (3, "")
    assert "command 'stroll' (stroll-plugin 1.0)" in finished.stderr
    assert reason in finished.stderr
    assert "→ ganforge doctor has details" in finished.stderr
    assert "stroll" in command("--help").stdout
    listed = command("list")
    assert (listed.returncode, listed.stderr) == (0, "")
    found = command("doctor", "--json")
    assert found.returncode == 3
    document = json.loads(found.stdout)
    assert [(problem["distribution"], problem["stage"]) for problem in document["problems"]] == [
        ("stroll-plugin", "command")
    ]
    assert {"stroll"} in [set(plugin["commands"]) for plugin in document["plugins"]]


WRONG = {
    "raises": ("    1 / 0\n", "ZeroDivisionError"),
    "twice": (2 * adds("stroll", "a:b"), "command 'stroll' is added twice"),
    "bad-name": (adds("Explore", "a:b"), "command name 'Explore' is not lower-case letters"),
    "bad-target": (adds("stroll", "a.b"), "is neither 'package.module:function' nor"),
    "bad-help": (adds("stroll", "a:b", "two\nlines"), "is not one line of text"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_hook_skips_the_plugin(name: str, here: Path) -> None:
    """A hook that raises or adds what is malformed is a problem of its plugin, at the stage `commands`."""
    body, reason = WRONG[name]
    distribution(here, "stroll-plugin", HOOK + body)
    plugins = discover(Policy())
    (problem,) = plugins.problems
    assert (problem.distribution, problem.stage) == ("stroll-plugin", "commands")
    assert reason in problem.error
    assert {each.source.distribution for each in plugins.commands} == {"ganforge"}
    refused = command("stroll")
    assert refused.returncode == 2
    assert "stroll-plugin (see ganforge doctor)" in " ".join(refused.stderr.replace("│", " ").split())
    with pytest.raises(StrictPluginError):
        discover(Policy(strict=True))


def test_plugins_with_one_command_name(installed: Path) -> None:
    """A command name of two plugins is ambiguous without `distribution/`; both are listed and called with it."""
    distribution(installed, "other-plugin", HOOK + adds("stroll", "stroll_commands:start"))
    refused = run(installed, "stroll", "runs/1")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "2 plugins provide a command 'stroll'" in refused.stderr
    assert "write other-plugin/stroll or stroll-plugin/stroll" in refused.stderr
    assert run(installed, "other-plugin/stroll").stdout == "started\n"
    listed = run(installed, "--help").stdout
    assert "stroll-plugin/stroll" in listed
    assert "another plugin has a command of this name" in listed


def test_a_plugin_with_the_name_of_an_own_command(installed: Path) -> None:
    """A bare name that ganforge's own command has as well is refused when plugins are loaded, and never overridden."""
    distribution(installed, "other-plugin", HOOK + adds("list", "stroll_commands:start"))
    refused = run(installed, "list", "--json")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "write ganforge/list or other-plugin/list" in refused.stderr
    assert run(installed, "other-plugin/list").stdout == "started\n"
    assert json.loads(run(installed, "ganforge/list", "--json").stdout)
    assert json.loads(run(installed, "list", "--json", GANFORGE_DISABLE_PLUGINS="other-plugin").stdout)
    warned = run(installed, "doctor", "--json")
    assert warned.returncode == 0
    assert notes(warned) == ["2 plugins provide a command 'list'; write ganforge/list or other-plugin/list"]


def test_lists_of_plugins_hold_for_commands(installed: Path) -> None:
    """--no-plugins, GANFORGE_PLUGINS and GANFORGE_DISABLE_PLUGINS take commands away as they do components."""
    assert run(installed, "--no-plugins", "stroll", "x").returncode == 2
    assert run(installed, "stroll", "x", GANFORGE_DISABLE_PLUGINS="stroll-plugin").returncode == 2
    assert run(installed, "stroll", "x", GANFORGE_PLUGINS="nothing").returncode == 2
    assert run(installed, "stroll", "x", GANFORGE_PLUGINS="stroll-plugin").returncode == 0


def test_a_local_plugin_has_commands(tmp_path: Path) -> None:
    """`--plugin FILE` before the command loads its commands; what it has else, the command gets as well."""
    (tmp_path / "mine.py").write_text(HEADER + HOOK + adds("stroll", "mine:stroll") + COMMANDS)
    finished = command("--plugin", tmp_path / "mine.py", "stroll", "here")
    assert (finished.returncode, finished.stdout) == (0, "strolling here 8000\n")
    assert "(mine.py local)" in command("--plugin", tmp_path / "mine.py", "--help").stdout
    assert command("stroll", "here").returncode == 2
    source = "@hookimpl\ndef ganforge_components():\n    return [Component(kind='loss', name='odd', target='a:B')]\n"
    listed = command("--plugin", local(tmp_path / "odd.py", source), "list", "loss")
    assert " odd " in listed.stdout


def test_unknown_commands_are_answered_with_the_nearest(installed: Path) -> None:
    """The nearest name is a plugin's or ganforge's own; a renamed command has its present name."""
    for given, meant in (("strol", "stroll"), ("swep", "sweep"), ("matrix", "sweep")):
        refused = run(installed, given)
        assert refused.returncode == 2
        assert f"invalid command {given!r}; did you mean {meant!r}?" in " ".join(refused.stderr.split())


def test_names_of_commands_are_completed(installed: Path) -> None:
    """A shell gets the names of a plugin's commands and their options."""
    for words, expected in (("str", "stroll"), ("sw", "sweep"), ("stroll --p", "--port")):
        finished = subprocess.run(
            [sys.executable, "-c", "import sys; sys.argv[0] = 'ganforge'; from ganforge.cli import main; main()"],
            capture_output=True,
            text=True,
            check=True,
            env={
                "PYTHONPATH": str(installed),
                "PATH": "",
                "_GANFORGE_COMPLETE": "complete_zsh",
                "_TYPER_COMPLETE_ARGS": f"ganforge {words}",
            },
        )
        assert expected in finished.stdout

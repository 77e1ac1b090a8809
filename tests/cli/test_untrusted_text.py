"""Laws of names from outside: commands work with any, and nothing of them controls a terminal, a table or a page."""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.table import Table

from ganforge.cli._printer import Printer, escape
from ganforge.components import ConditionSpec, DatasetInfo, ImageSpec
from ganforge.config import read_document
from ganforge.errors import UsageError
from ganforge.plugins.registry import Registry
from ganforge.runs.conditions import read_condition
from ganforge.training.run_directory import RunDirectory
from ganforge.utils.text import printable
from tests.helpers.image_folders import noise, run_on, save
from tests.helpers.plugins import command, local, provides
from tests.helpers.run_directories import change_json, make_run

Ganforge = Callable[..., subprocess.CompletedProcess[str]]

ROOT = Path(__file__).parents[2]
#: Name of a file with everything that terminals, markup, pages and shells interpret.
HOSTILE = "e\x1b[31m\x9b32m\u202ecod\x07\r\u2028[red]m[:fire:]<b>'\"$(id)` \nerror: forged"
NOT_UTF8 = os.fsdecode(b"n\xff\xfe")
NAMES = pytest.mark.parametrize("name", [HOSTILE, NOT_UTF8], ids=["hostile", "not UTF-8"])
SMALL = "--gen mlp --disc mlp --gen.hidden [8] --disc.hidden [8] --batch-size 5 --steps 4 --precision fp32 --device cpu"
SCORED = "--metric sliced-wasserstein --num-samples 8"


def shown(*arguments: str | Path, code: int = 0) -> str:
    """Return the output of a command, which has the exit code and is printable."""
    done = command(*arguments)
    assert done.returncode == code, done.stderr
    output = done.stdout + done.stderr
    assert all(line.isprintable() for line in output.split("\n")), output
    assert "🔥" not in output
    assert "\nerror: forged" not in output
    return output


@NAMES
def test_every_command_works_with_any_name(name: str, tmp_path: Path) -> None:
    """Runs, folders of pictures, classes and files of any name train, list, report, sample, evaluate and resume."""
    data, run = Path(f"data {name}"), Path("runs", f"run {name}")
    for kind in ("cat", name):
        for index in range(6):
            save(data / kind / f"{index}{name}.png", noise("L", (16, 16)))
    path = ("--data", "folder", "--data.path", data, "--data.size", "16", "--out", run)
    output = shown("run", *SMALL.split(), *SCORED.split(), *path)
    assert f"2 classes (cat, {printable(name)})" in output
    pasted = output[output.index("ganforge sample") :].splitlines()[0]
    words = subprocess.run(["bash", "-c", f"printf '%s\\0' {pasted}"], capture_output=True, check=True).stdout
    assert words.split(b"\0")[2:-1] == [os.fsencode(run)]

    (listed,) = json.loads(shown("runs", "--json"))
    assert Path(listed["path"]) == run
    assert printable(str(run)) in shown("runs")
    sample = json.loads(shown("sample", run, "-n", "2", "--out", f"{name}.png", "--json"))
    assert Path(sample["out"]).is_file()
    assert printable(str(run)) in shown("evaluate", run, "-n", "8")
    assert "after 6 steps" in shown("resume", run, "--steps", "6")
    shown("compare", "runs", "--csv", f"{name}.csv", "--html", f"{name}.html")
    shown("compare", "runs", "--csv", "-")
    shown("report", run)
    shown("export", run, "--to", "weights")
    for page in (run / "report.html", Path(f"{name}.html"), Path(f"{name}.csv"), run / "run.json"):
        text = page.read_text(encoding="utf-8")
        assert all(line.isprintable() for line in text.split("\n")), page
    assert RunDirectory(run).read_experiment().data.options["path"] == str(tmp_path / data)
    assert "no matching" not in shown("runs", "--where", f"data.path={tmp_path / data}")


@NAMES
def test_a_run_needs_a_plugin_and_a_run_of_any_name(name: str, tmp_path: Path) -> None:
    """run.json holds the name of a plugin's file, and that of the run whose weights a run starts from."""
    source = provides("loss", "mine", target="ganforge.builtin.losses.bce:Bce")
    plugin = local(tmp_path / f"{name.replace('/', '')}.py", source)
    words = f"{SMALL} --loss mine --data mnist --data.source sample --plugin".split()
    shown("run", *words, plugin, "--out", f"run {name}")
    shown("run", *words, plugin, "--out", "again", "--init", f"run {name}")
    shown("resume", "again", "--steps", "5", "--plugin", plugin)


@NAMES
def test_a_class_is_found_by_its_name(name: str) -> None:
    """Names of classes are printable, and `--condition` takes them as they are shown, or as the folder is named."""
    image = ImageSpec(1, 4, 4, ConditionSpec.classes(2))
    info = DatasetInfo(image, class_names=("cat", name), sizes={"train": 1}, fingerprint="", source=name)
    assert info.class_names == ("cat", printable(name))
    assert read_condition([name, printable(name)], info).tolist() == [1, 1]


@NAMES
@pytest.mark.parametrize(
    "arguments",
    [
        ("resume", "NAME"),
        ("runs", "NAME"),
        ("runs", ".", "--where", "NAME"),
        ("run", "--config", "NAME"),
        ("run", "--NAME"),
        ("run", "--gen", "NAME"),
        ("run", "--set", "NAME=1"),
        ("run", "--plugin", "NAME"),
        ("run", "--data", "folder", "--data.path", "NAME"),
        ("NAME",),
        ("describe", "gen", "NAME"),
        ("check", "NAME"),
        ("new-plugin", "NAME", "--kind", "loss"),
        ("sweep", "--sweep", "NAME"),
    ],
    ids=" ".join,
)
def test_messages_quote_any_text(name: str, arguments: tuple[str, ...]) -> None:
    """A message about an argument is printable, whichever part of the command line it is."""
    shown(*(argument.replace("NAME", name) for argument in arguments), code=2)


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "utf-8:strict"},
        {"PYTHONIOENCODING": "ascii:strict"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=["utf-8", "ascii", "C"],
)
def test_streams_that_refuse_letters(environment: dict[str, str], tmp_path: Path, ganforge: Ganforge) -> None:
    """With a strict stdout, or one of ASCII, runs of any name are listed, and JSON has their exact paths."""
    names = {NOT_UTF8, "숫자 ×"}
    for name in names:
        make_run(tmp_path / "runs" / name)
    table = ganforge("runs", **environment)
    assert (table.returncode, len(table.stdout.splitlines())) == (0, 3)
    document = ganforge("runs", "--json", **environment)
    listed = {os.fsencode(run["path"]) for run in json.loads(document.stdout)}
    if "LC_ALL" not in environment:
        assert listed == {os.fsencode(f"runs/{name}") for name in names}
    assert ganforge("report", "runs", **environment).returncode == 0


def test_a_plugin_cannot_control_the_terminal(tmp_path: Path) -> None:
    """Texts of a plugin, its file's name and its exceptions are printable wherever they are shown."""
    source = provides("loss", "mine", summary="[red]a[/] :fire: \u202eb", paper="\u2066c", tags=("\u200fd",))
    plugin = local(tmp_path / f"{HOSTILE.replace('/', '')}.py", source)
    broken = local(tmp_path / f"broken{HOSTILE}.py", f"raise ValueError({HOSTILE!r})\n")
    for arguments in (("list",), ("list", "--json"), ("doctor",), ("describe", "loss", "mine")):
        shown(*arguments, "--plugin", plugin, code={"list": 0, "doctor": 3}.get(arguments[0], 2))
    assert "ValueError" in shown("list", "--plugin", broken, code=2)


def test_a_manifest_cannot_control_the_terminal(tmp_path: Path) -> None:
    """Text in run.json is printable in tables, pages and comparisons."""
    for folder in ("a", "b"):
        run = make_run(tmp_path / "runs" / folder)
        change_json(run / "run.json", components={"gen": HOSTILE, "loss": HOSTILE + folder}, precision=HOSTILE)
        change_json(run / "run.json", error=HOSTILE, device=HOSTILE, status="failed")
    for arguments in (("runs",), ("runs", "--json"), ("compare", "runs"), ("compare", "runs", "--json")):
        shown(*arguments)
    shown("report", "runs/a")
    shown("report", "runs")
    for page in (tmp_path / "runs/a/report.html", tmp_path / "runs/report.html"):
        assert all(line.isprintable() for line in page.read_text(encoding="utf-8").split("\n"))


def test_printed_commands_have_the_plugins_of_the_run(tmp_path: Path) -> None:
    """A command that a message proposes names the local plugins in run.json, quoted."""
    run = make_run(tmp_path / "my run")
    with pytest.raises(UsageError) as raised:
        RunDirectory.check_new(run)
    assert raised.value.fix is not None
    words = shlex.split(raised.value.fix.removeprefix("resume it: ").partition(";")[0])
    assert words == ["ganforge", "resume", str(run), "--plugin", "/home/me/loud gan.py"]


def test_a_run_of_any_name_can_be_repeated(tmp_path: Path, registry: Registry) -> None:
    """run.toml has the bytes of paths that are not UTF-8, and repeats the run."""
    data = tmp_path / NOT_UTF8
    for index in range(12):
        save(data / f"{index}.png", noise("RGB", (16, 16)))
    first = run_on(data, tmp_path / "first", registry)
    assert read_document(first.config)["data"]["folder"]["path"] == str(data)
    shown("run", "--config", first.config, "--out", tmp_path / "second")
    names = ("samples/step-00000006.png", "checkpoints/step-00000006/generator.safetensors")
    assert all((tmp_path / "second" / name).read_bytes() == (first.path / name).read_bytes() for name in names)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.text(max_size=40), st.sampled_from([None, 20, 200]))
def test_a_printer_prints_any_text(text: str, width: int | None) -> None:
    """Text in lines, markup, cells and titles is printable, on terminals and elsewhere; commands stay in one line."""
    stream = io.StringIO()
    console = Printer(file=stream, width=width, color_system=None, force_terminal=width is not None)
    table = Table(escape(text), title=escape(text))
    table.add_row(escape(text), text.replace("[", "("))
    console.print(table)
    console.print(text, markup=False)
    console.print(f"[bold]{escape(text)}[/]")
    console.message("note", "yellow", text)
    lines = stream.getvalue().split("\n")
    assert all(line.isprintable() for line in lines)
    assert lines[-3].rstrip() == printable(text).rstrip()
    assert lines[-2].rstrip() == f"note{printable(text)}".rstrip()


def test_there_is_one_printer() -> None:
    """No command uses rich's own escape, which leaves control characters and emoji."""
    for file in (ROOT / "ganforge").rglob("*.py"):
        if file.name != "_printer.py":
            assert "rich.markup" not in file.read_text(encoding="utf-8"), file


def test_tracebacks_are_printable() -> None:
    """A traceback that the user requests cannot control the terminal either."""
    arguments = [sys.executable, "-m", "ganforge", "runs", HOSTILE, "--traceback"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=ROOT)
    assert "Traceback" in done.stderr
    assert all(line.isprintable() for line in done.stderr.split("\n"))

"""Laws of errors in arguments: one style, the nearest name, exit code 2; and of the help of arguments."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ganforge.cli._output import print_error
from tests.helpers.plugins import command, in_process, local

#: Arguments, and the error: names of other trainers, names without flags, and mistyped or missing ones.
ERRORS = {
    "run --lr 1e-4": "invalid option '--lr'; did you mean '--optimizer.lr'?",
    "run --num-workers 4": "invalid option '--num-workers'; did you mean '--workers'?",
    "run --gpu 0": "invalid option '--gpu'; did you mean '--device'?",
    "run --critic-step 5": "invalid option '--critic-step'; did you mean '--critic-steps'?",
    "run --ema 0.999": "invalid option '--ema'; did you mean '--ema-halflife-images'?",
    "sample a-run --count 5": "invalid option '--count'; did you mean '--num-samples'?",
    "run --image-size 64": "invalid option '--image-size'; did you mean '--data.size'?",
    "run --lossy bce": "invalid option '--lossy'; did you mean '--loss'?",
    "run --trunc 3": "invalid option '--trunc'",
    "run -x": "invalid option '-x'",
    "run mlp mlp mnist": "unexpected argument 'mlp'; did you mean --gen mlp --disc mlp --data mnist?",
    "run dcgan huge": "unexpected argument 'dcgan'; components are named by flags, such as --gen dcgan --data mnist",
    "sample a-run another": "unexpected argument 'another'",
    "run --epochs": "option '--epochs' requires an argument",
    "run --gen mlp --gen dcgan": "--gen has 2 values: mlp, dcgan",
    "run --set features=raw --features pixels": "--features has 2 values: raw, pixels",
    "run --term a --quiet --term b -q": "no term 'a'",
    "sweep --epoch 2": "invalid option '--epoch'; did you mean '--epochs'?",
    "list --jsn": "invalid option '--jsn'; did you mean '--json'?",
    "resume": "missing argument 'RUN'",
    "resume a-run --steps many": "invalid value for '--steps': input should be a valid integer",
    "export a-run --to tensorflow": "invalid value for '--to': 'tensorflow' is not one of 'onnx', 'torch'",
    "train": "invalid command 'train'; did you mean 'run'?",
    "version": "invalid command 'version'; did you mean '--version'?",
    "smaple": "invalid command 'smaple'; did you mean 'sample'?",
    "--verbose": "invalid option '--verbose'",
}


@pytest.mark.parametrize("arguments", ERRORS)
def test_errors_in_arguments_have_one_style(arguments: str) -> None:
    """An error in arguments is `error: …`, as every other, with the nearest name; the exit code is 2."""
    finished = command(*arguments.split())
    assert (finished.returncode, finished.stdout) == (2, "")
    lines = finished.stderr.splitlines()
    assert lines[0].startswith(f"error: {ERRORS[arguments]}")
    assert all(line.startswith("→ ") for line in lines[1:])


def test_the_fix_of_a_repeated_component_is_a_sweep() -> None:
    """Two components of a kind are compared by the sweep that the error shows, which can be pasted."""
    assert command("run", "--gen", "mlp", "--gen", "dcgan").stderr.splitlines()[1].endswith("sweep --gen mlp,dcgan")
    shown = command("sweep", "--gen", "mlp,dcgan", "--data", "mnist", "--data.source", "sample", "--dry-run")
    assert shown.returncode == 0, shown.stderr


@pytest.mark.parametrize(
    "name",
    [
        "",
        "run",
        "list",
        "resume",
        "describe",
        "runs",
        "compare",
        "check",
        "data",
        "data info",
        "latent",
        "latent mix",
        "move",
    ],
)
def test_help_has_no_types_and_no_double_brackets(name: str) -> None:
    """A flag without a value and an argument have no type in the help, and arguments are written as in the docs."""
    shown = command(*name.split(), "--help").stdout
    assert "--help" in shown
    assert not re.search(r"<\w+(\[\w+\])?>", shown)
    usage = next(line for line in shown.splitlines() if "Usage:" in line)
    assert "[[" not in usage
    assert "{" not in usage


@pytest.mark.parametrize("arguments", ["run --steps 1 --out", "resume", "sample", "report", "runs", "compare"])
def test_a_path_that_is_too_long(arguments: str) -> None:
    """A name that the file system does not allow is one message with a fix and exit code 2."""
    finished = command(*arguments.split(), "n" * 300)
    assert finished.returncode == 2
    assert "File name too long" in finished.stderr
    assert finished.stderr.endswith("→ choose a shorter name\n")


#: The command line, started without a search for modules in the current folder.
PROGRAM = "import sys; sys.argv[0] = 'ganforge'; from ganforge.cli import main; main()"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc")
def test_closed_streams_become_no_files(tmp_path: Path) -> None:
    """A file that a run opens does not get the number of a closed stream, which native libraries write to.

    Python's streams exist.
    """
    program = (
        "import os, sys; sys.argv = ['ganforge', '--version']; from ganforge.cli import main\n"
        "try: main()\n"
        "finally:\n"
        "    sys.stderr.write('more')\n"
        "    places = [os.readlink(f'/proc/self/fd/{number}') for number in range(3)]\n"
        "    open('streams', 'w').write(' '.join(places))"
    )
    line = f"exec {shlex.join((sys.executable, '-c', program))} <&- >&- 2>&-"
    assert subprocess.run(["bash", "-c", line], check=False, cwd=tmp_path).returncode == 0
    assert (tmp_path / "streams").read_text() == "/dev/null /dev/null /dev/null"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps the current folder of a process")
def test_a_deleted_current_folder_is_one_message(tmp_path: Path) -> None:
    """The error comes before torch is imported, which would end the process."""
    line = f"mkdir gone; cd gone; rmdir ../gone; exec {shlex.join((sys.executable, '-c', PROGRAM, 'doctor'))}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: the current folder no longer exists\n→ change to another: cd ~\n"


@pytest.mark.skipif(sys.platform == "win32", reason="limits of memory are set by ulimit, as on Linux and macOS")
def test_a_small_limit_of_memory_is_one_message(tmp_path: Path) -> None:
    """`ulimit -v` below what torch needs is named with its size and fix, whatever fails first; the exit code is 2."""
    words = (sys.executable, "-c", PROGRAM, "run", "--gen", "mlp", "--disc", "mlp", "--steps", "1")
    line = f"ulimit -v 1500000; exec {shlex.join(words)}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    message, fix = done.stderr.splitlines()
    assert message.startswith("error: the memory of a process is limited to 1.4 GiB here: ")
    assert fix == "→ raise the limit: ulimit -v unlimited"


def test_a_limit_of_threads_is_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    """`ulimit -u` is reported as what it is, not as a bug."""
    assert print_error(RuntimeError("can't start new thread")) == 2
    assert "error: no thread can be started" in capsys.readouterr().err


@pytest.mark.parametrize("columns", ["0", "-5", "wide", "9" * 30])
def test_absurd_sizes_of_the_terminal(columns: str, tmp_path: Path) -> None:
    """A size that is not one is ignored."""
    shown = in_process(tmp_path, "--help", COLUMNS=columns, LINES=columns)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "Usage: " in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 200


def test_results_are_alone_on_stdout(tmp_path: Path) -> None:
    """Text of a plugin, its libraries and its programs on descriptor 1 goes to stderr, until the process ends.

    A command of a plugin has stdout for itself and its programs.
    """
    source = (
        "import atexit, os, sys\n"
        "write = lambda: os.system('echo program') + os.write(1, b'library\\n')\n"
        "write()\n"
        "sys.__stdout__.write('stream\\n')\n"
        "sys.__stdout__.flush()\n"
        "atexit.register(os.write, 1, b'end\\n')\n"
        "@hookimpl\ndef ganforge_commands(app):\n"
        "    app.add_command('shout', lambda: print('own', write(), flush=True))\n"
    )
    plugin = local(tmp_path / "plugin.py", source)
    listed = in_process(tmp_path, "list", "--json", "--plugin", plugin)
    assert json.loads(listed.stdout)
    assert listed.stderr.split() == ["program", "library", "stream", "end"]
    shouted = in_process(tmp_path, "--plugin", plugin, "shout")
    assert shouted.stdout.split() == ["program", "library", "own", "8", "end"]
    assert shouted.stderr.split() == ["program", "library", "stream"]


def run_program(*lines: str) -> subprocess.CompletedProcess[str]:
    """Run the lines of a program that calls ganforge's command line."""
    return subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False, timeout=30
    )


@pytest.mark.parametrize(
    "left",
    [
        "threading.Thread(target=time.sleep, args=(60,)).start()",
        "multiprocessing.Process(target=time.sleep, args=(60,)).start()",
        "atexit.register(time.sleep, 60)",
    ],
)
@pytest.mark.parametrize(("argument", "code"), [("--version", 0), ("--no-such", 2)])
def test_remains_of_a_component_do_not_keep_the_process(left: str, argument: str, code: int) -> None:
    """A thread, process or exit function that never ends is stopped; output and exit code are those of the command."""
    done = run_program(
        "import atexit, multiprocessing, sys, threading, time",
        "from ganforge.cli import app",
        "app.EXIT_SECONDS = 0.3",
        left,
        f"sys.argv = ['ganforge', {argument!r}]",
        "app.main()",
    )
    assert done.returncode == code, done.stderr
    assert "did not end with the command; it was stopped" in done.stderr
    assert done.stdout.startswith("ganforge ") == (argument == "--version")


def test_the_text_of_an_exit_is_an_error_although_a_thread_remains() -> None:
    """`sys.exit("no images")` of a plugin's command has exit code 1."""
    done = run_program(
        "import sys, threading, time",
        "from ganforge.cli import app",
        "app.EXIT_SECONDS = 0.3",
        "threading.Thread(target=time.sleep, args=(60,)).start()",
        "app.app = lambda arguments: sys.exit('no images')",
        "app.main()",
    )
    assert done.returncode == 1, done.stderr
    assert "no images" in done.stderr


def test_a_caller_that_catches_the_exit_lives_on() -> None:
    """A program that continues after `main()` is not stopped."""
    done = run_program(
        "import sys, time",
        "from ganforge.cli import app",
        "app.EXIT_SECONDS = 0.1",
        "sys.argv = ['ganforge', '--version']",
        "try: app.main()",
        "except SystemExit: time.sleep(1)",
        "print('lives on')",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("lives on\n")

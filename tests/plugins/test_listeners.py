"""Laws of listening to a run: a plugin gets every event in order, and nothing that it does reaches the run."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest

from ganforge.plugins import Source
from ganforge.plugins.events import sender as relay
from ganforge.plugins.events.sender import EventSender
from ganforge.plugins.events.worker import MAX_ROWS, Listener
from ganforge.runs import launch
from tests.helpers.plugins import command, distribution, in_process, local, provides

RUN = (
    *("run", "--gen", "mlp", "--disc", "mlp", "--data.source", "sample", "--batch-size", "8", "--precision", "fp32"),
    *("--steps", "3", "--log-every", "1", "--sample-every", "1", "--checkpoint-every", "2", "--device", "cpu"),
    *("--quiet", "--json"),
)

#: Listens to everything, and prints in every way there is.
SCRIBE = """
import json, os, pathlib, subprocess

def note(event, **heard):
    with (pathlib.Path(__file__).parent / "heard.jsonl").open("a") as file:
        values = {name: [type(value).__name__, str(value)] for name, value in heard.items()}
        file.write(json.dumps([event, values]) + "\\n")

@hookimpl
def ganforge_started(run, step):
    print("from print of https://me:s3cret@host")
    os.write(1, b"from the descriptor\\n")
    subprocess.run(["echo", "from a process"])
    assert isinstance(run.path, pathlib.Path) and run.manifest["status"] == "running"
    note("started", run=run, step=step, path=run.path, gen=run.experiment["gen"]["name"])

@hookimpl
def ganforge_step_logged(run, row):
    note("step_logged", step=row["step"], loss=row["loss/generator"], path=run.path)

@hookimpl
def ganforge_images_saved(run, step, path):
    assert path.is_file() and path.parent == run.path / "samples"
    note("images_saved", step=step, path=path)

@hookimpl
def ganforge_checkpoint_saved(run, step, path):
    assert (path / "checksums.json").is_file()
    note("checkpoint_saved", step=step, path=path)

@hookimpl
def ganforge_evaluated(run, step, scores, protocol):
    note("evaluated", step=step, scores=scores, protocol=protocol)

@hookimpl
def ganforge_finished(run, status, error="default"):
    note("finished", status=status, error=error)
"""

#: Draws from torch's global generator all the time.
GAMBLER = """
import torch

@hookimpl
def ganforge_started(run):
    torch.manual_seed(1)

@hookimpl
def ganforge_step_logged(row):
    torch.rand(1000)
"""

RAISES = "@hookimpl\ndef ganforge_step_logged(row):\n    raise KeyError('no such thing')\n"
EXITS = "import sys\n@hookimpl\ndef ganforge_step_logged(row):\n    sys.exit(7)\n"
HANGS = "import threading, time\n@hookimpl\ndef ganforge_step_logged(row):\n"
HANGS += "    threading.Thread(target=time.sleep, args=(3600,), daemon=False).start()\n    time.sleep(3600)\n"
DIES = "import os, signal\n@hookimpl\ndef ganforge_started(run):\n    os.kill(os.getpid(), signal.SIGKILL)\n"


def weights(run: Path) -> str:
    """Return the checksum of a run's last generator."""
    checksums = json.loads((run / "checkpoints" / "step-00000003" / "checksums.json").read_text())
    checksum = checksums.get("generator.safetensors") or checksums["files"]["generator.safetensors"]
    assert isinstance(checksum, str)
    return checksum


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the checksum of the last weights of a run without listeners."""
    run = tmp_path_factory.mktemp("quiet") / "r"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANFORGE_OFFLINE", "1")
        assert command(*RUN, "--out", run).returncode == 0
    assert not (run / "listeners.log").exists()
    return weights(run)


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Run the command line in a process of its own, with two listeners; return the result and the folder."""
    folder = tmp_path_factory.mktemp("heard")
    plugins = ("--plugin", local(folder / "scribe.py", SCRIBE), "--plugin", local(folder / "gambler.py", GAMBLER))
    evaluation = ("--metric", "sliced-wasserstein", "--evaluate-every", "3", "--num-samples", "16")
    return in_process(folder, *RUN, *evaluation, *plugins, "--out", "r"), folder


Heard = tuple[subprocess.CompletedProcess[str], Path]


def test_listeners_receive_events_in_order(heard: Heard) -> None:
    """A listener gets every event once, in the order in which it happened, with the types that the hooks declare."""
    finished, folder = heard
    assert finished.returncode == 0, finished.stderr
    lines = [json.loads(line) for line in (folder / "heard.jsonl").read_text().splitlines()]
    assert [(event, values.get("step", ["", ""])[1]) for event, values in lines] == [
        ("started", "0"),
        ("images_saved", "0"),
        ("step_logged", "1"),
        ("images_saved", "1"),
        ("step_logged", "2"),
        ("images_saved", "2"),
        ("checkpoint_saved", "2"),
        ("step_logged", "3"),
        ("images_saved", "3"),
        ("evaluated", "3"),
        ("checkpoint_saved", "3"),
        ("finished", ""),
    ]
    types = {event: {name: value[0] for name, value in values.items()} for event, values in lines}
    assert types["started"] == {"run": "RunInfo", "step": "int", "path": "PosixPath", "gen": "str"}
    assert types["step_logged"] == {"step": "int", "loss": "float", "path": "PosixPath"}
    assert types["images_saved"] == types["checkpoint_saved"] == {"step": "int", "path": "PosixPath"}
    assert types["evaluated"] == {"step": "int", "scores": "dict", "protocol": "dict"}
    last = lines[-1][1]
    assert last == {"status": ["str", "finished"], "error": ["NoneType", "None"]}  # not the parameter's own default


def test_stdout_stays_one_document(heard: Heard) -> None:
    """All output of a listener, by any way, stands in listeners.log; stdout is one JSON document."""
    finished, folder = heard
    assert json.loads(finished.stdout)["status"] == "finished"
    assert finished.stderr == ""
    log = (folder / "r" / "listeners.log").read_text().splitlines()
    assert sorted(log) == ["from a process", "from print of https://***@host", "from the descriptor"]


def test_listening_changes_no_weight(heard: Heard, quiet: str) -> None:
    """With listeners, one of which draws random numbers, a run ends with the same bits as without."""
    assert weights(heard[1] / "r") == quiet


def test_listeners_are_recorded(heard: Heard) -> None:
    """run.json names the plugins that listened, with path and SHA-256."""
    plugins = json.loads((heard[1] / "r" / "run.json").read_text())["plugins"]
    files = {plugin["distribution"]: plugin for plugin in plugins}
    assert files.keys() == {"ganforge", "gambler.py", "scribe.py"}
    assert files["scribe.py"]["path"] == str(heard[1] / "scribe.py")


def test_bad_listeners_change_nothing(tmp_path: Path, quiet: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listeners that raise, exit and hang leave the run's weights and answer as they are; each is reported once."""
    monkeypatch.setattr(launch, "EventSender", functools.partial(EventSender, drain_seconds=0.5))
    for name, source in {"raises": RAISES, "exits": EXITS, "hangs": HANGS}.items():
        local(tmp_path / "bad" / f"{name}.py", source)
    finished = command(*RUN, "--plugin", "bad", "--out", "r")
    assert finished.returncode == 0
    assert json.loads(finished.stdout)["status"] == "finished"
    assert weights(tmp_path / "r") == quiet
    ends = {
        "raises": "failed in ganforge_step_logged: KeyError: 'no such thing' (raises.py, line 5); "
        "its later failures are not shown",
        "exits": "failed in ganforge_step_logged: SystemExit: 7 (exits.py, line 6); its later failures are not shown",
        "hangs": "did not finish within 0.5 s; it was stopped",
    }
    lines = [line.partition("plugin ")[2] for line in finished.stderr.splitlines()]
    assert sorted(lines) == sorted(f"{name}.py local {end}" for name, end in ends.items())


def test_a_killed_listener_changes_nothing(tmp_path: Path, quiet: str) -> None:
    """If the listeners' process dies, the run continues to the same bits; it is reported once."""
    finished = command(*RUN, "--plugin", local(tmp_path / "dies.py", DIES), "--out", "r")
    assert finished.returncode == 0
    assert weights(tmp_path / "r") == quiet
    (line,) = finished.stderr.splitlines()
    assert "the process of the plugins that listen to this run ended early" in line
    assert "listeners.log" in line


class Told:
    """Start a relay to local plugins, send it the start of a run, and collect its messages."""

    def __init__(self, folder: Path, *sources: str, drain_seconds: float = 0.5) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.relay = EventSender(
            listening=True,
            local=[local(folder / f"listener{index}.py", source) for index, source in enumerate(sources)],
            no_plugins=False,
            log=folder / "listeners.log",
            notice=self.said.append,
            drain_seconds=drain_seconds,
        )

    def __enter__(self) -> Self:
        self.relay.__enter__()
        self.relay.send("started", run={"path": str(self.folder), "experiment": {}, "manifest": {}}, step=0)
        return self

    def __exit__(self, *_: object) -> None:
        self.relay.__exit__(None, None, None)


def test_a_listener_that_never_ends_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even one that keeps Python's lock for ever ends within the drain and a moment, with all that it started."""
    monkeypatch.setattr(relay, "GRACE_SECONDS", 0.5)
    source = "import ctypes, subprocess\n@hookimpl\ndef ganforge_started(run):\n"
    source += "    process = subprocess.Popen(['sleep', '3600'])\n"
    source += "    (run.path / 'pid').write_text(str(process.pid))\n    ctypes.PyDLL(None).sleep(3600)\n"
    with Told(tmp_path, source) as told:
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            time.sleep(0.01)
    assert told.said == ["the plugins that listen to this run did not finish in time; they were stopped"]
    assert_ends(int((tmp_path / "pid").read_text()))


def assert_ends(pid: int, seconds: float = 20) -> None:
    """Wait until a process is gone, or is a zombie that waits for its parent."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return
        if state == "Z":
            return
        time.sleep(0.05)
    pytest.fail(f"process {pid} still runs")


def test_orphans_of_a_listener_do_not_delay_exit(tmp_path: Path) -> None:
    """A process that a listener forked or started, and that lives on with all it inherited, does not delay the end."""
    source = "import os, subprocess, time\n@hookimpl\ndef ganforge_started(run):\n"
    source += "    process = subprocess.Popen(['sleep', '30'], start_new_session=True, close_fds=False)\n"
    source += (
        "    forked = os.fork()\n    if not forked:\n        os.setsid()\n        time.sleep(30)\n        os._exit(0)\n"
    )
    source += "    (run.path / 'pids').write_text(f'{process.pid} {forked}')\n"
    before = time.monotonic()
    with Told(tmp_path, source, drain_seconds=10) as told:
        pass
    assert time.monotonic() - before < 20
    assert told.said == []
    for pid in (tmp_path / "pids").read_text().split():
        os.kill(int(pid), signal.SIGKILL)


def test_sending_to_a_dead_listener_process_does_not_block(tmp_path: Path) -> None:
    """After the listeners' process died, thousands of events are sent without waiting; one line is printed in all."""
    with Told(tmp_path, DIES) as told:
        process = told.relay._process
        assert process is not None
        process.wait(20)
        for step in range(5000):
            told.relay.send("step_logged", row={"step": step})
            if step % 500 == 0:
                time.sleep(0.01)
    assert len(told.said) == 1
    assert "ended early" in told.said[0]


def test_listener_death_at_the_last_event_is_reported(tmp_path: Path) -> None:
    """If the process dies of the last event, when nothing is left to be sent, it is reported as well."""
    source = "import os\n@hookimpl\ndef ganforge_finished(run):\n    os._exit(3)\n"
    with Told(tmp_path, source) as told:
        told.relay.send("finished", status="finished", error=None)
    assert len(told.said) == 1
    assert "ended early" in told.said[0]


def test_listeners_get_their_own_copies_of_events(tmp_path: Path) -> None:
    """Each listener has its own copy of everything, and none reads the events away: standard input is empty."""
    spoils = "import os\n@hookimpl\ndef ganforge_started(run):\n"
    spoils += "    (run.path / 'read').write_text(repr(os.read(0, 100)))\n"
    spoils += "@hookimpl\ndef ganforge_step_logged(run, row):\n    row.clear(); run.manifest.clear()\n"
    writes = "import time\n@hookimpl\ndef ganforge_finished(run, status):\n    time.sleep(0.2)\n"
    writes += "    (run.path / 'heard').write_text(f'{run.manifest} {status}')\n"
    with Told(tmp_path, spoils, writes, drain_seconds=20) as told:
        deadline = time.monotonic() + 20
        while not (tmp_path / "read").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        told.relay.send("started", run={"path": str(tmp_path), "experiment": {}, "manifest": {"seed": 3}}, step=0)
        told.relay.send("step_logged", row={"step": 1})
        told.relay.send("finished", status="diverged", error="a loss is not finite")
    assert told.said == []
    assert (tmp_path / "heard").read_text() == "{'seed': 3} diverged"
    assert (tmp_path / "read").read_text() == "b''"


def test_its_plugins_are_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process finds the plugins that this one does, and takes no file of the working folder for a library."""
    source = "@hookimpl\ndef ganforge_finished(run):\n    (run.path / 'heard').touch()\n"
    monkeypatch.syspath_prepend(str(distribution(tmp_path / "site", "installed-listener", source)))
    for name in ("json", "queue", "pluggy"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('not this one')\n")
    with Told(tmp_path, RAISES, drain_seconds=20) as told:
        told.relay.send("finished", status="finished", error=None)
    assert told.said == []
    assert (tmp_path / "heard").exists()


def test_no_process_without_a_listener(tmp_path: Path) -> None:
    """Without listening plugins nothing is started and sending does nothing."""
    with EventSender(listening=False, local=[], no_plugins=False, log=tmp_path / "log", notice=pytest.fail) as nobody:
        nobody.send("finished", status="finished", error=None)
        assert nobody._process is None
    assert not (tmp_path / "log").exists()


def test_listener_process_that_cannot_start_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the listeners' process cannot even be started, that is reported once, and the run continues."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nowhere"))
    with Told(tmp_path, RAISES) as told:
        told.relay.send("finished", status="finished", error=None)
    assert len(told.said) == 1
    assert "could not be started" in told.said[0]


def test_unserializable_event_is_reported(tmp_path: Path) -> None:
    """Sending never raises, not even for scores that no JSON can hold."""
    with Told(tmp_path, "@hookimpl\ndef ganforge_finished(run): pass\n", drain_seconds=20) as told:
        told.relay.send("evaluated", step=1, scores={("a", "b"): 1.0}, protocol={})
        told.relay.send("finished", status="finished", error=None)
    assert len(told.said) == 1
    assert "could not be sent" in told.said[0]


def test_the_process_does_not_outlive_a_killed_run(tmp_path: Path) -> None:
    """If the run itself is killed, a hanging listener's process ends by itself."""
    local(tmp_path / "hangs.py", HANGS)
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom ganforge.plugins.events.sender import EventSender\n"
        "relay = EventSender(listening=True, local=[Path('hangs.py')], no_plugins=True, log=Path('log'),"
        " notice=print, drain_seconds=0.2)\n"
        "relay.__enter__()\n"
        "relay.send('started', run={'path': '.', 'experiment': {}, 'manifest': {}}, step=0)\n"
        "relay.send('step_logged', row={})\n"
        "print(relay._process.pid, flush=True)\ntime.sleep(3600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=tmp_path) as run:
        assert run.stdout is not None
        pid = int(run.stdout.readline())
        run.kill()
        assert_ends(pid)


def make_listener(**hooks: Callable[..., Any]) -> tuple[Listener, list[str]]:
    """Return a listener in this process, and what it reports."""
    said: list[str] = []
    implementations = {f"ganforge_{name}": SimpleNamespace(function=function) for name, function in hooks.items()}
    return Listener(Source("slow", "1.0"), implementations, said.append), said


def event(name: str, **arguments: object) -> str:
    """Return an event as it goes through the pipe."""
    return json.dumps({"event": name, "arguments": arguments})


def test_failure_of_an_installed_listener_names_what_disables_it() -> None:
    """A tracker that fails is one line, with the variable that keeps it from later runs."""
    listener, said = make_listener(finished=lambda: 1 / 0)
    listener.enqueue(event("finished"))
    listener.end()
    assert listener.done(time.monotonic() + 60)
    (line,) = said
    assert line.startswith("plugin slow 1.0 failed in ganforge_finished: ZeroDivisionError")
    assert line.endswith("its later failures are not shown; GANFORGE_DISABLE_PLUGINS=slow disables it")


def test_a_slow_listener_misses_rows_and_nothing_else() -> None:
    """The queue of a listener is bounded: it misses rows beyond that, which is reported once, but no other event."""
    begun, ready = threading.Event(), threading.Event()
    heard: list[object] = []

    def step_logged(row: dict[str, int]) -> None:
        begun.set()
        ready.wait()
        heard.append(row["step"])

    def finished(status: str) -> None:
        heard.append(status)

    listener, said = make_listener(step_logged=step_logged, finished=finished)
    listener.enqueue(event("step_logged", row={"step": 0}))
    begun.wait()
    for step in range(1, MAX_ROWS + 500):
        listener.enqueue(event("step_logged", row={"step": step}))
    listener.enqueue(event("finished", status="finished", error=None))
    listener.end()
    ready.set()
    assert listener.done(time.monotonic() + 60)
    assert heard == [*range(MAX_ROWS + 1), "finished"]
    assert said == ["plugin slow 1.0 is too slow; it misses rows of metrics.jsonl"]


def test_listener_receives_only_events_of_its_hooks() -> None:
    """Events without a hook of its own pass a listener by, and hooks get the arguments that they declare."""
    heard: list[object] = []

    def checkpoint_saved(path: Path, *, step: int = -1) -> None:
        heard.append((path, step))

    listener, said = make_listener(checkpoint_saved=checkpoint_saved)
    listener.enqueue(event("started", run={"path": "r", "experiment": {}, "manifest": {}}, step=0))
    listener.enqueue(event("images_saved", step=4, path="r/a.png"))
    listener.enqueue(event("checkpoint_saved", step=4, path="r/checkpoints/4"))
    listener.end()
    assert listener.done(time.monotonic() + 60)
    assert (heard, said) == ([(Path("r/checkpoints/4"), 4)], [])


def test_components_alone_do_not_listen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin that only gives components starts no process next to a run."""
    started: list[bool] = []
    original = EventSender.__init__

    def spy(self: EventSender, *, listening: bool, **others: Any) -> None:
        started.append(listening)
        original(self, listening=listening, **others)

    monkeypatch.setattr(EventSender, "__init__", spy)
    plugin = local(tmp_path / "components.py", provides("loss", "unused"))
    assert command(*RUN, "--plugin", plugin, "--out", "r").returncode == 0
    assert started == [False]

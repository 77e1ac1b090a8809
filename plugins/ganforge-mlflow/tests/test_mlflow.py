"""Laws of the MLflow tracker: a real server has the rows of the run, and the training is unchanged."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import ganforge_mlflow
import pytest
from ganforge_mlflow import tracker as tracking
from ganforge_mlflow.environment import CONFIGURATION, DEFAULTS, set_defaults
from ganforge_mlflow.settings import flatten, metric_name
from mlflow import MlflowClient
from mlflow.entities import Metric, Run
from mlflow.exceptions import MlflowException

from ganforge import RunInfo

TRAINING = (
    *("--gen", "mlp", "--disc", "mlp", "--gen.hidden", "[16]", "--disc.hidden", "[16]", "--data.source", "sample"),
    *("--batch-size", "8", "--precision", "fp32", "--device", "cpu", "--steps", "8", "--checkpoint-every", "4"),
    *("--log-every", "1", "--sample-every", "4", "--evaluate-every", "4", "--num-samples", "16"),
    *("--metric", "sliced-wasserstein,gate", "--quiet", "--json"),
)

LAST = "step-00000008"
SECONDS = 200.0

#: Metric that waits for the test: a tracker may take longer to start than this training takes.
GATE = """
import time
from pathlib import Path
from ganforge import Component, Metric, MetricResult, hookimpl

class Gate(Metric):
    higher_is_better = {"gate": False}

    def compute(self, context):
        folder = Path(__file__).parent
        (folder / "reached").touch()
        while not (folder / "open").exists():
            time.sleep(0.05)
        return MetricResult({"gate": 1.0})

@hookimpl
def ganforge_components():
    return [Component(kind="metric", name="gate", target=Gate)]
"""


def wait(until: Callable[[], bool]) -> None:
    """Wait until something holds."""
    begun = time.monotonic()
    while not until():
        assert time.monotonic() < begun + SECONDS, "this took too long"
        time.sleep(0.1)


def kill(process: subprocess.Popen[Any]) -> None:
    """Kill a process with all that it started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def messages(folder: Path) -> list[str]:
    """Return the messages about plugins so far."""
    return [line for line in (folder / "stderr").read_text().splitlines() if "plugin" in line]


def ganforge(*arguments: str | Path, folder: Path, meanwhile: Callable[[], None], **environment: str) -> list[str]:
    """Run the command line with this plugin alone; return the messages about plugins.

    Args:
        arguments: Words of the command line.
        folder: Folder for the output.
        meanwhile: Called while the run waits at its first evaluation.
        environment: Environment variables.
    """
    (folder / "gate.py").write_text(GATE)
    for flag in ("reached", "open"):
        (folder / flag).unlink(missing_ok=True)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("GANFORGE_", "MLFLOW_"))}
    with (folder / "stdout").open("w") as out, (folder / "stderr").open("w") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "ganforge", *map(str, arguments), "--plugin", folder / "gate.py"],
            stdout=out,
            stderr=err,
            env={**kept, "GANFORGE_OFFLINE": "1", "GANFORGE_PLUGINS": "mlflow", **environment},
            start_new_session=True,
        )
        try:
            wait(lambda: (folder / "reached").exists() or process.poll() is not None)
            meanwhile()
            (folder / "open").touch()
            process.wait(SECONDS)
        except BaseException:
            kill(process)
            raise
    assert process.returncode == 0, (folder / "stderr").read_text()
    assert json.loads((folder / "stdout").read_text())["status"] == "finished"
    return messages(folder)


@dataclass
class Server:
    """A real server on loopback, with its database and artifacts in a folder."""

    folder: Path

    def start(self) -> None:
        """Start it on a free port and wait until it answers."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{port}"
        arguments = ("--port", str(port), "--workers", "1", "--backend-store-uri", f"sqlite:///{self.folder}/store.db")
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self.folder / "log").open("w") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "mlflow",
                    "server",
                    *arguments,
                    "--artifacts-destination",
                    self.folder / "files",
                ],
                stdout=log,
                stderr=log,
                env={**os.environ, **quiet},
                start_new_session=True,
            )
        wait(self.answers)
        self.client = MlflowClient(self.uri)

    def answers(self) -> bool:
        """Whether it is there."""
        assert self.process.poll() is None, (self.folder / "log").read_text()
        try:
            with urlopen(f"{self.uri}/health", timeout=10) as answer:  # noqa: S310 - our own server
                return bool(answer.status == 200)
        except (URLError, TimeoutError):
            return False

    def run(self, path: Path) -> Run:
        """Return what it has of a run directory."""
        return self.client.get_run(json.loads((path / "mlflow.json").read_text())["run_id"])

    def has(self, path: Path, metric: str, step: int) -> bool:
        """Whether a metric has reached it."""
        if not (path / "mlflow.json").exists():
            return False
        history = self.client.get_metric_history(self.run(path).info.run_id, metric)
        return any(entry.step == step for entry in history)


@pytest.fixture(scope="module", autouse=True)
def _no_telemetry() -> Iterator[None]:
    """Keep this process's own client from contacting other hosts than the servers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        yield


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a server."""
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    kill(server.process)


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run without listeners."""
    folder = tmp_path_factory.mktemp("quiet")
    environment = {"GANFORGE_PLUGINS": "ganforge", "GANFORGE_DISABLE_PLUGINS": "mlflow"}
    arguments = ("run", *TRAINING, "--out", folder / "r")
    assert ganforge(*arguments, folder=folder, meanwhile=lambda: None, **environment) == []
    assert not (folder / "r" / "listeners.log").exists()
    return folder / "r"


@pytest.fixture(scope="module")
def tracked(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that was logged to the server, in an experiment of its own, with its checkpoints."""
    folder = tmp_path_factory.mktemp("tracked")
    run = folder / "first"
    lines = ganforge(
        *("run", *TRAINING, "--out", run),
        folder=folder,
        meanwhile=lambda: wait(lambda: server.has(run, "loss/generator", 1)),
        GANFORGE_MLFLOW_CHECKPOINTS="1",
        MLFLOW_TRACKING_URI=server.uri,
        MLFLOW_EXPERIMENT_NAME="digits",
        MLFLOW_HTTP_REQUEST_TIMEOUT="60",
    )
    assert lines == []
    return run


def checkpoint(run: Path) -> dict[str, bytes]:
    """Return the last checkpoint's files: weights, optimizers and state."""
    return {file.name: file.read_bytes() for file in (run / "checkpoints" / LAST).iterdir()}


def back_to_the_middle(run: Path, folder: Path) -> Path:
    """Return a copy of a run that has lost its last checkpoint, so that it can be resumed.

    Its evaluation took no time, although the gate was closed for long; otherwise the next one may be skipped.
    """
    copy = folder / "copy"
    shutil.copytree(run, copy)
    shutil.rmtree(copy / "checkpoints" / LAST)
    rows = [json.loads(line) | {"seconds": 0.0} for line in (copy / "evaluation.jsonl").read_text().splitlines()]
    (copy / "evaluation.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return copy


def expected_metrics(run: Path) -> dict[str, dict[int, float]]:
    """Return every number of the run's own files, by name and step."""
    expected: dict[str, dict[int, float]] = {}
    for line in (run / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        for name in row.keys() - {"step"}:
            expected.setdefault(name, {})[row["step"]] = row[name]
    for line in (run / "evaluation.jsonl").read_text().splitlines():
        row = json.loads(line)
        for name, value in row["scores"].items():
            expected.setdefault(f"evaluation/{name}", {})[row["step"]] = value
    assert {"prob/real", "prob/fake", "lr/gen", "lr/disc", "health/alerts"} <= expected.keys()
    assert len(expected) == 16
    return expected


def metrics(server: Server, run: Path) -> dict[str, dict[int, float]]:
    """Return every number that the server has; of steps that were taken again, the newest."""
    found = server.run(run)
    history = {name: server.client.get_metric_history(found.info.run_id, name) for name in found.data.metrics}
    return {
        name: {entry.step: entry.value for entry in sorted(entries, key=lambda entry: entry.timestamp)}
        for name, entries in history.items()
    }


def artifacts(server: Server, run: Path, folder: Path) -> dict[str, bytes]:
    """Download every artifact of a run."""
    root = Path(server.client.download_artifacts(server.run(run).info.run_id, "", str(folder)))
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_metrics_are_the_rows(server: Server, tracked: Path) -> None:
    """Every number of metrics.jsonl and evaluation.jsonl is there, at its step, under its name, in full precision."""
    assert metrics(server, tracked) == expected_metrics(tracked)


def test_settings_are_parameters_and_tags(server: Server, tracked: Path) -> None:
    """The configuration of run.toml is there as parameters, the manifest's facts as tags; names are as usual."""
    found = server.run(tracked)
    expected = dict(flatten(tomllib.loads((tracked / "run.toml").read_text())))
    assert expected["gen.mlp.hidden"] == "[16]"
    assert found.data.params == expected
    manifest = json.loads((tracked / "run.json").read_text())
    tags = found.data.tags
    assert (tags["seed"], tags["device"], tags["precision"]) == ("0", "cpu", "fp32")
    assert tags["versions.torch"] == manifest["versions"]["torch"]
    assert tags["data.fingerprint"] == manifest["data"]["fingerprint"]
    assert found.info.run_name == "first"
    assert server.client.get_experiment(found.info.experiment_id).name == "digits"


def test_files_are_artifacts(server: Server, tracked: Path, tmp_path: Path) -> None:
    """run.toml, the last grid and, if requested, checkpoints are there, byte for byte; every grid is an image."""
    found = artifacts(server, tracked, tmp_path)
    images = sorted(name.split("+")[2] for name in found if name.startswith("images/samples+") and ".png" in name)
    assert images == ["0", "4", "8"]
    expected = {"run.toml": tracked / "run.toml", f"samples/{LAST}.png": tracked / "samples" / f"{LAST}.png"}
    expected |= {
        str(path.relative_to(tracked)): path for path in (tracked / "checkpoints").rglob("*") if path.is_file()
    }
    assert {name: content for name, content in found.items() if not name.startswith("images/")} == {
        name: path.read_bytes() for name, path in expected.items()
    }


def test_the_status_is_logged(server: Server, tracked: Path) -> None:
    """A run that finished is FINISHED."""
    found = server.run(tracked)
    assert (found.info.status, found.data.tags["status"]) == ("FINISHED", "finished")


def test_training_is_unchanged(tracked: Path, quiet: Path) -> None:
    """The last checkpoint has the bits of a run without listeners."""
    assert checkpoint(tracked) == checkpoint(quiet)


def test_a_resumed_run_continues(server: Server, tracked: Path, tmp_path: Path) -> None:
    """It continues the same MLflow run, to more steps; checkpoints are not uploaded unless the user wants them.

    A changed parameter is a tag, since MLflow never changes parameters.
    """
    run = back_to_the_middle(tracked, tmp_path)
    before = server.run(run)

    def resumed() -> bool:
        return server.run(run).info.status == "RUNNING" and "resumed.step" in server.run(run).data.tags

    lines = ganforge(
        *("resume", run, "--steps", "12", "--quiet", "--json"),
        folder=tmp_path,
        meanwhile=lambda: wait(resumed),
        MLFLOW_TRACKING_URI=server.uri,
        MLFLOW_HTTP_REQUEST_TIMEOUT="60",
    )
    assert lines == []
    after = server.run(run)
    assert after.info.run_id == before.info.run_id
    assert after.info.status == "FINISHED"
    assert (after.data.tags["resumed.step"], after.data.tags["resumed.steps"]) == ("4", "12")
    assert after.data.params == before.data.params
    assert metrics(server, run) == expected_metrics(run)
    assert "checkpoints/step-00000012/state.json" not in artifacts(server, run, tmp_path)


def test_a_server_that_is_killed_changes_nothing(server: Server, quiet: Path, tmp_path: Path) -> None:
    """A server that dies during a run costs one line; the run finishes with the same bits."""
    shutil.copy(server.folder / "store.db", tmp_path)
    mortal = Server(tmp_path)
    mortal.start()
    run = tmp_path / "r"

    def die() -> None:
        wait(lambda: mortal.has(run, "loss/generator", 1))
        kill(mortal.process)

    (line,) = ganforge(
        *("run", *TRAINING, "--out", run), folder=tmp_path, meanwhile=die, MLFLOW_TRACKING_URI=mortal.uri
    )
    assert "ganforge-mlflow 0.1.0 failed in ganforge_" in line
    assert mortal.uri in line
    assert checkpoint(run) == checkpoint(quiet)


@pytest.fixture
def silent() -> Iterator[str]:
    """Return the address of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_server_that_does_not_answer_changes_nothing(silent: str, quiet: Path, tmp_path: Path) -> None:
    """One line reports it, without MLflow's own wait of many minutes; the run finishes with the same bits."""
    run = tmp_path / "r"
    (line,) = ganforge(
        *("run", *TRAINING, "--out", run),
        folder=tmp_path,
        meanwhile=lambda: wait(lambda: messages(tmp_path) != []),
        MLFLOW_TRACKING_URI=silent,
    )
    assert "ganforge-mlflow 0.1.0 failed in ganforge_started: MlflowException" in line
    assert silent in line
    assert checkpoint(run) == checkpoint(quiet)


def test_an_invalid_address_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An invalid address is an error at the start, and further events of the run are ignored."""
    for name in DEFAULTS:
        monkeypatch.setenv(name, DEFAULTS[name])  # and takes them away again
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://here")
    run = RunInfo(tmp_path, {}, {})
    with pytest.raises(MlflowException, match="nonsense://here"):
        ganforge_mlflow.ganforge_started(run, 0)
    ganforge_mlflow.ganforge_step_logged(run, {"step": 1, "loss/generator": 1.0})
    ganforge_mlflow.ganforge_finished(run, "finished", None)


def test_a_database_needs_all_of_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without SQLAlchemy the error names the missing part of MLflow."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///here.db")
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"set MLFLOW_TRACKING_URI .* or install ganforge-mlflow\[local\]"):
        tracking.connect()


class Unreliable:
    """Stands in for MLflow's client: keeps what it is given, unless it is away."""

    def __init__(self) -> None:
        self.away = False
        self.kept: list[tuple[int, float]] = []
        self.ends: list[str] = []
        self.tags: dict[str, object] = {}

    def log_batch(self, run_id: str, *, metrics: Sequence[Metric]) -> None:
        if self.away:
            raise ConnectionError("away")
        self.kept += [(metric.step, metric.value) for metric in metrics]

    def set_tag(self, run_id: str, key: str, value: object) -> None:
        self.tags[key] = value

    def set_terminated(self, run_id: str, status: str) -> None:
        self.ends.append(status)


@pytest.fixture
def unreliable(monkeypatch: pytest.MonkeyPatch) -> Unreliable:
    """Connect a tracker to such a client, which it calls again at once and for rows of no time at all."""
    client = Unreliable()
    monkeypatch.setattr(tracking, "connect", lambda: client)
    monkeypatch.setattr(tracking.Tracker, "_start", lambda self, run, step: "id")
    monkeypatch.setattr(tracking, "SEND_SECONDS", 0.0)
    return client


def test_numbers_wait_for_a_server_that_is_away(
    unreliable: Unreliable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its absence is raised once in each pause; what was not sent then arrives when it is back: all, once, in order."""
    tracker = tracking.Tracker(RunInfo(tmp_path, {}, {}), 0)
    tracker.log_row({"step": 1, "loss": 1.0})
    unreliable.away = True
    with pytest.raises(ConnectionError):
        tracker.log_row({"step": 2, "loss": 2.0})
    tracker.log_row({"step": 3, "loss": 3.0})  # within the pause: nothing is tried
    tracker.log_grid(3, tmp_path / "missing.png")
    assert unreliable.kept == [(1, 1.0)]
    unreliable.away = False
    monkeypatch.setattr(time, "monotonic", lambda: time.perf_counter() + 10**9)
    tracker.log_row({"step": 4, "loss": 4.0})
    assert unreliable.kept == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0)]


def test_a_rollback_names_the_steps_that_it_discards(unreliable: Unreliable, tmp_path: Path) -> None:
    """A tag has the steps of each rollback, since MLflow keeps both values; a resumed run discards none."""
    tracker = tracking.Tracker(RunInfo(tmp_path, {}, {}), 10)
    for step in (20, 30, 40, 30, 40, 50, 50):
        tracker.log_row({"step": step, "loss": 1.0})
    assert unreliable.tags["discarded_steps"] == "30–40, 50–50"


@pytest.mark.parametrize(
    ("status", "end"),
    [("finished", "FINISHED"), ("interrupted", "KILLED"), ("diverged", "FAILED"), ("failed", "FAILED")],
)
def test_every_end_has_a_status(unreliable: Unreliable, tmp_path: Path, status: str, end: str) -> None:
    """However a run ends, MLflow has a word for it; the error has no home folder."""
    tracking.Tracker(RunInfo(tmp_path, {}, {}), 0).finish(status, f"{Path.home()}/run: no space left")
    assert unreliable.ends == [end]
    assert unreliable.tags["error"] == "~/run: no space left"


def test_what_the_user_sets_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Defaults are for what the user has not set."""
    for name in DEFAULTS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    set_defaults()
    assert {name: os.environ[name] for name in DEFAULTS} == {**DEFAULTS, "MLFLOW_HTTP_REQUEST_TIMEOUT": "77"}


def test_nothing_is_tracked_without_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a variable of MLflow's a run has no tracker, no file and no message."""
    for name in CONFIGURATION:
        monkeypatch.delenv(name, raising=False)
    ganforge_mlflow.ganforge_started(RunInfo(tmp_path, {}, {}), 0)
    assert (ganforge_mlflow.trackers, [*tmp_path.iterdir()]) == ({}, [])


def test_passwords_are_moved_out_of_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """No message can contain a password: user and password become variables of their own, unless these are set."""
    for name in DEFAULTS:
        monkeypatch.setenv(name, DEFAULTS[name])
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:s%40cret@example.org:5000/base")
    set_defaults()
    names = ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    assert [os.environ[name] for name in names] == ["https://example.org:5000/base", "me", "s@cret"]
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "mine")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:other@example.org")
    set_defaults()
    assert [os.environ[name] for name in names] == ["http://example.org", "me", "mine"]


def test_names_are_what_mlflow_allows() -> None:
    """Names that MLflow takes stay as they are; in others an underscore stands for what it refuses."""
    assert metric_name("evaluation/kid_mean-1.0 a:b") == "evaluation/kid_mean-1.0 a:b"
    assert metric_name("top-1 (%)") == "top-1 ___"


def test_importing_it_is_light() -> None:
    """The module that nearly every command imports brings neither MLflow nor torch nor NumPy along."""
    program = "import sys, ganforge_mlflow; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"mlflow", "torch", "numpy", "PIL", "pandas", "requests"} & set(done.stdout.split())

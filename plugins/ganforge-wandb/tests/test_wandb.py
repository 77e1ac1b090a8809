"""Laws of the W&B tracker: its history is the rows of the run, and the training is unchanged."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ganforge_wandb.tracker import start_tracker
from wandb.proto.wandb_internal_pb2 import Record

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

#: The format of a .wandb file, which is LevelDB's log: a header, then blocks of records in one part or several.
HEADER_BYTES, BLOCK_BYTES, WHOLE, LAST_PART = 7, 32768, 1, 4


def records(file: Path) -> Iterator[Any]:
    """Yield what a .wandb file holds."""
    data, position, parts = file.read_bytes(), HEADER_BYTES, b""
    while position < len(data):
        room = BLOCK_BYTES - position % BLOCK_BYTES
        if room < HEADER_BYTES:
            position += room
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        position += HEADER_BYTES
        parts += data[position : position + length]
        position += length
        if kind in {WHOLE, LAST_PART}:
            yield Record.FromString(parts)
            parts = b""


def sessions(run: Path) -> list[Path]:
    """Return the folders of W&B's sessions in a run directory, in their order."""
    return sorted((run / "wandb").glob("offline-run-*"))


def of_kind(session: Path, kind: str) -> list[Any]:
    """Return a session's records of a kind."""
    (file,) = session.glob("*.wandb")
    return [getattr(record, kind) for record in records(file) if record.WhichOneof("record_type") == kind]


def history(session: Path) -> dict[int, dict[str, Any]]:
    """Return what was logged, by step."""
    rows: dict[int, dict[str, Any]] = {}
    for record in of_kind(session, "history"):
        row: dict[str, Any] = {}
        for item in record.item:
            *outer, name = [*item.nested_key] or [item.key]
            place = row
            for key in outer:
                place = place.setdefault(key, {})
            place[name] = json.loads(item.value_json)
        rows[row.get("_step", record.step.num)] = row
    return rows


def summary(session: Path) -> dict[str, Any]:
    """Return the summary's last values, nested ones left out."""
    updates = [update for record in of_kind(session, "summary") for update in record.update]
    return {update.key: json.loads(update.value_json) for update in updates if update.key}


def wait(until: Callable[[], bool]) -> None:
    """Wait until something holds."""
    begun = time.monotonic()
    while not until():
        assert time.monotonic() < begun + SECONDS, "this took too long"
        time.sleep(0.1)


def messages(folder: Path) -> list[str]:
    """Return the messages about plugins so far."""
    return [line for line in (folder / "stderr").read_text().splitlines() if "plugin" in line]


def started(*arguments: str | Path, folder: Path, **environment: str) -> subprocess.Popen[bytes]:
    """Start the command line with this plugin alone, offline and without a login, up to the first evaluation."""
    (folder / "gate.py").write_text(GATE)
    for flag in ("reached", "open"):
        (folder / flag).unlink(missing_ok=True)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("GANFORGE_", "WANDB_", "XDG_"))}
    defaults = {"GANFORGE_OFFLINE": "1", "GANFORGE_PLUGINS": "wandb", "WANDB_MODE": "offline"}
    home = {"HOME": str(folder / "home"), "NETRC": str(folder / "netrc"), "WANDB_ERROR_REPORTING": "false"}
    with (folder / "stdout").open("w") as out, (folder / "stderr").open("w") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "ganforge", *map(str, arguments), "--plugin", folder / "gate.py"],
            stdout=out,
            stderr=err,
            env={key: value for key, value in (kept | home | defaults | environment).items() if value},
            start_new_session=True,
        )
    wait(lambda: (folder / "reached").exists() or process.poll() is not None)
    return process


def ganforge(
    *arguments: str | Path, folder: Path, until: Callable[[], bool] = lambda: True, **environment: str
) -> list[str]:
    """Run the command line, paused at its first evaluation until a condition holds; return messages about plugins."""
    process = started(*arguments, folder=folder, **environment)
    try:
        wait(lambda: until() or process.poll() is not None)
        (folder / "open").touch()
        process.wait(SECONDS)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    assert process.returncode == 0, (folder / "stderr").read_text()
    assert json.loads((folder / "stdout").read_text())["status"] == "finished"
    return messages(folder)


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run without listeners."""
    folder = tmp_path_factory.mktemp("quiet")
    notes = ganforge(
        *("run", *TRAINING, "--out", folder / "r"),
        folder=folder,
        GANFORGE_PLUGINS="ganforge",
        GANFORGE_DISABLE_PLUGINS="wandb",
    )
    assert notes == []
    assert not (folder / "r" / "listeners.log").exists()
    return folder / "r"


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tracked run with its checkpoints."""
    folder = tmp_path_factory.mktemp("tracked")
    run = folder / "first"
    begun = (run / "wandb.json").exists
    arguments = ("run", *TRAINING, "--out", run)
    assert ganforge(*arguments, folder=folder, until=begun, GANFORGE_WANDB_CHECKPOINTS="1") == []
    return run


def checkpoint(run: Path) -> dict[str, bytes]:
    """Return the last checkpoint's files: weights, optimizers and state."""
    return {file.name: file.read_bytes() for file in (run / "checkpoints" / LAST).iterdir()}


def check_history(run: Path, found: dict[int, dict[str, Any]], *, after: int) -> None:
    """Compare every number logged after a step with the run's own files."""
    expected: dict[int, dict[str, float]] = {}
    for line in (run / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        expected[row.pop("step")] = row
    for line in (run / "evaluation.jsonl").read_text().splitlines():
        row = json.loads(line)
        expected[row["step"]] |= {f"evaluation/{name}": value for name, value in row["scores"].items()}
    assert {"prob/real", "prob/fake", "lr/gen", "lr/disc", "health/alerts"} <= expected[8].keys()
    assert len(expected[8]) == 16
    numbers = {
        step: {name: value for name, value in row.items() if not name.startswith("_") and name != "samples"}
        for step, row in found.items()
        if step > 0
    }
    assert numbers == {step: row for step, row in expected.items() if step > after}


def test_history_is_the_rows(tracked: Path) -> None:
    """Every number of metrics.jsonl and evaluation.jsonl is there, at its step, under its name, in full precision."""
    (session,) = sessions(tracked)
    check_history(tracked, history(session), after=0)


def test_images_are_the_grids(tracked: Path) -> None:
    """Every grid is there, byte for byte, at its step."""
    (session,) = sessions(tracked)
    found = {step: row["samples"] for step, row in history(session).items() if "samples" in row}
    assert sorted(found) == [0, 4, 8]
    for step, image in found.items():
        grid = (tracked / "samples" / f"step-{step:08d}.png").read_bytes()
        assert (session / "files" / image["path"]).read_bytes() == grid
        assert image["sha256"] == hashlib.sha256(grid).hexdigest()


def test_settings_are_the_config(tracked: Path) -> None:
    """The configuration of run.toml and the manifest's facts are there; project and name have their defaults."""
    (session,) = sessions(tracked)
    (begun, *_) = of_kind(session, "run")
    config = {update.key: json.loads(update.value_json) for update in begun.config.update}
    facts = config.pop("facts")
    assert {key: value for key, value in config.items() if key != "_wandb"} == tomllib.loads(
        (tracked / "run.toml").read_text()
    )
    manifest = json.loads((tracked / "run.json").read_text())
    assert facts == {name: manifest[name] for name in facts}
    assert {"seed", "device", "precision", "versions", "data"} <= facts.keys()
    assert (begun.project, begun.display_name) == ("ganforge", "first")
    assert json.loads((tracked / "wandb.json").read_text()) == {"id": begun.run_id, "project": "ganforge"}


def test_files_are_kept_below_the_run(tracked: Path) -> None:
    """run.toml, the last grid and, if requested, checkpoints are there, byte for byte, and nothing elsewhere."""
    (session,) = sessions(tracked)
    assert (session / "files" / "run.toml").read_bytes() == (tracked / "run.toml").read_bytes()
    assert (session / "files" / "last-samples.png").read_bytes() == (tracked / "samples" / f"{LAST}.png").read_bytes()
    artifacts = of_kind(session, "artifact")
    assert [{*artifact.aliases} for artifact in artifacts] == [{"step-00000004", "latest"}, {LAST, "latest"}]
    found = {entry.path: Path(entry.local_path) for entry in artifacts[1].manifest.contents}
    assert {name: path.read_bytes() for name, path in found.items()} == checkpoint(tracked)
    assert all(path.is_relative_to(tracked / "wandb") for path in found.values())
    home = tracked.parent / "home"
    assert [path for path in home.rglob("*") if path.is_file() and path.suffix != ".log"] == []


def test_metadata_of_the_process_are_off(tracked: Path) -> None:
    """W&B's own record of the process would have its folder and arguments, with absolute paths."""
    (session,) = sessions(tracked)
    assert of_kind(session, "environment") == []


def test_nothing_is_tracked_without_a_login(quiet: Path, tmp_path: Path) -> None:
    """Without a login and a mode the terminal is silent, no file is written, and listeners.log has one line."""
    run = tmp_path / "r"
    log = run / "listeners.log"
    arguments = ("run", *TRAINING, "--out", run)
    assert ganforge(*arguments, folder=tmp_path, until=lambda: "not logged in" in log.read_text(), WANDB_MODE="") == []
    assert log.read_text().count("not logged in") == 1
    assert [*run.glob("wandb*")] == []
    assert checkpoint(run) == checkpoint(quiet)


def test_the_status_is_logged(tracked: Path) -> None:
    """A run that finished ends with exit code 0."""
    (session,) = sessions(tracked)
    (end,) = of_kind(session, "exit")
    assert (end.exit_code, summary(session)["status"], summary(session)["error"]) == (0, "finished", None)


def test_training_is_unchanged(tracked: Path, quiet: Path) -> None:
    """The last checkpoint has the bits of a run without listeners."""
    assert checkpoint(tracked) == checkpoint(quiet)


def test_a_resumed_run_continues(tracked: Path, tmp_path: Path) -> None:
    """It continues under the same id, in a session of its own, from the step of the checkpoint."""
    run = tmp_path / "copy"
    shutil.copytree(tracked, run, symlinks=True)
    shutil.rmtree(run / "checkpoints" / LAST)
    arguments = ("resume", run, "--quiet", "--json")
    assert ganforge(*arguments, folder=tmp_path, until=lambda: len(sessions(run)) == 2) == []
    first, second = sessions(run)
    assert of_kind(second, "run")[0].run_id == of_kind(first, "run")[0].run_id
    check_history(run, history(second), after=4)
    assert (summary(second)["resumed_step"], summary(second)["status"]) == (4, "finished")
    assert of_kind(second, "artifact") == []


def test_a_rollback_names_the_steps_that_it_discards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The summary has the steps of each rollback, since W&B keeps their values; a resumed run discards none.

    The error has no home folder.
    """
    for name in ("WANDB_MODE", "WANDB_SILENT"):
        monkeypatch.setenv(name, {"WANDB_MODE": "disabled", "WANDB_SILENT": "true"}[name])
    (tmp_path / "run.toml").write_text("")
    tracker = start_tracker(RunInfo(tmp_path, {}, {}), 10)
    assert tracker is not None
    for step in (20, 30, 40, 30, 40, 50, 50):
        tracker.log_row({"step": step, "loss/generator": 1.0})
    assert tracker._run.summary["discarded_steps"] == "30–40, 50–50"
    tracker.finish("failed", f"{Path.home()}/run: no space left")
    assert tracker._run.summary["error"] == "~/run: no space left"


def test_a_tracker_that_fails_changes_nothing(quiet: Path, tmp_path: Path) -> None:
    """A mode that the user sets is kept. Online without a login is one line, and the run ends with the same bits."""
    run = tmp_path / "r"
    (line,) = ganforge(
        *("run", *TRAINING, "--out", run),
        folder=tmp_path,
        until=lambda: messages(tmp_path) != [],
        WANDB_MODE="online",
    )
    assert "ganforge-wandb 0.1.0 failed in ganforge_started: UsageError" in line
    assert not (run / "wandb.json").exists()
    assert checkpoint(run) == checkpoint(quiet)


def test_a_run_that_is_killed_did_not_finish(tmp_path: Path) -> None:
    """When the training is killed, W&B's run ends as killed, and its process ends too."""
    run = tmp_path / "r"
    process = started("run", *TRAINING, "--out", run, folder=tmp_path)
    try:
        wait((run / "wandb.json").exists)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    wait(lambda: bool(sessions(run)) and of_kind(sessions(run)[0], "exit") != [])
    (session,) = sessions(run)
    assert [end.exit_code for end in of_kind(session, "exit")] == [137]
    assert summary(session)["status"] == "killed"
    assert 1 in history(session)


def test_switched_off_it_leaves_nothing(tmp_path: Path) -> None:
    """WANDB_MODE=disabled is honored: no file, and no complaint."""
    run = tmp_path / "r"
    lines = ganforge("run", *TRAINING, "--out", run, folder=tmp_path, WANDB_MODE="disabled")
    assert (lines, [*run.glob("wandb*")]) == ([], [])


def test_importing_it_is_light() -> None:
    """The module that nearly every command imports brings neither wandb nor torch nor NumPy along."""
    program = "import sys, ganforge_wandb; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"wandb", "torch", "numpy", "PIL", "requests"} & set(done.stdout.split())

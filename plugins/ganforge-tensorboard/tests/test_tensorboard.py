"""Laws of the TensorBoard tracker: its events are the rows of the run, and the training is unchanged."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ganforge_tensorboard.settings import flatten
from ganforge_tensorboard.tracker import Tracker
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import api_pb2, metadata

from ganforge import RunInfo

TRAINING = (
    *("--gen", "mlp", "--disc", "mlp", "--gen.hidden", "[16]", "--disc.hidden", "[16]", "--data.source", "sample"),
    *("--batch-size", "8", "--precision", "fp32", "--device", "cpu", "--steps", "8", "--checkpoint-every", "4"),
    *("--log-every", "1", "--sample-every", "4", "--evaluate-every", "4", "--num-samples", "16"),
    *("--metric", "sliced-wasserstein", "--quiet", "--json"),
)

LAST = "step-00000008"


def ganforge(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line with this plugin alone, or with those of the environment."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GANFORGE_")}
    done = subprocess.run(
        [sys.executable, "-m", "ganforge", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**kept, "GANFORGE_OFFLINE": "1", "GANFORGE_PLUGINS": "tensorboard", **environment},
    )
    assert done.returncode == 0, done.stderr
    return done


def notes(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the messages about this plugin."""
    return [line for line in done.stderr.splitlines() if "plugin" in line]


def checkpoint(run: Path) -> dict[str, bytes]:
    """Return the last checkpoint's files: weights, optimizers and state."""
    return {file.name: file.read_bytes() for file in (run / "checkpoints" / LAST).iterdir()}


def rows(run: Path, name: str = "metrics.jsonl") -> list[dict[str, Any]]:
    """Return the rows of one of a run's files."""
    return [json.loads(line) for line in (run / name).read_text().splitlines()]


def read(run: Path) -> EventAccumulator:
    """Return everything that TensorBoard reads of a run."""
    everything = EventAccumulator(str(run / "tensorboard"), {"scalars": 0, "images": 0, "tensors": 0})
    return everything.Reload()


def check_scalars(run: Path, events: EventAccumulator) -> None:
    """Compare every scalar with the run's own files, at every step, once each."""
    expected: dict[str, list[tuple[int, np.float32]]] = {}
    for row in rows(run):
        for name in row.keys() - {"step"}:
            expected.setdefault(name, []).append((row["step"], np.float32(row[name])))
    for row in rows(run, "evaluation.jsonl"):
        for name, value in row["scores"].items():
            expected.setdefault(f"evaluation/{name}", []).append((row["step"], np.float32(value)))
    assert {"prob/real", "prob/fake", "lr/gen", "lr/disc", "health/alerts"} <= expected.keys()
    assert len(expected) == 15
    found = {
        name: [(event.step, np.float32(event.value)) for event in events.Scalars(name)]
        for name in events.Tags()["scalars"]
    }
    assert found == expected


def texts(events: EventAccumulator, tag: str) -> list[str]:
    """Return the texts under a tag."""
    return [event.tensor_proto.string_val[0].decode() for event in events.Tensors(tag)]


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run without listeners."""
    run = tmp_path_factory.mktemp("quiet") / "r"
    ganforge("run", *TRAINING, "--out", run, GANFORGE_PLUGINS="ganforge", GANFORGE_DISABLE_PLUGINS="tensorboard")
    return run


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tracked run."""
    run = tmp_path_factory.mktemp("tracked") / "first"
    assert notes(ganforge("run", *TRAINING, "--out", run)) == []
    assert (run / "listeners.log").read_text() == ""
    return run


def test_scalars_are_the_rows(tracked: Path) -> None:
    """Every number of metrics.jsonl and evaluation.jsonl is there, at its step, under its name."""
    assert [row["step"] for row in rows(tracked)] == [*range(1, 9)]
    check_scalars(tracked, read(tracked))


def test_images_are_the_grids(tracked: Path) -> None:
    """Every grid is there, byte for byte, with its size."""
    found = read(tracked).Images("samples")
    grids = {int(path.stem.removeprefix("step-")): path.read_bytes() for path in (tracked / "samples").iterdir()}
    assert {image.step: image.encoded_image_string for image in found} == grids
    assert [image.step for image in found] == [0, 4, 8]
    assert {(image.width, image.height) for image in found} == {(242, 242)}


def test_settings_are_hyperparameters(tracked: Path) -> None:
    """The configuration of run.toml is there as hyperparameters and as text; the manifest's facts as text."""
    events = read(tracked)
    content = events.PluginTagToContent("hparams")
    info = metadata.parse_session_start_info_plugin_data(content[metadata.SESSION_START_INFO_TAG])
    expected = dict(flatten(tomllib.loads((tracked / "run.toml").read_text())))
    assert expected["gen.mlp.hidden"] == "[16]"
    found = {name: getattr(value, value.WhichOneof("kind")) for name, value in info.hparams.items()}
    assert found == expected
    assert info.group_name == "first"
    (text,) = texts(events, "configuration")
    assert "| optimizer.gen.adam.lr | 0.0002 |" in text.splitlines()
    manifest = json.loads((tracked / "run.json").read_text())
    (text,) = texts(events, "facts")
    facts = dict(line.strip("| ").split(" | ", 1) for line in text.splitlines()[2:])
    assert (facts["seed"], facts["device"], facts["precision"]) == ("0", "cpu", "fp32")
    assert facts["versions.torch"] == manifest["versions"]["torch"]
    assert facts["data.fingerprint"] == manifest["data"]["fingerprint"]
    assert shlex.split(facts["command"]) == manifest["command"]


def test_the_status_is_written(tracked: Path) -> None:
    """A run that finished is a session that succeeded."""
    events = read(tracked)
    end = metadata.parse_session_end_info_plugin_data(
        events.PluginTagToContent("hparams")[metadata.SESSION_END_INFO_TAG]
    )
    assert end.status == api_pb2.STATUS_SUCCESS
    assert texts(events, "status") == ["finished"]


def test_an_error_has_no_home_folder(tmp_path: Path) -> None:
    """The status of a run that failed has `~` in place of the home folder."""
    Tracker(RunInfo(tmp_path, {}, {}), 0).finish("failed", f"{Path.home()}/run: no space left")
    assert texts(read(tmp_path), "status") == ["failed: ~/run: no space left"]


def test_training_is_unchanged(tracked: Path, quiet: Path) -> None:
    """The last checkpoint has the bits of a run without listeners."""
    assert not (quiet / "tensorboard").exists()
    assert checkpoint(tracked) == checkpoint(quiet)


def test_a_resumed_run_continues(tracked: Path, tmp_path: Path) -> None:
    """Steps after the checkpoint are dropped: each step is there once, as in the files of the run."""
    run = tmp_path / "r"
    shutil.copytree(tracked, run)
    shutil.rmtree(run / "checkpoints" / LAST)
    time.sleep(max(0.0, (run / "tensorboard").stat().st_mtime + 1 - time.time()))  # TensorBoard reads files by second
    assert notes(ganforge("resume", run, "--quiet", "--json")) == []
    assert len([*(run / "tensorboard").iterdir()]) == 2
    assert json.loads((run / "run.json").read_text())["resumed"][0]["step"] == 4
    events = read(run)
    check_scalars(run, events)
    assert [image.step for image in events.Images("samples")] == [0, 4, 8]


def test_a_tracker_that_fails_changes_nothing(tracked: Path, quiet: Path, tmp_path: Path) -> None:
    """If it cannot write, one line reports it, and the run ends with the same bits."""
    run = tmp_path / "r"
    shutil.copytree(tracked, run)
    shutil.rmtree(run / "checkpoints" / LAST)
    shutil.rmtree(run / "tensorboard")
    (run / "tensorboard").write_text("no folder")
    (line,) = notes(ganforge("resume", run, "--quiet", "--json"))
    assert "ganforge-tensorboard 0.1.0 failed in ganforge_started: FileExistsError" in line
    assert checkpoint(run) == checkpoint(quiet)


def events_of(folder: Path, *rows: tuple[int, float]) -> list[tuple[int, float]]:
    """Log rows of (step, loss); return what TensorBoard reads."""
    with closing(Tracker(RunInfo(folder, {}, {}), 0)) as tracker:
        for step, loss in rows:
            tracker.log_row({"step": step, "loss/generator": loss})
        return [(event.step, event.value) for event in read(folder).Scalars("loss/generator")]


def test_a_rollback_is_read_once(tmp_path: Path) -> None:
    """After a rollback, repeated steps replace the earlier ones."""
    rows = ((10, 1.0), (20, 2.0), (30, 3.0), (20, 2.5), (30, 3.5))
    assert events_of(tmp_path, *rows) == [(10, 1.0), (20, 2.5), (30, 3.5)]


def test_everything_is_on_the_disk_at_once(tmp_path: Path) -> None:
    """A tracker that is never closed, as after a kill, has lost nothing; a run without a checkpoint starts over."""
    assert events_of(tmp_path, (1, 1.0), (2, 2.0)) == [(1, 1.0), (2, 2.0)]
    time.sleep(1.1)  # TensorBoard reads files by second
    for file in (tmp_path / "tensorboard").iterdir():
        file.rename(file.with_name(f"{file.name}.earlier"))
    assert events_of(tmp_path, (1, 5.0)) == [(1, 5.0)]


def test_scores_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    """None is not written; the other scores are."""
    scores: Mapping[str, float | None] = {"good": 0.5, "none": None}
    with closing(Tracker(RunInfo(tmp_path, {}, {}), 0)) as tracker:
        tracker.log_scores(3, scores)
    assert read(tmp_path).Tags()["scalars"] == ["evaluation/good"]


def test_importing_it_is_light() -> None:
    """The module that nearly every command imports brings neither TensorBoard nor torch nor NumPy along."""
    program = "import sys, ganforge_tensorboard; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"tensorboard", "torch", "numpy", "PIL", "tensorflow", "google"} & set(done.stdout.split())

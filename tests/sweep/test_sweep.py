"""Laws of `ganforge sweep` with real processes: stopped, killed or started twice, it has the same leaderboard."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganforge.training.run_directory import RunDirectory
from tests.helpers.plugins import command, local, provides
from tests.helpers.runs import read_rows
from tests.helpers.sweeps import METRIC, make_config, run_names, without_times

SMALL = (
    "--gen.mlp.hidden",
    "[16]",
    "--disc.mlp.hidden",
    "[16]",
    "--precision",
    "fp32",
    "--device",
    "cpu",
    "--batch-size",
    "8",
)
SCORED = ("--metric", METRIC, "--num-samples", "5")
#: Two trials of a second or two, which save at every step.
SLOW = (
    *SMALL,
    *SCORED,
    "--steps",
    "250",
    "--checkpoint-every",
    "1",
    "--seeds",
    "2",
    "--no-plugins",
    "--gen",
    "mlp",
    "--disc",
    "mlp",
)
#: Side of the pictures, which DCGAN cannot halve.
SIDE = 9

BREAKS = """
from ganforge import Loss

class Breaks(Loss):
    def discriminator_loss(self, *, real, fake):
        self.calls = getattr(self, "calls", 0) + 1
        if self.calls > 3:
            raise RuntimeError("it broke at its fourth call")
        return fake.logits - real.logits

    def generator_loss(self, *, real, fake):
        return -fake.logits

""" + provides("loss", "breaks", "PLACE").replace("'PLACE'", "Breaks")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of small pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (60, SIDE, SIDE), dtype=np.uint8)):
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def sweep_command(pictures: Path, out: Path, *arguments: str) -> list[str]:
    """Return the arguments of a sweep on pictures."""
    return ["sweep", "--data", "folder", "--data.path", str(pictures), "--out", str(out), *arguments]


def start(pictures: Path, out: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a sweep on pictures in a separate process."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "ganforge", *sweep_command(pictures, out, *arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": "1"},
    )


def communicate(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for a process; return its exit code, stdout and stderr."""
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


def wait_until(condition: Callable[[], bool], *processes: subprocess.Popen[str]) -> None:
    """Wait for a condition while the processes are alive."""
    end = time.monotonic() + 120
    while not condition():
        assert all(process.poll() is None for process in processes), [process.communicate() for process in processes]
        assert time.monotonic() < end
        time.sleep(0.01)


def count_saved(out: Path) -> int:
    """Return the number of runs with a checkpoint."""
    return sum(any(folder.glob("step-*")) for folder in out.glob("*/checkpoints"))


def child_processes(process: subprocess.Popen[str]) -> list[int]:
    """Return the children of a process."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
    return [int(number) for number in children.split()]


@pytest.fixture(scope="module")
def straight(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the leaderboard of an uninterrupted sweep, two trials at a time."""
    out = tmp_path_factory.mktemp("straight") / "m"
    done = command(*sweep_command(pictures, out, *SLOW, "-j", "2", "--json"))
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    written = json.loads((out / "leaderboard.json").read_text(encoding="utf-8"))
    assert {key: value for key, value in document.items() if key != "sweep"} == written
    assert (out / "leaderboard.md").read_text(encoding="utf-8").count("| mlp | mlp | bce | folder | 2 |") == 1
    return document


def test_a_leaderboard_row_is_a_mean_over_seeds(straight: dict[str, Any]) -> None:
    """Mean of the seeds' scores, range of the two, direction and shared protocol."""
    (table,) = straight["tables"]
    (row,) = table["rows"]
    score = row["scores"][METRIC]
    assert table["higher_is_better"] == {METRIC: False}
    assert (table["protocol"]["fake_images"], table["protocol"]["data"]) == (5, "folder")
    assert row["seeds"] == [0, 1]
    assert score["mean"] == pytest.approx(sum(score["values"]) / 2)
    assert (score["low"], score["high"]) == (min(score["values"]), max(score["values"]))
    assert straight["unfinished"] == straight["unscored"] == straight["inapplicable"] == []


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc, which only Linux has")
def test_an_interrupted_sweep_has_the_same_leaderboard(
    straight: dict[str, Any], pictures: Path, tmp_path: Path
) -> None:
    """Ctrl-C lets both runs save; two sweeps share them; one is killed with its run, and the other continues.

    The leaderboard is that of an uninterrupted sweep. No run was started, damaged or scored twice.
    """
    out = tmp_path / "m"
    process = start(pictures, out, *SLOW, "-j", "2")
    wait_until(lambda: count_saved(out) == 2, process)
    process.send_signal(signal.SIGINT)
    code, _, errors = communicate(process)
    assert code == 130, errors
    assert f"ganforge sweep --resume {out}" in errors
    runs = [RunDirectory(out / name) for name in run_names(out)]
    assert [run.read_manifest().status for run in runs] == ["interrupted", "interrupted"], errors

    one, two = (start(pictures, out, *SLOW, "--json") for _ in range(2))
    wait_until(lambda: all(run.read_manifest().resumed for run in runs), one, two)
    children = child_processes(one)
    one.kill()
    for child in children:
        os.kill(child, signal.SIGKILL)
    assert communicate(one)[0] == -signal.SIGKILL
    code, printed, errors = communicate(two)
    assert code == 0, errors
    assert without_times(json.loads(printed)) == without_times(straight)
    assert "training mlp" not in errors, "every run is resumed"
    for run in runs:
        assert run.read_manifest().status == "finished"
        assert len([row for row in read_rows(run.evaluations) if row["source"] == "evaluate"]) == 1
        assert [row["step"] for row in read_rows(run.metrics)] == list(range(10, 251, 10))


@pytest.mark.slow
def test_failed_and_inapplicable_trials_do_not_stop_the_others(pictures: Path, tmp_path: Path) -> None:
    """A loss that raises fails its trial; DCGAN does not fit pictures of 9×9; the others are scored.

    The same command tries only the failed trial again.
    """
    plugin, out = local(tmp_path / "breaks.py", BREAKS), tmp_path / "m"
    names = ("--gen", "mlp", "--disc", "mlp,dcgan", "--loss", "bce,breaks", "--plugin", str(plugin), "--steps", "6")
    arguments = sweep_command(pictures, out, *SMALL, *SCORED, *names, "--seeds", "1")
    done = command(*arguments, "-j", "2", "--json")
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    (failed,) = document["unscored"]
    assert (failed["config"]["loss"], failed["status"]) == ("breaks", "failed")
    assert "it broke at its fourth call" in failed["error"]
    assert {item["config"]["disc"] for item in document["inapplicable"]} == {"dcgan"}
    assert all("9×9 pixels" in item["reason"] for item in document["inapplicable"])
    assert [row["config"]["loss"] for row in document["tables"][0]["rows"]] == ["bce"]
    assert "it broke at its fourth call" in done.stderr

    done = command(*arguments)
    assert done.returncode == 1
    assert "resuming mlp × mlp × breaks" in done.stderr
    assert "training" not in done.stderr
    assert "already there" in done.stderr


def test_a_resumed_sweep_loads_no_plugin_that_the_user_does_not_name(tmp_path: Path) -> None:
    """A sweep.toml that another user wrote names a file that would run."""
    plugin = local(tmp_path / "runs.py", f"open({str(tmp_path / 'it-ran')!r}, 'w')\n{BREAKS}")
    config = make_config().model_copy(update={"no_plugins": False, "plugins": (str(plugin),)})
    config.write(tmp_path)
    done = command("sweep", "--resume", str(tmp_path), "--dry-run")
    assert done.returncode == 2
    assert f"{tmp_path} uses local plugins: {plugin}" in done.stderr
    assert f"ganforge sweep --resume {tmp_path} --plugin {plugin}" in done.stderr
    assert not (tmp_path / "it-ran").exists()
    done = command("sweep", "--resume", str(tmp_path), "--plugin", str(plugin), "--no-plugins", "--dry-run")
    assert done.returncode == 2
    assert "continues a sweep unchanged" in done.stderr
    assert not (tmp_path / "it-ran").exists()


def test_dry_run_shows_the_plan_and_writes_nothing(pictures: Path) -> None:
    """Each configuration, and whether it fits; the same command has the same folder."""
    arguments = [
        "sweep",
        "--data",
        "folder",
        "--data.path",
        str(pictures),
        *SMALL,
        "--gen",
        "mlp,dcgan",
        "--disc",
        "mlp",
    ]
    arguments += ["--seeds", "4,6", "--no-plugins", "--dry-run"]
    done = command(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert plan["seeds"] == [4, 6]
    assert [item["fits"] for item in plan["configs"]] == [True, False]
    assert plan["out"].startswith("runs/sweep-")
    assert not Path("runs").exists()
    shown = command(*arguments)
    assert plan["out"] in shown.stdout
    assert "9×9 pixels" in shown.stdout


def test_the_former_name_of_the_command_is_an_error() -> None:
    """`ganforge matrix` is not an alias: the message names `sweep`, and exit code 2 ends it."""
    done = command("matrix", "--gen", "mlp")
    assert (done.returncode, done.stdout) == (2, "")
    assert "invalid command 'matrix'; did you mean 'sweep'?" in done.stderr

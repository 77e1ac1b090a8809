"""`ganforge matrix` with real processes: stopped, killed, started twice at once, it comes to the same leaderboard."""

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
from matrix_parts import METRIC, folder_of_runs, without_times
from PIL import Image
from plugin_parts import command, local, provides

from ganforge.training.run_directory import RunDirectory
from ganforge.utils.files import read_rows

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
SCORED = ("--metrics", METRIC, "--samples", "5")
#: Two cells that take a second or two each, and save at every step.
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
#: DCGAN needs a side that can be halved.
SIDE = 9

BREAKS = """
from ganforge import Loss

class Breaks(Loss):
    def discriminator(self, *, real, fake):
        self.calls = getattr(self, "calls", 0) + 1
        if self.calls > 3:
            raise RuntimeError("it broke at its fourth call")
        return fake.logits - real.logits

    def generator(self, *, real, fake):
        return -fake.logits

""" + provides("loss", "breaks", "PLACE").replace("'PLACE'", "Breaks")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of small pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (60, SIDE, SIDE), dtype=np.uint8)):
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def asked(pictures: Path, out: Path, *arguments: str) -> list[str]:
    """Return the command of a matrix on pictures."""
    return ["matrix", "--data", "folder", "--data.path", str(pictures), "--out", str(out), *arguments]


def start(pictures: Path, out: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a matrix on pictures in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "ganforge", *asked(pictures, out, *arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": "1"},
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for a process; return its exit code, and what it printed."""
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


def wait_until(what: Callable[[], bool], *processes: subprocess.Popen[str]) -> None:
    """Wait until something is so, as long as the processes live."""
    end = time.monotonic() + 120
    while not what():
        assert all(process.poll() is None for process in processes), [process.communicate() for process in processes]
        assert time.monotonic() < end
        time.sleep(0.01)


def saving(out: Path) -> int:
    """Return how many runs have saved a checkpoint."""
    return sum(any(folder.glob("step-*")) for folder in out.glob("*/checkpoints"))


def started_by(process: subprocess.Popen[str]) -> list[int]:
    """Return the processes that another one has started, as the system lists them."""
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
    return [int(number) for number in listed.split()]


@pytest.fixture(scope="module")
def straight(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the leaderboard of a matrix that nothing has interrupted, two cells at a time."""
    out = tmp_path_factory.mktemp("straight") / "m"
    done = command(*asked(pictures, out, *SLOW, "-j", "2", "--json"))
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    written = json.loads((out / "leaderboard.json").read_text(encoding="utf-8"))
    assert {key: value for key, value in document.items() if key != "matrix"} == written
    assert (out / "leaderboard.md").read_text(encoding="utf-8").count("| mlp | mlp | bce | folder | 2 |") == 1
    return document


def test_a_leaderboard_has_each_combination_over_its_seeds(straight: dict[str, Any]) -> None:
    """The mean of the seeds' scores, its interval, the direction, and the protocol that they share."""
    (table,) = straight["tables"]
    (row,) = table["rows"]
    score = row["scores"][METRIC]
    assert table["scores"] == {METRIC: "lower"}
    assert (table["protocol"]["fake_images"], table["protocol"]["data"]) == (5, "folder")
    assert row["seeds"] == [0, 1]
    assert score["mean"] == pytest.approx(sum(score["values"]) / 2)
    assert score["high"] - score["mean"] == pytest.approx(
        12.7062 * abs(score["values"][0] - score["values"][1]) / 2, rel=1e-4
    )
    assert straight["open"] == straight["unscored"] == straight["inapplicable"] == []


@pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="looks for the runs' processes in /proc, as only Linux has it"
)
def test_stopped_killed_and_started_twice_at_once_it_comes_to_the_same(
    straight: dict[str, Any], pictures: Path, tmp_path: Path
) -> None:
    """Ctrl-C lets both runs save; two matrices at once share them; one is killed with its run, and the other goes on.

    The leaderboard is that of the matrix which nothing interrupted. No run was begun twice, torn or scored twice.
    """
    out = tmp_path / "m"
    process = start(pictures, out, *SLOW, "-j", "2")
    wait_until(lambda: saving(out) == 2, process)
    process.send_signal(signal.SIGINT)
    code, _, errors = ended(process)
    assert code == 130, errors
    assert f"ganforge matrix --resume {out}" in errors
    runs = [RunDirectory(out / name) for name in folder_of_runs(out)]
    assert [run.read_manifest()["status"] for run in runs] == ["interrupted", "interrupted"], errors

    one, two = (start(pictures, out, *SLOW, "--json") for _ in range(2))
    wait_until(lambda: all(run.read_manifest().get("resumed") for run in runs), one, two)
    children = started_by(one)
    one.kill()
    for child in children:
        os.kill(child, signal.SIGKILL)
    assert ended(one)[0] == -signal.SIGKILL
    code, printed, errors = ended(two)
    assert code == 0, errors
    assert without_times(json.loads(printed)) == without_times(straight)
    assert "training mlp" not in errors, "every run is only gone on with"
    for run in runs:
        assert run.read_manifest()["status"] == "finished"
        assert len([row for row in read_rows(run.evaluations) if row["made_by"] == "evaluate"]) == 1
        assert [row["step"] for row in read_rows(run.metrics)] == list(range(10, 251, 10))


def test_what_fails_or_does_not_fit_is_said_and_the_others_go_on(pictures: Path, tmp_path: Path) -> None:
    """A loss that breaks fails its cell, with its error; DCGAN does not fit pictures of 9×9; the rest is scored.

    Asked again, only what failed is tried again.
    """
    plugin, out = local(tmp_path / "breaks.py", BREAKS), tmp_path / "m"
    names = ("--gen", "mlp", "--disc", "mlp,dcgan", "--loss", "bce,breaks", "--plugin", str(plugin), "--steps", "6")
    matrix = asked(pictures, out, *SMALL, *SCORED, *names, "--seeds", "1")
    done = command(*matrix, "-j", "2", "--json")
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    (failed,) = document["unscored"]
    assert (failed["combination"]["loss"], failed["status"]) == ("breaks", "failed")
    assert "it broke at its fourth call" in failed["error"]
    assert {item["combination"]["disc"] for item in document["inapplicable"]} == {"dcgan"}
    assert all("9×9 pixels" in item["reason"] for item in document["inapplicable"])
    assert [row["combination"]["loss"] for row in document["tables"][0]["rows"]] == ["bce"]
    assert "it broke at its fourth call" in done.stderr

    done = command(*matrix)
    assert done.returncode == 1
    assert "going on with mlp × mlp × breaks" in done.stderr
    assert "training" not in done.stderr
    assert "was there already" in done.stderr


def test_the_plan_is_shown_and_nothing_is_written(pictures: Path) -> None:
    """Each combination with whether it fits; asked twice, the folder's name is the same."""
    arguments = ["matrix", "--data", "folder", "--data.path", pictures, *SMALL, "--gen", "mlp,dcgan", "--disc", "mlp"]
    arguments += ["--seeds", "4,6", "--no-plugins", "--dry-run"]
    done = command(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert plan["seeds"] == [4, 6]
    assert [item["fits"] for item in plan["combinations"]] == [True, False]
    assert plan["out"].startswith("runs/matrix-")
    assert not Path("runs").exists()
    shown = command(*arguments)
    assert plan["out"] in shown.stdout
    assert "9×9 pixels" in shown.stdout

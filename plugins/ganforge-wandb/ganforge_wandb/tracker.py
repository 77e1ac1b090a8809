"""One session of a run, logged to a run of W&B's."""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wandb
from wandb.errors import UsageError

from ganforge import RunInfo

PROJECT = "ganforge"

#: Set to anything but 0, it uploads checkpoints.
CHECKPOINTS = "GANFORGE_WANDB_CHECKPOINTS"

#: What run.json says about where and on what a run trains.
FACTS = ("seed", "device", "precision", "created", "git_commit", "command", "data", "versions", "hardware")

#: The exit codes of ganforge itself: W&B calls a run that ends with another than 0 failed.
EXIT_CODES = {"finished": 0, "interrupted": 130, "diverged": 1, "failed": 1}
KILLED = 137

#: What W&B refuses in an artefact's name.
FORBIDDEN = re.compile(r"[^\w\-.]")


class Tracker:
    """Log a run's events as they come; wandb's own process takes them from here at once.

    RUN/wandb.json keeps the id of W&B's run, so that a run that goes on goes on there. Raises what wandb raises.
    """

    def __init__(self, run: RunInfo, step: int) -> None:
        self._grid: Path | None = None
        self._name = run.path.name
        # What waits to be uploaded, checkpoints included, stays with the run: offline it may wait for long.
        os.environ.setdefault("WANDB_DATA_DIR", str(run.path / "wandb"))
        self._run = begin(run)
        # wandb would call a run that was killed finished, when this process ends. Python calls what was registered last
        # first.
        atexit.register(self._lose)
        self._run.summary["status"] = "running"
        if step:
            self._run.summary["resumed_step"] = step
        self._keep(run.path / "run.toml", "run.toml")

    def row(self, row: Mapping[str, float]) -> None:
        """Log the numbers of a row of metrics.jsonl under their own names."""
        self._run.log({name: value for name, value in row.items() if name != "step"}, step=int(row["step"]))

    def scores(self, step: int, scores: Mapping[str, float | None]) -> None:
        """Log the scores of an evaluation; one that could not be computed is left out."""
        self._run.log({f"evaluation/{name}": value for name, value in scores.items() if value is not None}, step=step)

    def grid(self, step: int, path: Path) -> None:
        """Log a grid of samples as an image of its step."""
        self._grid = path
        self._run.log({"samples": wandb.Image(str(path))}, step=step)

    def checkpoint(self, step: int, path: Path) -> None:
        """Log a checkpoint as an artefact, where that was asked for. Its files are copied before this returns."""
        if os.environ.get(CHECKPOINTS, "") in {"", "0"}:
            return
        name = FORBIDDEN.sub("-", f"{self._name}-{self._run.id}")
        artefact = wandb.Artifact(name, type="checkpoint", metadata={"step": step})
        artefact.add_dir(str(path))
        self._run.log_artifact(artefact, aliases=["latest", path.name])

    def finish(self, status: str, error: str | None) -> None:
        """Keep the last grid, and say how the run ended."""
        atexit.unregister(self._lose)
        self._run.summary.update({"status": status, "error": error})
        if self._grid is not None:
            self._keep(self._grid, "last-samples.png")
        self._run.finish(exit_code=EXIT_CODES[status])

    def _keep(self, path: Path, name: str) -> None:
        """Add a file to W&B's run: a copy, since wandb would link to the original."""
        if self._run.disabled:  # it has no folder
            return
        place = Path(self._run.dir) / name
        shutil.copyfile(path, place)
        self._run.save(str(place), base_path=self._run.dir, policy="now")

    def _lose(self) -> None:
        """Say that the run was killed: this process ends, and nobody has told how the run ended."""
        self._run.summary["status"] = "killed"
        self._run.finish(exit_code=KILLED)


def begin(run: RunInfo) -> wandb.Run:
    """Return a new run of W&B's, or the one to go on with, as the user's variables and settings files have it.

    Where nobody is logged in and no mode is set, it is kept offline, and that is said.
    """
    place = run.path / "wandb.json"
    earlier = json.loads(place.read_text(encoding="utf-8")) if place.is_file() else {}
    user = wandb.setup().settings
    options: dict[str, Any] = {
        "id": earlier.get("id"),  # without one, WANDB_RUN_ID or a new one
        "resume": "allow",
        "project": user.project or earlier.get("project") or PROJECT,
        "name": user.run_name or run.path.name,
        "dir": os.environ.get("WANDB_DIR") or str(run.path),
        "config": {**run.experiment, "facts": {name: run.manifest.get(name) for name in FACTS}},
        "settings": wandb.Settings(console="off"),  # what is printed here is not the training's
    }
    try:
        found = wandb.init(**options)
    except UsageError:
        if "WANDB_MODE" in os.environ:
            raise
        found = wandb.init(mode="offline", **options)
        # A listener's output goes to the run's listeners.log.
        print("ganforge-wandb: nobody is logged in (wandb login), so this run is kept offline")  # noqa: T201
    if not found.disabled:
        place.write_text(json.dumps({"id": found.id, "project": found.project}) + "\n", encoding="utf-8")
    return found

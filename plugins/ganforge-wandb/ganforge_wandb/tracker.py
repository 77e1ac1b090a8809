"""W&B run of one session."""

from __future__ import annotations

import atexit
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wandb
from wandb.errors import UsageError

from ganforge import RunInfo
from ganforge.utils.files import read_file, write_atomically
from ganforge.utils.privacy import shorten_home

PROJECT = "ganforge"

#: Variable that turns on the upload of checkpoints.
CHECKPOINTS = "GANFORGE_WANDB_CHECKPOINTS"

#: Keys of run.json in the W&B config.
FACTS = ("seed", "device", "precision", "created", "git_commit", "command", "data", "versions", "hardware")

#: Exit codes of ganforge; W&B marks a run with another code than 0 as failed.
EXIT_CODES = {"finished": 0, "interrupted": 130, "diverged": 1, "failed": 1}
KILLED = 137

#: Characters that W&B does not allow in names of artifacts.
FORBIDDEN = re.compile(r"[^\w\-.]")


class Tracker:
    """Logger of a session's events; wandb's own process takes them at once."""

    def __init__(self, run: RunInfo, step: int, wandb_run: wandb.Run) -> None:
        """Log the settings of a session.

        Args:
            run: The run.
            step: Steps already done.
            wandb_run: The open W&B run.
        """
        self._grid: Path | None = None
        self._name = run.path.name
        self._run = wandb_run
        self._last_step = step
        self._discarded: list[str] = []
        # At the end of this process wandb would mark a killed run as finished. Python calls the functions that were
        # registered last first.
        atexit.register(self._finish_killed)
        self._run.summary["status"] = "running"
        if step:
            self._run.summary["resumed_step"] = step
        config = (run.path / "run.toml").read_text(encoding="utf-8", errors="surrogateescape")
        self._keep("run.toml", shorten_home(config).encode())

    def log_row(self, row: Mapping[str, float]) -> None:
        """Log a row of metrics.jsonl under the names of its columns.

        A step that is repeated follows a rollback. W&B keeps the values of the discarded steps, so the summary names
        them.
        """
        step = int(row["step"])
        if step <= self._last_step:
            self._discarded.append(f"{step}–{self._last_step}")
            self._run.summary["discarded_steps"] = ", ".join(self._discarded)
        self._last_step = step
        self._run.log({name: value for name, value in row.items() if name != "step"}, step=step)

    def log_scores(self, step: int, scores: Mapping[str, float | None]) -> None:
        """Log the scores of an evaluation, without those that are not finite."""
        self._run.log({f"evaluation/{name}": value for name, value in scores.items() if value is not None}, step=step)

    def log_grid(self, step: int, path: Path) -> None:
        """Log a grid of samples as an image."""
        self._grid = path
        self._run.log({"samples": wandb.Image(str(path))}, step=step)

    def log_checkpoint(self, step: int, path: Path) -> None:
        """Log a checkpoint as an artifact, if it is wanted. Its files are copied before this returns."""
        if os.environ.get(CHECKPOINTS, "") in {"", "0"}:
            return
        name = FORBIDDEN.sub("-", f"{self._name}-{self._run.id}")
        artifact = wandb.Artifact(name, type="checkpoint", metadata={"step": step})
        artifact.add_dir(str(path))
        self._run.log_artifact(artifact, aliases=["latest", path.name])

    def finish(self, status: str, error: str | None) -> None:
        """Keep the last grid, log the status, and finish the W&B run."""
        atexit.unregister(self._finish_killed)
        self._run.summary.update({"status": status, "error": shorten_home(error)})
        if self._grid is not None:
            self._keep("last-samples.png", self._grid.read_bytes())
        self._run.finish(exit_code=EXIT_CODES[status])

    def _keep(self, name: str, content: bytes) -> None:
        """Add a file to the W&B run."""
        if self._run.disabled:  # it has no folder
            return
        place = Path(self._run.dir) / name
        place.write_bytes(content)
        self._run.save(str(place), base_path=self._run.dir, policy="now")

    def _finish_killed(self) -> None:
        """Finish the W&B run of a training that was killed: this process ends without a status."""
        self._run.summary["status"] = "killed"
        self._run.finish(exit_code=KILLED)


def start_tracker(run: RunInfo, step: int) -> Tracker | None:
    """Return the tracker of a session, or None without a login.

    Raises whatever wandb raises.

    Args:
        run: The run.
        step: Steps already done.
    """
    # Files that wait for their upload, checkpoints included, stay with the run: offline they may wait for long.
    os.environ.setdefault("WANDB_DATA_DIR", str(run.path / "wandb"))
    wandb_run = init(run)
    return None if wandb_run is None else Tracker(run, step, wandb_run)


def init(run: RunInfo) -> wandb.Run | None:
    """Return a new W&B run, or the resumed one of RUN/wandb.json, by the user's variables and settings files.

    Without a login nothing is tracked unless WANDB_MODE is set; a line in RUN/listeners.log states it.
    """
    place = run.path / "wandb.json"
    earlier = json.loads(read_file(place)) if place.is_file() else {}
    user = wandb.setup().settings
    options: dict[str, Any] = {
        "id": earlier.get("id"),  # None: WANDB_RUN_ID or a new id
        "resume": "allow",
        "project": user.project or earlier.get("project") or PROJECT,
        "name": user.run_name or shorten_home(run.path.name),
        "dir": os.environ.get("WANDB_DIR") or str(run.path),
        "config": shorten_home({**run.experiment, "facts": {name: run.manifest.get(name) for name in FACTS}}),
        # The console of this process is not the training's. Output of wandb may contain a password of WANDB_BASE_URL,
        # and its metadata, of this process, absolute paths; `facts` have the hardware.
        "settings": wandb.Settings(console="off", silent=True, x_disable_meta=True),
    }
    try:
        wandb_run = wandb.init(**options)
    except UsageError as error:
        if "WANDB_MODE" in os.environ or "wandb login" not in str(error):
            raise
        # The output of listeners goes to listeners.log.
        print("ganforge-wandb: not logged in, so the run is not tracked: wandb login, or set WANDB_MODE=offline")  # noqa: T201
        return None
    if not wandb_run.disabled:
        write_atomically(place, json.dumps({"id": wandb_run.id, "project": wandb_run.project}) + "\n")
    return wandb_run

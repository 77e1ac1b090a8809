"""One session of a run, logged to a run of MLflow's."""

from __future__ import annotations

import atexit
import json
import os
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import islice, starmap
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from PIL import Image

from ganforge import RunInfo
from ganforge_mlflow.environment import wants_checkpoints
from ganforge_mlflow.settings import allowed, flat, tags

#: What MLflow takes in one request.
MOST_METRICS = 1000
MOST_TEXTS = 100

#: Rows of this many seconds go in one request.
SEND_SECONDS = 2.0
#: After a failure the server is left alone so long. Numbers wait meanwhile, the newest of them; grids do not.
PAUSE_SECONDS = 30.0
MOST_WAITING = 100_000

#: How MLflow calls the ends of a run. A tag keeps ganforge's own word.
STATUSES = {"finished": "FINISHED", "interrupted": "KILLED", "diverged": "FAILED", "failed": "FAILED"}


class Tracker:
    """Log a run's events as they come; numbers are collected for a moment first.

    RUN/mlflow.json keeps the id of MLflow's run, so that a run that goes on goes on there. Each request is bounded by
    MLFLOW_HTTP_REQUEST_TIMEOUT and MLFLOW_HTTP_REQUEST_MAX_RETRIES. Whatever the server does is raised once it is
    noticed; then it is left alone for a while. Raises what MLflow raises.
    """

    def __init__(self, run: RunInfo, step: int) -> None:
        self._client = connect()
        self._folder = run.path
        self._grid: Path | None = None
        self._waiting: deque[Metric] = deque(maxlen=MOST_WAITING)
        self._send_at = 0.0
        self._pause_until = 0.0
        self._run_id = self._begin(run, step)
        atexit.register(self._lose)

    def row(self, row: Mapping[str, float]) -> None:
        """Log the numbers of a row of metrics.jsonl under their own names."""
        self._log(int(row["step"]), {name: value for name, value in row.items() if name != "step"})

    def scores(self, step: int, scores: Mapping[str, float | None]) -> None:
        """Log the scores of an evaluation; one that could not be computed is left out."""
        self._log(step, {f"evaluation/{name}": value for name, value in scores.items() if value is not None})

    def grid(self, step: int, path: Path) -> None:
        """Log a grid of samples as an image of its step."""
        self._grid = path
        if self._paused:
            return
        with self._reaching(), Image.open(path) as image:
            self._client.log_image(self._run_id, image, key="samples", step=step)

    def checkpoint(self, step: int, path: Path) -> None:
        """Send what waits: a run that is killed goes on from here. Upload the checkpoint where that was asked for."""
        if self._paused:
            return
        self._send()
        if wants_checkpoints():
            with self._reaching():
                self._client.log_artifacts(self._run_id, str(path), f"checkpoints/{path.name}")

    def finish(self, status: str, error: str | None) -> None:
        """Send what waits and the last grid, and say how the run ended."""
        atexit.unregister(self._lose)
        self._send()
        with self._reaching():
            if self._grid is not None:
                self._client.log_artifact(self._run_id, str(self._grid), "samples")
            self._end(status, error)

    def _begin(self, run: RunInfo, step: int) -> str:
        """Return the id of a new run of MLflow's, or of the one to go on with, and log the settings to it."""
        found = self._remembered()
        if found is None:
            found = self._client.create_run(self._experiment(), run_name=run.path.name)
            place = {"run_id": found.info.run_id, "experiment_id": found.info.experiment_id}
            (run.path / "mlflow.json").write_text(json.dumps(place) + "\n", encoding="utf-8")
        else:
            self._client.update_run(found.info.run_id, status="RUNNING")
            self._client.set_tag(found.info.run_id, "resumed.step", step)
        given = dict(flat(run.experiment))
        new = {name: value for name, value in given.items() if name not in found.data.params}
        # MLflow never changes a parameter. What is otherwise since the run goes on becomes a tag.
        changed = {
            f"resumed.{name}": value for name, value in given.items() if found.data.params.get(name, value) != value
        }
        self._describe(found.info.run_id, new, {**tags(run.manifest), **changed, "status": "running"})
        self._client.log_artifact(found.info.run_id, str(run.path / "run.toml"))
        return str(found.info.run_id)

    def _describe(self, run_id: str, parameters: Mapping[str, str], facts: Mapping[str, str]) -> None:
        params, notes = [*starmap(Param, parameters.items())], [*starmap(RunTag, facts.items())]
        for begin in range(0, max(len(params), len(notes)), MOST_TEXTS):
            part = slice(begin, begin + MOST_TEXTS)
            self._client.log_batch(run_id, params=params[part], tags=notes[part])

    def _remembered(self) -> Run | None:
        """Return the run of MLflow's that this one was logged to before, or None where the server has no such run."""
        place = self._folder / "mlflow.json"
        if not place.is_file():
            return None
        try:
            found = self._client.get_run(json.loads(place.read_text(encoding="utf-8"))["run_id"])
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            found = None
        if found is None or found.info.lifecycle_stage == "deleted":
            # A listener's output goes to the run's listeners.log.
            print(f"ganforge-mlflow: this server has no run as {place} names it; a new one begins")  # noqa: T201
            return None
        return found

    def _experiment(self) -> str:
        """Return the id of the experiment that MLflow's own variables name, and make it where it is not there."""
        if given := os.environ.get("MLFLOW_EXPERIMENT_ID"):
            return given
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "Default")
        found = self._client.get_experiment_by_name(name)
        return str(self._client.create_experiment(name) if found is None else found.experiment_id)

    def _log(self, step: int, values: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)
        self._waiting.extend(Metric(allowed(name), float(value), now, step) for name, value in values.items())
        if time.monotonic() >= self._send_at and not self._paused:
            self._send()

    def _send(self) -> None:
        with self._reaching():
            while self._waiting:
                batch = [*islice(self._waiting, MOST_METRICS)]
                self._client.log_batch(self._run_id, metrics=batch)
                for _ in batch:
                    self._waiting.popleft()
            self._send_at = time.monotonic() + SEND_SECONDS

    def _end(self, status: str, error: str | None) -> None:
        self._client.set_tag(self._run_id, "status", status)
        if error is not None:
            self._client.set_tag(self._run_id, "error", error)
        self._client.set_terminated(self._run_id, STATUSES[status])

    def _lose(self) -> None:
        """Say that the run was killed: this process ends, and nobody has told how the run ended."""
        if not self._paused:
            self._send()
            self._client.set_tag(self._run_id, "status", "killed")
            self._client.set_terminated(self._run_id, "KILLED")

    @property
    def _paused(self) -> bool:
        return time.monotonic() < self._pause_until

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            self._pause_until = time.monotonic() + PAUSE_SECONDS
            raise


def connect() -> MlflowClient:
    """Return a client of the server, or of the database, that MLflow's variables name.

    Raises ModuleNotFoundError for a database where there is only the part of MLflow that talks to servers.
    """
    address = mlflow.get_tracking_uri()
    if address.startswith("sqlite:") and find_spec("sqlalchemy") is None:
        raise ModuleNotFoundError(
            f"MLflow would log to {address}, which needs all of MLflow: set MLFLOW_TRACKING_URI to a server's address, "
            "or install ganforge-mlflow[local]"
        )
    return MlflowClient()

"""MLflow run of one session."""

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
from ganforge.utils.files import read_file, write_atomically
from ganforge.utils.privacy import shorten_home
from ganforge_mlflow.environment import wants_checkpoints
from ganforge_mlflow.settings import flatten, metric_name, tags

#: Limits of one request to MLflow.
MAX_METRICS = 1000
MAX_TAGS = 100

#: Interval of requests with metrics.
SEND_SECONDS = 2.0
#: Pause after a failed request. Metrics wait meanwhile, grids do not.
PAUSE_SECONDS = 30.0
#: Waiting metrics; the oldest ones are dropped.
MAX_WAITING = 100_000

#: MLflow's status of a run; the tag `status` has ganforge's own.
STATUSES = {"finished": "FINISHED", "interrupted": "KILLED", "diverged": "FAILED", "failed": "FAILED"}


class Tracker:
    """Logger of a session's events; metrics are collected for a moment and sent together.

    Requests are bounded by MLFLOW_HTTP_REQUEST_TIMEOUT and MLFLOW_HTTP_REQUEST_MAX_RETRIES. All methods raise whatever
    MLflow raises; after a failure the server is left alone for `PAUSE_SECONDS`.
    """

    def __init__(self, run: RunInfo, step: int) -> None:
        """Start an MLflow run, or resume the one of RUN/mlflow.json, and log the settings.

        Args:
            run: The run.
            step: Steps already done.
        """
        self._client = connect()
        self._folder = run.path
        self._grid: Path | None = None
        self._waiting: deque[Metric] = deque(maxlen=MAX_WAITING)
        self._send_at = 0.0
        self._pause_until = 0.0
        self._last_step = step
        self._discarded: list[str] = []
        self._run_id = self._start(run, step)
        atexit.register(self._finish_killed)

    def log_row(self, row: Mapping[str, float]) -> None:
        """Log a row of metrics.jsonl under the names of its columns.

        A step that is repeated follows a rollback. MLflow keeps both values, so a tag names the discarded steps.
        """
        step = int(row["step"])
        if step <= self._last_step:
            self._discarded.append(f"{step}–{self._last_step}")
        self._last_step = step
        self._log(step, {name: value for name, value in row.items() if name != "step"})

    def log_scores(self, step: int, scores: Mapping[str, float | None]) -> None:
        """Log the scores of an evaluation, without those that are not finite."""
        self._log(step, {f"evaluation/{name}": value for name, value in scores.items() if value is not None})

    def log_grid(self, step: int, path: Path) -> None:
        """Log a grid of samples as an image."""
        self._grid = path
        if self._paused:
            return
        with self._request(), Image.open(path) as image:
            self._client.log_image(self._run_id, image, key="samples", step=step)

    def log_checkpoint(self, step: int, path: Path) -> None:
        """Send waiting metrics, since a killed run resumes here, and upload the checkpoint if it is wanted."""
        if self._paused:
            return
        self._send()
        if wants_checkpoints():
            with self._request():
                self._client.log_artifacts(self._run_id, str(path), f"checkpoints/{path.name}")

    def finish(self, status: str, error: str | None) -> None:
        """Send waiting metrics and the last grid, and log the status."""
        atexit.unregister(self._finish_killed)
        self._send()
        with self._request():
            if self._grid is not None:
                self._client.log_artifact(self._run_id, str(self._grid), "samples")
            self._client.set_tag(self._run_id, "status", status)
            if error is not None:
                self._client.set_tag(self._run_id, "error", shorten_home(error))
            self._client.set_terminated(self._run_id, STATUSES[status])

    def _start(self, run: RunInfo, step: int) -> str:
        """Return the id of the new or resumed MLflow run, after logging the settings."""
        mlflow_run = self._earlier_run()
        if mlflow_run is None:
            mlflow_run = self._client.create_run(self._experiment_id(), run_name=shorten_home(run.path.name))
            place = {"run_id": mlflow_run.info.run_id, "experiment_id": mlflow_run.info.experiment_id}
            write_atomically(run.path / "mlflow.json", json.dumps(place) + "\n")
        else:
            self._client.update_run(mlflow_run.info.run_id, status="RUNNING")
            self._client.set_tag(mlflow_run.info.run_id, "resumed.step", step)
        run_id, logged = str(mlflow_run.info.run_id), mlflow_run.data.params
        settings = dict(flatten(shorten_home(run.experiment)))
        new = {name: value for name, value in settings.items() if name not in logged}
        # MLflow never changes a parameter, so settings that were overridden on resume become tags.
        changed = {f"resumed.{name}": value for name, value in settings.items() if logged.get(name, value) != value}
        self._log_settings(run_id, new, {**shorten_home(tags(run.manifest)), **changed, "status": "running"})
        config = (run.path / "run.toml").read_text(encoding="utf-8", errors="surrogateescape")
        self._client.log_text(run_id, shorten_home(config), "run.toml")
        return run_id

    def _log_settings(self, run_id: str, parameters: Mapping[str, str], facts: Mapping[str, str]) -> None:
        params, run_tags = [*starmap(Param, parameters.items())], [*starmap(RunTag, facts.items())]
        for start in range(0, max(len(params), len(run_tags)), MAX_TAGS):
            part = slice(start, start + MAX_TAGS)
            self._client.log_batch(run_id, params=params[part], tags=run_tags[part])

    def _earlier_run(self) -> Run | None:
        """Return the MLflow run of an earlier session, or None if the server does not have it."""
        place = self._folder / "mlflow.json"
        if not place.is_file():
            return None
        try:
            mlflow_run = self._client.get_run(json.loads(read_file(place))["run_id"])
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            mlflow_run = None
        if mlflow_run is None or mlflow_run.info.lifecycle_stage == "deleted":
            # The output of listeners goes to listeners.log.
            print(f"ganforge-mlflow: the server does not have the run of {place}; a new one starts")  # noqa: T201
            return None
        return mlflow_run

    def _experiment_id(self) -> str:
        """Return the id of the experiment that MLflow's variables name, created if necessary."""
        if experiment_id := os.environ.get("MLFLOW_EXPERIMENT_ID"):
            return experiment_id
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "Default")
        experiment = self._client.get_experiment_by_name(name)
        return str(self._client.create_experiment(name) if experiment is None else experiment.experiment_id)

    def _log(self, step: int, values: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)
        self._waiting.extend(Metric(metric_name(name), float(value), now, step) for name, value in values.items())
        if time.monotonic() >= self._send_at and not self._paused:
            self._send()

    def _send(self) -> None:
        with self._request():
            while self._waiting:
                batch = [*islice(self._waiting, MAX_METRICS)]
                self._client.log_batch(self._run_id, metrics=batch)
                for _ in batch:
                    self._waiting.popleft()
            if self._discarded:
                self._client.set_tag(self._run_id, "discarded_steps", ", ".join(self._discarded))
            self._send_at = time.monotonic() + SEND_SECONDS

    def _finish_killed(self) -> None:
        """End the MLflow run of a training that was killed: this process ends without a status."""
        if not self._paused:
            self._send()
            self._client.set_tag(self._run_id, "status", "killed")
            self._client.set_terminated(self._run_id, "KILLED")

    @property
    def _paused(self) -> bool:
        return time.monotonic() < self._pause_until

    @contextmanager
    def _request(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            self._pause_until = time.monotonic() + PAUSE_SECONDS
            raise


def connect() -> MlflowClient:
    """Return a client of the server or database that MLflow's variables name.

    Raises:
        ModuleNotFoundError: A database is named, and only mlflow-skinny is installed.
    """
    address = mlflow.get_tracking_uri()
    if address.startswith("sqlite:") and find_spec("sqlalchemy") is None:
        raise ModuleNotFoundError(
            f"MLflow would log to {address}, which needs all of MLflow: set MLFLOW_TRACKING_URI to the address of a "
            "server, or install ganforge-mlflow[local]"
        )
    return MlflowClient()

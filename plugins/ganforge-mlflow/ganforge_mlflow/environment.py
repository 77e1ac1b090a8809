"""What the environment says, and what it says where the user says nothing."""

from __future__ import annotations

import os

#: A server that is gone costs two tries of four seconds, less than a run's listeners have at its end. MLflow's own
#: defaults wait for minutes. Telemetry would ask a host that has nothing to do with the run.
DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "4",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}

CHECKPOINTS = "GANFORGE_MLFLOW_CHECKPOINTS"


def set_defaults() -> None:
    """Set what the user has not set, in this process alone: it is the listeners' own."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)


def wants_checkpoints() -> bool:
    """Whether checkpoints are uploaded."""
    return os.environ.get(CHECKPOINTS, "") not in {"", "0"}

"""Environment variables of MLflow."""

from __future__ import annotations

import os
from urllib.parse import unquote, urlsplit, urlunsplit

#: Variables of which at least one must be set for a run to be tracked.
CONFIGURATION = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID")

#: Defaults of ganforge. An unreachable server costs two tries of four seconds, less than listeners have at the end of a
#: run; MLflow's own defaults wait for minutes. Telemetry would contact a host that has nothing to do with the run, and
#: the address of the server may be private.
DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "4",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}

CHECKPOINTS = "GANFORGE_MLFLOW_CHECKPOINTS"


def is_configured() -> bool:
    """Return whether the user has configured MLflow."""
    return any(os.environ.get(name) for name in CONFIGURATION)


def set_defaults() -> None:
    """Set variables that the user has not set, and move a password out of the address, in this process alone.

    Messages of MLflow contain the address.
    """
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    address = urlsplit(os.environ.get("MLFLOW_TRACKING_URI", ""))
    if address.scheme in {"http", "https"} and address.username is not None:
        os.environ.setdefault("MLFLOW_TRACKING_USERNAME", unquote(address.username))
        os.environ.setdefault("MLFLOW_TRACKING_PASSWORD", unquote(address.password or ""))
        host = address.netloc.rpartition("@")[2]
        os.environ["MLFLOW_TRACKING_URI"] = urlunsplit(address._replace(netloc=host))


def wants_checkpoints() -> bool:
    """Return whether checkpoints are uploaded."""
    return os.environ.get(CHECKPOINTS, "") not in {"", "0"}

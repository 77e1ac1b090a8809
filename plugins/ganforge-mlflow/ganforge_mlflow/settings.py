"""A run's configuration and manifest, as MLflow takes them: names and texts."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

#: What run.json says about where and on what a run trains.
FACTS = ("seed", "device", "precision", "created", "data", "versions", "hardware")

#: What MLflow refuses in a name.
FORBIDDEN = re.compile(r"[^\w\-. :/]")


def flat(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield each value under its path, such as `gen.mlp.latent_dim`; a text as it is, others as JSON, None not."""
    for key, value in nested.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        elif value is not None:
            yield prefix + key, value if isinstance(value, str) else json.dumps(value)


def tags(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return the facts of a manifest, the command that began the run, and what MLflow shows as its source."""
    chosen = {name: manifest[name] for name in FACTS if name in manifest}
    own = {"mlflow.source.name": "ganforge", "mlflow.source.type": "LOCAL"}
    if manifest.get("git_commit"):
        own["mlflow.source.git.commit"] = manifest["git_commit"]
    return {**dict(flat(chosen)), "command": shlex.join(manifest.get("command", ())), **own}


def allowed(name: str) -> str:
    """Return a metric's name with an underscore for what MLflow refuses."""
    return FORBIDDEN.sub("_", name)

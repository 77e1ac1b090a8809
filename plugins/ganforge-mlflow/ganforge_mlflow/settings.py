"""Settings and manifest of a run in the forms of MLflow."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ganforge.utils.text import shell_command

#: Keys of run.json that become tags.
FACTS = ("seed", "device", "precision", "created", "data", "versions", "hardware")

#: Characters that MLflow does not allow in names.
FORBIDDEN = re.compile(r"[^\w\-. :/]")


def flatten(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield dotted keys such as `gen.mlp.latent_dim` with their values as text or JSON; None is left out."""
    for key, value in nested.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        elif value is not None:
            yield prefix + key, value if isinstance(value, str) else json.dumps(value)


def tags(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return the facts of a manifest, the original command, and MLflow's own tags."""
    chosen = {name: manifest[name] for name in FACTS if name in manifest}
    own = {"mlflow.source.name": "ganforge", "mlflow.source.type": "LOCAL"}
    if manifest.get("git_commit"):
        own["mlflow.source.git.commit"] = manifest["git_commit"]
    return {**dict(flatten(chosen)), "command": shell_command(*manifest.get("command", ())), **own}


def metric_name(name: str) -> str:
    """Return a name with underscores in place of characters that MLflow does not allow."""
    return FORBIDDEN.sub("_", name)

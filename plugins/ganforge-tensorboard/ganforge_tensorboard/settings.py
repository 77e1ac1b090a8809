"""A run's configuration and manifest, as TensorBoard shows them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

#: What run.json says about where and on what a run trains.
FACTS = ("seed", "device", "precision", "created", "git_commit", "data", "versions", "hardware")


def flat(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, bool | float | str]]:
    """Yield each value under its path, such as `gen.mlp.latent_dim`; a list becomes its JSON, None is left out."""
    for key, value in nested.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        elif isinstance(value, bool | float | int | str):
            yield prefix + key, value
        elif value is not None:
            yield prefix + key, json.dumps(value)


def facts(manifest: Mapping[str, Any]) -> dict[str, bool | float | str]:
    """Return the facts of a manifest, and the command that began the run."""
    chosen = {name: manifest[name] for name in FACTS if name in manifest}
    return {**dict(flat(chosen)), "command": shlex.join(manifest.get("command", ()))}


def table(rows: Mapping[str, object]) -> str:
    """Return rows of two columns in Markdown."""
    lines = [f"| {key} | {str(value).replace('|', chr(92) + '|')} |" for key, value in rows.items()]
    return "\n".join(["| | |", "| --- | --- |", *lines])

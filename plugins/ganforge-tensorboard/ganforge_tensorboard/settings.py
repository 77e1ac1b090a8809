"""Settings and manifest of a run in the forms of TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ganforge.utils.text import shell_command

#: Keys of run.json that are shown as text.
FACTS = ("seed", "device", "precision", "created", "git_commit", "data", "versions", "hardware")


def flatten(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, bool | float | str]]:
    """Yield dotted keys such as `gen.mlp.latent_dim` with their values; lists become JSON, None is left out."""
    for key, value in nested.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        elif isinstance(value, bool | float | int | str):
            yield prefix + key, value
        elif value is not None:
            yield prefix + key, json.dumps(value)


def facts(manifest: Mapping[str, Any]) -> dict[str, bool | float | str]:
    """Return the facts of a manifest, with the original command."""
    chosen = {name: manifest[name] for name in FACTS if name in manifest}
    return {**dict(flatten(chosen)), "command": shell_command(*manifest.get("command", ()))}


def table(rows: Mapping[str, object]) -> str:
    """Return a Markdown table of two columns."""
    lines = [f"| {key} | {str(value).replace('|', chr(92) + '|')} |" for key, value in rows.items()]
    return "\n".join(["| | |", "| --- | --- |", *lines])

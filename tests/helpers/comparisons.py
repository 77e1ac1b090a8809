"""Run directories with chosen settings, ends and scores."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w

from ganforge.config import read_document
from ganforge.config.dotted import literal
from tests.helpers.run_directories import MANIFEST, evaluation, make_run, protocol, write_rows

__all__ = ["change", "made", "protocol_of", "scored", "write_rows"]


def made(
    folder: Path,
    *settings: str,
    seed: int = 0,
    rows: Sequence[dict[str, Any]] = (),
    manifest: Mapping[str, Any] | None = None,
    grids: int = 0,
    side: int = 74,
) -> Path:
    """Write a run with settings as on the command line, such as `gen.mlp.hidden=[8]`, and these evaluations."""
    said = {"components": MANIFEST["components"] | {"term": "r1"}, "health": []}
    run = make_run(folder, rows=5, grids=grids, side=side, manifest=said | dict(manifest or {}) | {"seed": seed})
    write_rows(run / "evaluation.jsonl", list(rows))
    change(run, f"seed={seed}", *settings)
    return run


def change(run: Path, *settings: str) -> None:
    """Change a run's run.toml, as training would have written it, and what run.json repeats of it."""
    document = read_document(run / "run.toml")
    manifest = json.loads((run / "run.json").read_text(encoding="utf-8"))
    for setting in settings:
        key, _, text = setting.partition("=")
        *path, last = key.split(".")
        table = document
        for part in path:
            table = table.setdefault(part, {})
        if key in {"gen", "disc", "loss", "data"}:
            table[last] = {"name": text}
            manifest["components"] = manifest["components"] | {key: text}
        else:
            table[last] = literal(text)
    (run / "run.toml").write_text(tomli_w.dumps(document), encoding="utf-8")
    (run / "run.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def scored(step: int, value: float | None, score: str = "fid", **changes: Any) -> dict[str, Any]:
    """Return an evaluation's row with one score. changes: of its protocol."""
    return evaluation(step, None) | {
        "scores": {score: value},
        "reference": {score: 1.25},
        "protocol": protocol_of(score, **changes),
    }


def protocol_of(score: str = "fid", *, higher_is_better: bool = False, **changes: Any) -> dict[str, Any]:
    """Return the protocol of one score."""
    metric = {
        "distribution": "ganforge",
        "options": {},
        "higher_is_better": {score: higher_is_better},
        "needs": ["features"],
    }
    return protocol(**{"metrics": {score: metric}} | changes)

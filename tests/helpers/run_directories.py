"""Run directories without training, for tests of their readers."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w
from PIL import Image

CONFIG = """
steps = 1000
seed = 0
device = "cpu"
term = {names = ["r1"], r1 = {weight = 10.0}}
[gen]
name = "mlp"
[gen.mlp]
hidden = [16]
[disc]
name = "mlp"
[loss]
name = "bce"
[data]
name = "mnist"
[optimizer.gen]
name = "adam"
[optimizer.gen.adam]
lr = 0.0002
"""


def protocol(**changes: Any) -> dict[str, Any]:
    """Return the protocol of an evaluation, with some keys changed."""
    metrics = {
        "fid": {"distribution": "ganforge", "options": {}, "higher_is_better": {"fid": False}, "needs": ["features"]},
        "modes": {
            "distribution": "ganforge",
            "options": {},
            "higher_is_better": {"modes": True, "modes-divergence": False},
            "needs": ["logits"],
        },
    }
    features = {"name": "digits", "distribution": "ganforge", "options": {}, "weights": "e" * 64, "preprocessing": "28"}
    return {
        "data": "mnist",
        "fingerprint": "a0c7",
        "split": "test",
        "real_images": 1000,
        "fake_images": 1000,
        "features": features,
        "metrics": metrics,
        "sampling": {},
        "latent": {"name": "normal", "distribution": "ganforge", "options": {}},
        "weights": "generator",
        "checkpoint": "c" * 64,
        "seed": 0,
        "versions": {"ganforge": "0.1.0"},
    } | changes


def evaluation(step: int, fid: float | None, **changes: Any) -> dict[str, Any]:
    """Return a row of evaluation.jsonl."""
    return {
        "step": step,
        "scores": {"fid": fid, "modes": 9.0},
        "reference": {"fid": 1.25, "modes": 10.0},
        "details": {
            "fid": {"deviation": 0.5},
            "modes": {"fake": {"zero": 0.75, "one": 0.25}, "real": {"zero": 0.5, "one": 0.5}},
        },
        "protocol": protocol(checkpoint=f"{step:064d}"),
        "seconds": 2.0,
        "source": "training",
    } | changes


MANIFEST: dict[str, Any] = {
    "status": "finished",
    "command": ["ganforge", "run", "--gen", "mlp", "--out", "my run"],
    "created": "2026-01-02T03:04:05+00:00",
    "updated": "2026-01-02T03:14:05+00:00",
    "components": {"gen": "mlp", "disc": "mlp", "loss": "bce", "data": "mnist"},
    "qualified": {},
    "seed": 0,
    "device": "cpu",
    "precision": "fp32",
    "data": {
        "name": "mnist",
        "fingerprint": "a0c7",
        "sizes": {"train": 8000, "test": 2000},
        "source": "the sample",
        "image": {"channels": 1, "height": 28, "width": 28, "condition": None, "dtype": "uint8"},
        "class_names": None,
    },
    "plugins": [{"distribution": "loud", "version": "1.2", "path": "/home/me/loud gan.py", "sha256": "5" * 64}],
    "origins": {"gen": "command line", "steps": "base.toml", "optimizer.gen.lr": "recommended by mlp"},
    "versions": {"python": "3.11.7", "torch": "2.14.1"},
    "hardware": {
        "platform": "Linux",
        "processor": "Abacus 9000",
        "cores": 2,
        "threads": 2,
        "memory_bytes": 2**34,
        "cpu_capability": "AVX2",
        "accelerators": [],
    },
    "git_commit": "cdb036f",
    "summary": {
        "steps": 1000,
        "images_seen": 60000,
        "images_per_second": 2345.6,
        "elapsed_seconds": 65.0,
        "losses": {"discriminator": 0.7, "generator": 0.9},
        "evaluation_seconds": 0.0,
        "best": None,
    },
    "health": [
        {
            "alert": "collapse",
            "since_step": 300,
            "until_step": 420,
            "value": 0.0,
            "message": "all alike",
            "hint": "a smaller step",
        }
    ],
    "error": None,
}


def make_run(
    folder: Path, *, rows: int = 100, grids: int = 6, side: int = 74, manifest: Mapping[str, Any] | None = None
) -> Path:
    """Write a run directory with a number of rows and of grids; `manifest` changes keys of run.json."""
    (folder / "samples").mkdir(parents=True)
    (folder / "evaluation").mkdir()
    (folder / "run.toml").write_text(tomli_w.dumps(tomllib.loads(CONFIG)), encoding="utf-8")
    write_json(folder / "run.json", MANIFEST | dict(manifest or {}))
    with (folder / "metrics.jsonl").open("w", encoding="utf-8") as file:
        for index in range(rows):
            file.write(json.dumps(row(index)) + "\n")
    write_rows(folder / "evaluation.jsonl", [evaluation(500, 20.0), evaluation(1000, 10.0)])
    for index in range(grids):
        grid(side, index).save(folder / "samples" / f"step-{index * 10:08d}.png")
    grid(side, 99).save(folder / "evaluation" / "nearest-pairs-00001000.png")
    return folder


def row(index: int) -> dict[str, float]:
    """Return a row of metrics.jsonl."""
    return {
        "step": 10 * (index + 1),
        "epoch": (index + 1) / 10,
        "images_seen": 600 * (index + 1),
        "loss/discriminator": 0.7 + 0.1 * math.sin(index / 7),
        "loss/generator": 0.9 + 0.1 * math.cos(index / 5),
        "logits/real": 0.41,
        "logits/fake": -0.41,
        "prob/real": 0.6,
        "prob/fake": 0.4,
        "term/r1": 0.01 * index,
        "path_length/mean": 1.0 + index,
        "path_length/std": 0.5,
        "lr/gen": 0.0002,
        "lr/disc": 0.0001,
        "health/diversity": 1 - math.exp(-index / 20),
        "health/alerts": float(29 <= index < 41),
        "images_per_second": 2000.0 + index,
        "elapsed_seconds": float(index),
    }


def grid(side: int, index: int) -> Image.Image:
    """Return a gray picture of noise, different for each index."""
    noise = Image.effect_noise((side, side), 90)
    noise.paste(index % 256, (0, 0, 8, 8))
    return noise


def write_json(path: Path, content: object) -> None:
    """Write a JSON file."""
    path.write_text(json.dumps(content), encoding="utf-8")


def change_json(path: Path, **changes: object) -> dict[str, Any]:
    """Change some keys of a JSON file, and return the content before."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    write_json(path, content | changes)
    return content


def write_rows(path: Path, content: list[dict[str, Any]]) -> None:
    """Write a file of rows."""
    path.write_text("".join(json.dumps(item) + "\n" for item in content), encoding="utf-8")

"""Whole, short trainings: the component works in a run, and that resumes exactly."""

from __future__ import annotations

import math
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganforge.components.spec import SECTIONS, Component, Kind
from ganforge.config import Layer
from ganforge.config.resolve import resolve
from ganforge.plugins import Plugins, Source
from ganforge.plugins.registry import Registry
from ganforge.runs import launch
from ganforge.runs.setup import prepare
from ganforge.testing.checks import Check, Failed, define, require
from ganforge.testing.fixture import Subject
from ganforge.testing.metrics import images_for
from ganforge.training import checkpoint as checkpoints
from ganforge.training.callbacks import Observer
from ganforge.training.run_directory import RunDirectory
from ganforge.utils.files import read_rows

CHECKS: list[Check] = []
STEPS, HALF = 20, 10
TIMES = ("images_per_second", "elapsed_seconds")
BATCH = 8
KIT = "ganforge-kit"
PARTNERS = {"gen": "partner", "disc": "partner", "loss": "bce", "data": "blobs", "features": "partner"}
#: What makes a run need its feature extractor.
METRIC = f"{KIT}/feature-distance"
#: Kinds whose runs are evaluated, in the middle and at the end.
EVALUATED: frozenset[Kind] = frozenset({"features", "metric"})


@define(CHECKS, "trains", fix="see what the run says; `ganforge run` shows the same")
def _trains(subject: Subject) -> None:
    """In twenty steps with small partners both networks change, and everything stays finite."""
    run = _trained(subject)
    first, last = (checkpoints.load(run.checkpoint_path(step)) for step in (HALF, STEPS))
    for network in ("generator", "discriminator"):
        before, after = first.tensors[network], last.tensors[network]
        require(
            any(not torch.equal(value, after[name]) for name, value in before.items()),
            f"the {network} does not learn",
        )
    for row in read_rows(run.metrics):
        bad = [name for name, value in row.items() if isinstance(value, float) and not math.isfinite(value)]
        require(not bad, f"step {row['step']}: {', '.join(bad)} is not finite")
    if subject.kind in EVALUATED:
        for step, scores in _scores(run):
            bad = [name for name, value in scores.items() if value is None]
            require(not bad, f"step {step}: the score {', '.join(bad)} is not finite")


@define(
    CHECKS,
    "resumes-exactly",
    fix="keep what changes in parameters and buffers, and draw random numbers only from what you are given",
)
def _resumes_exactly(subject: Subject) -> None:
    """Stopped in the middle and resumed, it ends with the same bits and the same rows."""
    straight = _trained(subject)
    with tempfile.TemporaryDirectory() as folder:
        stopped = RunDirectory(Path(folder, "run"))
        shutil.copytree(straight.path, stopped.path)
        shutil.rmtree(stopped.checkpoint_path(STEPS))
        outcome = launch.go_on(stopped, subject.kept["registry"], observer=lambda _: Observer())
        require(outcome.status == "finished", f"resumed in the middle it ended as {outcome.status}: {outcome.error}")
        ours, theirs = (checkpoints.load(run.checkpoint_path(STEPS)).tensors for run in (straight, stopped))
        for part, tensors in ours.items():
            for name, value in tensors.items():
                require(_same(value, theirs[part].get(name)), f"resumed in the middle, {part} {name} ends otherwise")
        require(_rows(straight) == _rows(stopped), "resumed in the middle, the rows of metrics.jsonl differ")
        require(_scores(straight) == _scores(stopped), "resumed in the middle, the scores differ")


def _same(one: Tensor, two: Tensor | None) -> bool:
    return two is not None and torch.equal(one, two)


def _rows(run: RunDirectory) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in TIMES} for row in read_rows(run.metrics)]


def _scores(run: RunDirectory) -> list[tuple[int, dict[str, float | None]]]:
    return [(row["step"], row["scores"]) for row in read_rows(run.evaluations)]


def _trained(subject: Subject) -> RunDirectory:
    """Train a subject once for both checks; the folder lives as long as the subject does."""
    if "run" not in subject.kept:
        folder = Path(tempfile.mkdtemp(prefix="ganforge-check-"))
        weakref.finalize(subject, shutil.rmtree, folder, ignore_errors=True)
        subject.kept["registry"] = registry = with_partners(subject.registry)
        resolved = resolve([Layer("conformance kit", _settings(subject), loose=True)], registry)
        outcome = launch.start(prepare(resolved, registry), out=folder / "run", observer=Observer())
        if outcome.status != "finished":
            raise Failed(f"a short training ended as {outcome.status}: {outcome.error}")
        subject.kept["run"] = outcome.run
    run: RunDirectory = subject.kept["run"]
    return run


def _settings(subject: Subject) -> dict[str, Any]:
    """Return the settings of a short training of a subject beside its partners."""
    section = next(section for section, kind in SECTIONS.items() if kind == subject.kind)
    image = subject.image
    blobs = {
        "channels": image.channels,
        "height": image.height,
        "width": image.width,
        "classes": image.num_classes or 1,
    }
    chosen: dict[str, Any] = {part: f"{KIT}/{name}" for part, name in PARTNERS.items()}
    tables: dict[str, Any] = {part: {"name": name} for part, name in chosen.items()}
    if subject.kind != "dataset":
        tables["data"] |= blobs
    own = subject.entry.qualified_name
    options = {
        key: "none" if value is None else value for key, value in subject.options.model_dump(mode="json").items()
    }
    tables["metric"] = {"names": [METRIC] if subject.kind == "features" else []}
    tables[section] = {"name": own, **options} if section in PARTNERS else {"names": [own], own: options}
    settings: dict[str, Any] = {**tables, "steps": STEPS, "batch_size": BATCH, "seed": 3, "device": "cpu"}
    settings |= {"precision": "fp32", "checkpoint_every": HALF, "keep_checkpoints": 9, "log_every": 1, "workers": 0}
    settings |= {"sample_every": STEPS, "compile": "off"}
    if subject.kind in EVALUATED:
        images = images_for(subject.make(), subject) if subject.kind == "metric" else BATCH
        settings |= {"evaluate_every": HALF, "num_samples": images}
        tables["data"]["images"] = 2 * images
    return settings


def with_partners(registry: Registry) -> Registry:
    """Return a registry that has, beside everything that it had, the kit's own small partners."""
    plugins = Plugins(
        components=list(registry.plugins.components),
        problems=registry.plugins.problems,
        blocked=registry.plugins.blocked,
    )
    place = "ganforge.testing.stubs"
    for kind, name, target in (
        ("generator", "partner", "PartnerGenerator"),
        ("discriminator", "partner", "PartnerDiscriminator"),
        ("loss", "bce", "PartnerLoss"),
        ("dataset", "blobs", "Blobs"),
        ("features", "partner", "PartnerExtractor"),
        ("metric", "feature-distance", "PartnerMetric"),
    ):
        component = Component(kind=kind, name=name, target=f"{place}:{target}")  # type: ignore[arg-type]
        plugins.components.append((component, Source(KIT, "1")))
    plugins.admitted = list(registry.plugins.admitted)
    return Registry(plugins, no_plugins=registry.no_plugins)

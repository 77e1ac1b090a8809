"""Short whole trainings: the component works in a run, and resumes exactly."""

from __future__ import annotations

import math
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganforge.components.spec import SECTIONS, Component, Kind, Section
from ganforge.config import Layer
from ganforge.config.dotted import NOTHING
from ganforge.config.experiment import SEVERAL
from ganforge.config.resolve import resolve
from ganforge.plugins import Plugins, Source
from ganforge.plugins.registry import Registry
from ganforge.runs import launch
from ganforge.runs.setup import prepare
from ganforge.schemas.rows import EVALUATIONS, METRICS, read_rows
from ganforge.testing.checks import Check, CheckFailed, register_check, require
from ganforge.testing.common import BUILDS
from ganforge.testing.fixture import Fixture
from ganforge.testing.metrics import images_for
from ganforge.testing.state import RUNS
from ganforge.testing.stubs import StubDataset
from ganforge.training import checkpoint as checkpoints
from ganforge.training.callbacks import Callback
from ganforge.training.run_directory import RunDirectory

CHECKS: list[Check] = []
STEPS, HALF = 20, 10
TIMES = ("images_per_second", "elapsed_seconds")
BATCH = 8
KIT = "ganforge-kit"
STUB = f"{KIT}/stub"
STUBS: dict[Kind, str] = {
    "generator": "StubGenerator",
    "discriminator": "StubDiscriminator",
    "loss": "StubLoss",
    "dataset": "StubDataset",
    "latent": "StubLatent",
    "optimizer": "StubOptimizer",
    "features": "StubExtractor",
    "metric": "StubMetric",
}
#: Option that an examined schedule applies to.
SCHEDULED = "optimizer.gen.lr"
#: Kinds whose runs are evaluated, in the middle and at the end.
EVALUATED: frozenset[Kind] = frozenset({"features", "metric"})
#: Checks without which a training cannot succeed, and without which it cannot resume exactly.
TRAINS = (
    *(BUILDS, "options-round-trip", "image-range", "gradients", "images-matter", "own-weights", "stage-key"),
    *("batch-independent", "order-equivariant"),
    *("loss-finite", "gradient-signs", "reaches-weights", "logs-numbers", "differentiable", "creates-optimizer"),
    *(
        "lowers-quadratic",
        "factor-range",
        "short-trainings",
        "images-as-declared",
        "sizes-as-declared",
        "features-as-declared",
    ),
    *("logits-as-declared", "scores-as-declared", "needs-declared", "details-and-images", *RUNS),
)
RESUMES = (
    *("trains", "same-seed-same-weights", "registered-state", "state-round-trip", "python-state", "module-globals"),
    *("same-value-twice", "draws-from-rng", "augments-from-rng", "parameters-decide", "state-is-saved"),
    *(
        "latents-from-rng",
        "frozen-networks",
        "copy-is-independent",
        "optimizer-resumes",
        "pure-function",
        "no-random-numbers",
    ),
    *("same-images-twice", "resolved-options", "same-score-twice", "same-features-twice", "state-is-whole"),
)


@register_check(CHECKS, "trains", fix="see the message of the run; `ganforge run` shows the same", needs=TRAINS)
def _trains(fixture: Fixture) -> None:
    """In twenty steps with small partners both networks change, and everything stays finite."""
    run = _trained(fixture)
    first, last = (checkpoints.load(run.checkpoint_path(step)) for step in (HALF, STEPS))
    for network in ("generator", "discriminator"):
        before, after = first.tensors[network], last.tensors[network]
        require(
            any(not torch.equal(value, after[name]) for name, value in before.items()),
            f"the {network} does not learn",
        )
    for row in read_rows(run.metrics, METRICS):
        bad = [name for name, value in row.items() if isinstance(value, float) and not math.isfinite(value)]
        require(not bad, f"step {row['step']}: {', '.join(bad)} is not finite")
    if fixture.kind in EVALUATED:
        for step, scores in _scores(run):
            bad = [name for name, value in scores.items() if value is None]
            require(not bad, f"step {step}: the score {', '.join(bad)} is not finite")


@register_check(
    CHECKS,
    "resumes-exactly",
    fix="keep state in parameters and buffers, and draw random numbers only from the generators that are passed",
    needs=RESUMES,
)
def _resumes_exactly(fixture: Fixture) -> None:
    """Stopped in the middle and resumed, it ends with the same bits and the same rows."""
    straight = _trained(fixture)
    with tempfile.TemporaryDirectory() as folder:
        stopped = RunDirectory(Path(folder, "run"))
        shutil.copytree(straight.path, stopped.path)
        shutil.rmtree(stopped.checkpoint_path(STEPS))
        outcome = launch.resume_run(stopped, fixture.kept["registry"], callback=lambda _: Callback())
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
    return [{key: value for key, value in row.items() if key not in TIMES} for row in read_rows(run.metrics, METRICS)]


def _scores(run: RunDirectory) -> list[tuple[int, dict[str, float | None]]]:
    return [(row.step, row.scores) for row in read_rows(run.evaluations, EVALUATIONS)]


def _trained(fixture: Fixture) -> RunDirectory:
    """Train a component once for both checks; the folder lives as long as the fixture."""
    if "run" not in fixture.kept:
        folder = Path(tempfile.mkdtemp(prefix="ganforge-check-"))
        weakref.finalize(fixture, shutil.rmtree, folder, ignore_errors=True)
        fixture.kept["registry"] = registry = with_stubs(fixture.registry)
        resolved = resolve([Layer("conformance kit", _settings(fixture), loose=True)], registry)
        outcome = launch.start_run(prepare(resolved, registry), out=folder / "run", callback=Callback())
        if outcome.status != "finished":
            raise CheckFailed(f"a short training ended as {outcome.status}: {outcome.error}")
        fixture.kept["run"] = outcome.run
    run: RunDirectory = fixture.kept["run"]
    return run


def _settings(fixture: Fixture) -> dict[str, Any]:
    """Return the settings of a short training of a component among its partners and the kit's stubs."""
    own = {fixture.entry.qualified_name: _plain(fixture)}
    tables: dict[str, Any] = {section: _table(fixture, section, own) for section in SECTIONS}
    tables["optimizer"] = _named(own) if fixture.kind == "optimizer" else {"name": STUB}
    if fixture.kind == "schedule":
        tables["schedules"] = {SCHEDULED: _named(own)}
    settings: dict[str, Any] = {**tables, "steps": STEPS, "batch_size": BATCH, "seed": 3, "device": "cpu"}
    settings |= {"precision": "fp32", "checkpoint_every": HALF, "keep_checkpoints": 9, "log_every": 1, "workers": 0}
    settings |= {"sample_every": STEPS, "compile": "off"}
    if fixture.kind in EVALUATED:
        images = images_for(fixture.make(), fixture) if fixture.kind == "metric" else BATCH
        settings |= {"evaluate_every": HALF, "num_samples": images}
        if "data" not in fixture.partners:
            tables["data"]["images"] = 2 * images
    return settings


def _table(fixture: Fixture, section: Section, own: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the settings of one section: the component, its partner, or the kit's stub."""
    chosen: dict[str, dict[str, Any]] = {}
    if section in fixture.partners:
        chosen[fixture.partners[section].qualified_name] = {}
    if section == fixture.section:
        chosen = {**chosen, **own} if section in SEVERAL else dict(own)
    if not chosen and (section not in SEVERAL or (section == "metric" and fixture.kind == "features")):
        chosen = {STUB: StubDataset.Options.of(fixture.image) if section == "data" else {}}
    return {"names": list(chosen), **chosen} if section in SEVERAL else _named(chosen)


def _named(chosen: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    ((name, options),) = chosen.items()
    return {"name": name, **options}


def _plain(fixture: Fixture) -> dict[str, Any]:
    """Return the component's options as a configuration holds them."""
    options = fixture.options.model_dump(mode="json")
    return {key: NOTHING if value is None else value for key, value in options.items()}


def with_stubs(registry: Registry) -> Registry:
    """Return a registry that has the kit's stubs, in addition to everything that it had."""
    plugins = Plugins(
        components=list(registry.plugins.components),
        problems=registry.plugins.problems,
        blocked=registry.plugins.blocked,
    )
    for kind, name in STUBS.items():
        component = Component(kind=kind, name="stub", target=f"ganforge.testing.stubs:{name}")
        plugins.components.append((component, Source(KIT, "1")))
    plugins.admitted = list(registry.plugins.admitted)
    return Registry(plugins, no_plugins=registry.no_plugins)

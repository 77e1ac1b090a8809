"""Thin copy of a run: a run directory with one checkpoint and without what only training needs, to share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from ganforge.config import from_document, to_document
from ganforge.runs.rebuild import sampling_sections
from ganforge.schemas.checkpoint import HealthState
from ganforge.schemas.manifest import Manifest, PluginRecord
from ganforge.training import checkpoint as checkpoints
from ganforge.training.checkpoint import Checkpoint
from ganforge.training.run_directory import RunDirectory
from ganforge.utils.files import write_atomically
from ganforge.utils.privacy import shorten_paths
from ganforge.utils.text import printable_json

if TYPE_CHECKING:
    from ganforge.runs.trained_run import TrainedRun


def write_thin_copy(run: TrainedRun, checkpoint: Checkpoint, weights: str, folder: Path) -> RunDirectory:
    """Write a thin copy of a run into an empty folder, and return it.

    It has run.toml, run.json, the scores of the checkpoint and its weights for sampling. Names stand in place of
    absolute paths, and the command line is left out.

    Args:
        run: The run.
        checkpoint: The checkpoint.
        weights: Its file of the generator: `generator` or `generator_ema`.
        folder: Empty folder.

    Raises:
        GanforgeError: A component of the run is missing.
        OSError: A file cannot be written.
    """
    copy = RunDirectory(folder)
    copy.checkpoints.mkdir()
    experiment = run.experiment
    if weights == "generator":
        experiment = experiment.model_copy(update={"ema_halflife_images": None})
    copy.write_experiment(from_document(shorten_paths(to_document(experiment))))
    manifest = run.manifest
    known = {name: value for name, value in manifest.as_dict().items() if name in Manifest.model_fields}
    command = ["ganforge", "run", "--config", copy.config.name]
    content = Manifest.model_validate_json(json.dumps(shorten_paths({**known, "command": command, "resumed": []})))
    write_atomically(copy.manifest, printable_json(content.as_dict(), indent=2) + "\n")
    rows = [row for row in run.evaluations if row.step == checkpoint.step and row.protocol.weights == weights]
    if rows:
        lines = [json.dumps(shorten_paths(row.model_dump(mode="json"))) + "\n" for row in rows]
        write_atomically(copy.evaluations, "".join(lines))
    checkpoints.save(copy, _thin(checkpoint, weights=weights, alone="disc" not in sampling_sections(run)))
    return copy


def needed_plugins(run: TrainedRun) -> list[PluginRecord]:
    """Return the distributions and local plugins that sampling from a run needs, without the paths of local ones."""
    manifest = run.manifest
    names = {name.rpartition("/")[0] for section in sampling_sections(run) for name in manifest.qualified[section]}
    needed = [plugin for plugin in manifest.plugins if plugin.distribution in names]
    return [plugin.model_copy(update={"path": shorten_paths(plugin.path)}) for plugin in needed]


def _thin(checkpoint: Checkpoint, *, weights: str, alone: bool) -> Checkpoint:
    """Return a checkpoint without optimizers and statistics of the training.

    Args:
        checkpoint: The checkpoint.
        weights: File of the generator.
        alone: Whether generator and latent distribution are rebuilt without other components.
    """
    left_out = {"optimizers"} if weights == "generator_ema" else {"optimizers", "generator_ema"}
    names = {weights, "latent"} if alone else checkpoint.tensors.keys() - left_out
    health = HealthState(rows=0, stats={}, streaks={}, alerts=[]).model_dump()
    state = {**checkpoint.state, "optimizers": {}, "last_stats": {}, "health": health}
    return Checkpoint({name: values for name, values in checkpoint.tensors.items() if name in names}, state)

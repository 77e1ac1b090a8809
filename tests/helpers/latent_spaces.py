"""Runs of one step with the generators of `latent_plugin`."""

from __future__ import annotations

from pathlib import Path

from ganforge import Callback, TrainedRun, load
from ganforge.plugins.registry import Registry
from ganforge.runs import launch
from ganforge.runs.setup import prepare
from tests.helpers.runs import ROOT, tiny

PLUGIN = ROOT / "tests" / "helpers" / "latent_plugin.py"
SETTINGS = ("disc=mlp", "disc.hidden=[4]", "batch_size=4", "steps=1", "features=pixels")


def train_one_step(folder: Path, generator: str, *settings: str) -> TrainedRun:
    """Train a generator of the plugin for a step, in a new folder."""
    registry = Registry.discover([PLUGIN], no_plugins=True)
    resolved = tiny(registry, f"gen={generator}", *SETTINGS, *settings)
    launch.start_run(prepare(resolved, registry), out=folder, callback=Callback())
    return load(folder, plugins=[PLUGIN])

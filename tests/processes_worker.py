"""What each of several processes does in test_processes: `torchrun processes_worker.py FOLDER PLUGIN`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from conftest import tiny

from ganforge.engine.processes import Processes, joined
from ganforge.errors import TrainingError
from ganforge.experiments.launch import start
from ganforge.experiments.prepare import prepare
from ganforge.experiments.together import follow
from ganforge.registry import Registry

MLP = ("gen=mlp", "disc=mlp", "gen.hidden=[32]", "disc.hidden=[32]", "steps=20", "batch_size=60")
#: What is trained with one and with two processes; without dropout, whose draws each process has of its own.
CASES: dict[str, tuple[str, ...]] = {
    "bce": (*MLP, "disc.dropout=0.0", "ema_halflife_images=500", "optimizer.disc.clip_norm=0.1"),
    "penalty": (*MLP, "disc.dropout=0.0", "penalty=slope", "penalty.weight=3.0", "critic_steps=2"),
    "batch-norm": (
        *("gen=dcgan", "disc=dcgan", "gen.base_channels=4", "disc.base_channels=4", "steps=20", "batch_size=60"),
        "sync_batch_norm=true",
    ),
    "dropout": (*MLP, "steps=60", "checkpoint_every=10"),
}


def train(case: str, folder: Path, registry: Registry, processes: Processes) -> None:
    """Train one case in this process's place."""
    if processes.first:
        settings = [setting for setting in CASES[case] if processes.count > 1 or not setting.startswith("sync")]
        prepared = prepare(tiny(registry, *settings), registry, processes=processes)
        start(prepared, out=folder / case)
    else:
        follow(registry, processes)


def main(folder: Path, plugin: Path) -> None:
    """Train all cases, and try whether processes that differ are noticed."""
    registry = Registry.discover([plugin], no_plugins=True)
    with joined() as processes:
        for case in CASES:
            train(case, folder, registry, processes)
        try:
            processes.check_same(f"weights of {processes.rank}", "the weights")
        except TrainingError as error:
            (folder / f"noticed-{processes.rank}.json").write_text(json.dumps(error.message))
    tasks = Path("/proc/self/task")
    names = [(task / "comm").read_text().strip() for task in tasks.iterdir()] if tasks.is_dir() else []
    (folder / f"threads-{processes.rank}.json").write_text(json.dumps(names))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

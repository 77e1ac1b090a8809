"""Trainings by several ranks, for test_distributed: `torchrun processes_worker.py FOLDER PLUGIN`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ganforge.plugins.registry import Registry
from ganforge.runs.launch import start_run
from ganforge.runs.session import Outcome, run_rank
from ganforge.runs.setup import prepare
from ganforge.training.distributed import DistContext, init_distributed
from tests.helpers.runs import tiny

MLP = ("gen=mlp", "disc=mlp", "gen.hidden=[32]", "disc.hidden=[32]", "steps=20", "batch_size=60")
#: Trainings with one and with two processes; most without dropout, whose draws differ by process.
CASES: dict[str, tuple[str, ...]] = {
    "bce": (*MLP, "disc.dropout=0.0", "ema_halflife_images=500", "optimizer.disc.clip_norm=0.1"),
    "term": (*MLP, "disc.dropout=0.0", "term=slope", "term.weight=3.0", "critic_steps=2"),
    "batch-norm": (
        *("gen=dcgan", "disc=dcgan", "gen.base_channels=4", "disc.base_channels=4", "steps=20", "batch_size=60"),
        "sync_batch_norm=true",
    ),
    "float16": (*MLP, "disc.dropout=0.0", "precision=fp16", "optimizer=sgd"),
    "dropout": (*MLP, "steps=60", "checkpoint_every=10"),
    "uneven": (*MLP, "term=uneven", "steps=1"),
    "collapse": (*MLP[1:2], *MLP[3:], "gen=still", "steps=80", "checkpoint_every=20", "on_collapse=rollback"),
}


def train(case: str, folder: Path, registry: Registry, dist: DistContext) -> Outcome:
    """Train one case in this process's place."""
    if not dist.is_main:
        return run_rank(registry, dist)
    settings = [setting for setting in CASES[case] if dist.world_size > 1 or not setting.startswith("sync")]
    prepared = prepare(tiny(registry, *settings), registry, dist=dist)
    return start_run(prepared, out=folder / case)


def main(folder: Path, plugin: Path) -> None:
    """Train all cases."""
    registry = Registry.discover([plugin], no_plugins=True)
    with init_distributed() as dist:
        for case in CASES:
            outcome = train(case, folder, registry, dist)
            ending = outcome.error if outcome.status == "failed" else outcome.health
            (folder / f"{case}-{dist.rank}.json").write_text(json.dumps([outcome.status, ending]))
        maximum = dist.all_reduce_max(dist.rank)
        (folder / f"maximum-{dist.rank}.json").write_text(json.dumps(maximum))
    tasks = Path("/proc/self/task")
    names = [(task / "comm").read_text().strip() for task in tasks.iterdir()] if tasks.is_dir() else []
    (folder / f"threads-{dist.rank}.json").write_text(json.dumps(names))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

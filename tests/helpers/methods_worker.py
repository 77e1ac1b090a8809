"""Plugins of tests/methods and their training, also by two ranks: `torchrun methods_worker.py FOLDER`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ganforge.config import command_line_layer
from ganforge.config.resolve import resolve
from ganforge.config.resolved import ResolvedConfig
from ganforge.data.streaming import make_loader
from ganforge.plugins.local import load_local
from ganforge.plugins.registry import Registry
from ganforge.training.build import build
from ganforge.training.distributed import SINGLE_PROCESS, DistContext, init_distributed
from ganforge.training.setup import setup_training
from tests.helpers.runs import ROOT

FOLDER = ROOT / "tests" / "methods"
#: Digits that ship, for methods without a dataset of their own.
DIGITS = ("data=mnist", "data.source=sample")
SHORT = ("precision=fp32", "device=cpu", "seed=3", "steps=20", "log_every=1", "metric=[]", "workers=0")
SGD = tuple(f"optimizer.{phase}{setting}" for phase in ("gen", "disc") for setting in ("=sgd", ".lr=0.05"))
#: Methods that are optimizers.
OPTIMIZERS = frozenset({"extragradient", "lookahead"})


@dataclass(frozen=True, slots=True)
class Method:
    """Plugin file and the settings that train with it.

    Attributes:
        name: Name of the file, with that of the settings if it has several.
        path: The file.
        settings: As on the command line.
    """

    name: str
    path: Path
    settings: tuple[str, ...]

    @property
    def registry(self) -> Registry:
        """Components of the file and of ganforge alone."""
        return Registry.discover([self.path], no_plugins=True)

    def resolve(self, *settings: str) -> ResolvedConfig:
        """Return the configuration of a short training."""
        own_data = any(setting.startswith("data=") for setting in self.settings)
        given = (*SHORT, *(() if own_data else DIGITS), *self.settings, *settings)
        return resolve([command_line_layer(list(given))], self.registry)

    def train_plainly(
        self, steps: int, *settings: str, dist: DistContext = SINGLE_PROCESS
    ) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
        """Train some steps of gradient descent, which amplifies rounding least, without a run directory.

        Returns:
            All tensors of all components by name, and the numbers of each step.
        """
        plain = () if self.name in OPTIMIZERS else SGD
        gan = build(self.resolve(*plain, *settings))
        device, experiment = torch.device("cpu"), gan.resolved.experiment
        gan_step, _ = setup_training(gan, device=device, precision="fp32", dist=dist)
        sizes = {phase: experiment.images_per_update(phase) for phase in gan_step.phases}
        loaders = {
            size: make_loader(gan, device, rank=dist.rank, world_size=dist.world_size, batch_size=size)
            for size in set(sizes.values())
        }
        rows = []
        for step in range(steps):
            stats: dict[str, Tensor] = {}
            for name in gan_step.phases:
                stats |= gan_step.update(name, loaders[sizes[name]].batch(step), step, step)
            rows.append({column: float(value) for column, value in stats.items()})
        tensors = {
            f"{component}.{name}": value
            for component, module in gan.modules().items()
            for name, value in module.state_dict().items()
        }
        return tensors, rows


def find_methods() -> list[Method]:
    """Return a method for each settings of each file."""
    found = []
    for path in sorted(FOLDER.glob("*.py")):
        module, _ = load_local(path)
        for variable, settings in vars(module).items():
            if variable == "SETTINGS":
                found.append(Method(path.stem, path, settings))
            elif variable.endswith("_SETTINGS"):
                found.append(Method(f"{path.stem}-{variable.removesuffix('_SETTINGS').lower()}", path, settings))
    return found


METHODS = {method.name: method for method in find_methods()}
#: Methods whose update of a batch is not the mean of the updates of its parts, and the reason.
BATCH_DEPENDENT = {
    "top_k": "the best k images are those of each part",
    "vqgan": "the ratio of gradients is that of each part",
}
PLAIN_STEPS = 3


def main(folder: Path) -> None:
    """Train every method by all ranks, and save the tensors of the first one."""
    torch.set_num_threads(1)
    with init_distributed() as dist:
        for method in METHODS.values():
            if method.name not in BATCH_DEPENDENT:
                tensors, _ = method.train_plainly(PLAIN_STEPS, dist=dist)
                if dist.is_main:
                    torch.save(tensors, folder / f"{method.name}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

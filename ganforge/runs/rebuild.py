"""Components of a trained run, rebuilt from configuration, run.json and checkpoint without opening data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ganforge.components import Generator, LatentDistribution, TrainedComponent, weights_sha256
from ganforge.components.sampling import copy_module, draw_latents
from ganforge.config import SECTIONS, Section
from ganforge.config.reload import SAMPLING, SCORING, reload
from ganforge.config.resolved import ResolvedComponent
from ganforge.data.scoring import blame
from ganforge.errors import UsageError
from ganforge.runs.latents import MAX_SEED, Latents
from ganforge.training import checkpoint as checkpoints
from ganforge.training.build import TrainedModules, build_modules, build_network
from ganforge.training.checkpoint import Checkpoint
from ganforge.training.precision import choose_device
from ganforge.training.state import load_components
from ganforge.utils.process import kept_process
from ganforge.utils.rng import fork_torch_rng
from ganforge.utils.suggest import did_you_mean

if TYPE_CHECKING:
    from ganforge.runs.trained_run import TrainedRun

#: Sections that have no part in a training step.
UNTRAINED: frozenset[Section] = frozenset({"data", *SCORING})


@dataclass(frozen=True, slots=True)
class LoadedGenerator:
    """Generator and latent distribution of a checkpoint, in evaluation mode on the CPU.

    Attributes:
        checkpoint: SHA-256 of the generator's weights.
        step: Step of the checkpoint.
    """

    generator: Generator
    latent: LatentDistribution
    checkpoint: str
    step: int

    def on(self, device: str) -> Generator:
        """Return the generator, or its copy on another device than the CPU. Raises ConfigError as `choose_device`."""
        chosen = choose_device(device)
        return self.generator if chosen.type == "cpu" else copy_module(self.generator, share_weights=False).to(chosen)

    def draw(self, count: int, seed: int) -> Latents:
        """Return the first latents of a seed in z, the same for every count."""
        if not 0 <= seed <= MAX_SEED:
            raise UsageError(f"invalid seed {seed}; the range is 0 to {MAX_SEED}")
        z = draw_latents(self.latent, self.generator, count, seed=seed)
        seeds = torch.stack([torch.full((count,), seed), torch.arange(count)], dim=1)
        return Latents(z, "z", None, seeds, self.checkpoint)


@kept_process()
def rebuild_modules(run: TrainedRun, checkpoint: Checkpoint) -> TrainedModules:
    """Return all trained components with the weights of a checkpoint, in evaluation mode on the CPU.

    Raises UnknownComponentError, PluginError if a component cannot be built, and CheckpointError for a checkpoint of
    other components.
    """
    sections = [section for section in SECTIONS if section not in UNTRAINED]
    resolved = reload(run.experiment, run.registry, run.manifest, sections)
    modules = build_modules(resolved, run.dataset_info(), initialize=False)
    load_components(modules, checkpoint)
    for module in modules.modules().values():
        module.eval().requires_grad_(requires_grad=False)
    return modules


@kept_process()
def rebuild_generator(run: TrainedRun, checkpoint: Checkpoint, file: str) -> LoadedGenerator:
    """Return the generator of a checkpoint's file, and the latent distribution. Raises as `rebuild_modules`."""
    if (parts := _independent(run)) is not None:
        gen, prior = parts
        generator = build_network(gen, run.dataset_info(), run.experiment.seed, "weights/generator")
        generator.stage(checkpoint.step)
        with blame(prior), fork_torch_rng(run.experiment.seed, "weights/latent"):
            latent: LatentDistribution = prior.cls(prior.options)
        latent.stage(checkpoint.step)
        checkpoints.load_module(latent, checkpoint.tensors.get("latent", {}), "latent")
    else:
        modules = rebuild_modules(run, checkpoint)
        generator, latent = modules.generator, modules.latent
    checkpoints.load_module(generator, checkpoint.file(file), file, frozen=generator.frozen)
    for module in (generator, latent):
        module.eval().requires_grad_(requires_grad=False)
    return LoadedGenerator(generator, latent, weights_sha256(generator), checkpoint.step)


def sampling_sections(run: TrainedRun) -> list[Section]:
    """Return the sections of the components that sampling needs. Raises as `rebuild_modules`."""
    return [section for section in SECTIONS if section not in SCORING] if _independent(run) is None else list(SAMPLING)


def find_module(modules: TrainedModules, name: str) -> nn.Module:
    """Return a component by its name, or a submodule as `COMPONENT.ATTRIBUTE` or, if it is the only one, by attribute.

    Raises UsageError for an unknown or ambiguous name.
    """
    components: dict[str, nn.Module] = dict(modules.modules())
    children = {
        f"{owner}.{child}": module for owner, part in components.items() for child, module in part.named_children()
    }
    modules_by_name = components | children
    matches = [name] if name in modules_by_name else [path for path in children if path.endswith(f".{name}")]
    if len(matches) > 1:
        raise UsageError(f"ambiguous module {name!r}: {', '.join(matches)}", fix="use the full name")
    if not matches:
        raise UsageError(f"no module {name!r}{did_you_mean(name, modules_by_name)}")
    return modules_by_name[matches[0]]


def _independent(run: TrainedRun) -> tuple[ResolvedComponent, ResolvedComponent] | None:
    """Return generator and latents if they are built without other components and loaded from their own files alone."""
    resolved = reload(run.experiment, run.registry, run.manifest, ("gen", "latent"))
    parts = resolved.one("gen"), resolved.one("latent")
    classes: list[Any] = [part.cls for part in parts]
    return parts if all(cls.setup is TrainedComponent.setup and not cls.frozen for cls in classes) else None

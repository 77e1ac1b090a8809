"""Training steps of the component among its partners and stubs, made by the engine's own step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ganforge.components import TrainStep
from ganforge.data.loader import Batch
from ganforge.testing.fixture import Fixture
from ganforge.training.build import GANComponents
from ganforge.training.completed_step import CompletedStep
from ganforge.training.distributed import SINGLE_PROCESS
from ganforge.training.optim import create_optimizer, frozen
from ganforge.training.setup import phase_parameters
from ganforge.training.step import GANStep, Part, Update
from ganforge.utils.rng import derive_generator, fork_torch_rng

COUNT = 6


class Harness:
    """Small GAN around the component under examination.

    Attributes:
        gan: All components.
        modules: Everything that takes part in a training step, by name.
        component: The component under examination.
        phases: Weights by phase and name.
        engine: Updates of the phases.
    """

    def __init__(self, fixture: Fixture, gan: GANComponents | None = None, **networks: nn.Module) -> None:
        self.fixture = fixture
        self.gan = fixture.build() if gan is None else gan
        for name, network in networks.items():
            setattr(self.gan, name, network)
        self.modules = self.gan.modules()
        self.component: Any = self.modules[fixture.slot]
        self.phases = phase_parameters(self.gan)
        optimizers = {
            phase: create_optimizer(self.gan.resolved.optimizers[phase], weights)
            for phase, weights in self.phases.items()
        }
        self.engine = GANStep(
            self.gan, phases=self.phases, optimizers=optimizers, device=torch.device("cpu"), precision="fp32"
        )
        self._dtype = torch.float32

    def double(self) -> Harness:
        """Turn all modules and inputs into float64."""
        for module in self.modules.values():
            module.double()
        self._dtype = torch.float64
        return self

    def evaluation_mode(self) -> Harness:
        """Switch layers such as dropout off."""
        for module in self.modules.values():
            module.eval()
        return self

    def batch(self, number: int = 0) -> Batch:
        """Return a batch of real images in the harness's precision."""
        return self.fixture.batch(COUNT, number).map(self._cast)

    def step(self, phase: str, number: int = 0, batch: Batch | None = None) -> TrainStep:
        """Return the update of a phase; the number decides data, latents and random numbers."""
        batch = self.batch(number) if batch is None else batch
        dim = self.gan.generator.latent_dim
        z = self._cast(self.gan.latent.sample(COUNT, dim, derive_generator(number, "latents")))
        return self.engine.train_step(phase, Part(batch, z), Update(number, number, {}))

    @staticmethod
    def completed(step: TrainStep) -> TrainStep:
        """Return an update as `after_step` gets it."""
        return CompletedStep([step], SINGLE_PROCESS)

    @contextmanager
    def training(self, phase: str, number: int = 0) -> Iterator[dict[str, nn.Parameter]]:
        """Prepare an update as the engine does: stages, gradients of the phase's own weights only, seeded layers."""
        self.engine.set_stages(number)
        with frozen(self.engine.phases[phase].others), fork_torch_rng(number, f"layers/{phase}"):
            yield self.phases[phase]

    def value(self, phase: str, number: int = 0, batch: Batch | None = None) -> Any:  # noqa: ANN401 - should be a tensor
        """Return the values of the term in a phase, with a graph to the weights of the phase only."""
        with self.training(phase, number):
            return self.component(self.step(phase, number, batch))

    def update(self, phase: str, number: int) -> None:
        """Make one update, in which every term is due."""
        interval = math.lcm(*(term.options.every for term in self.gan.all_terms.values()))
        with fork_torch_rng(number, f"update/{phase}"):
            self.engine.update(phase, self.batch(number), number * interval, number)

    def _cast(self, values: Tensor) -> Tensor:
        return values.to(self._dtype) if values.is_floating_point() else values

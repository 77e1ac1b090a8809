"""Training steps by hand: the component among stubs, without the engine."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ganforge.components import Augmentation, LatentDistribution, LossTerm, TrainedComponent, TrainStep
from ganforge.data.loader import Batch
from ganforge.testing.fixture import Fixture
from ganforge.utils.rng import derive_generator, fork_torch_rng

COUNT = 6
TOTAL_STEPS = 100
LR = 1e-3
#: Phase that trains a network's weights unless `optimized_in` names another one.
OWN_PHASE = {"generator": "gen", "discriminator": "disc"}


class Harness:
    """Small GAN around the component under examination, updated by hand.

    Attributes:
        fixture: The component.
        modules: Everything that takes part in a training step, by name.
        logged: Numbers that terms logged.
    """

    def __init__(self, fixture: Fixture, seed: int = 0, **networks: nn.Module) -> None:
        self.fixture = fixture
        self.modules = fixture.assemble(seed) | networks
        self.logged: dict[str, Any] = {}
        self.dtype = torch.float32

    @property
    def component(self) -> Any:  # noqa: ANN401 - of any interface
        """The component under examination."""
        return self.modules[self.fixture.slot]

    @property
    def terms(self) -> list[LossTerm]:
        """The loss and further terms."""
        return [module for module in self.modules.values() if isinstance(module, LossTerm)]

    @property
    def augmentations(self) -> dict[str, Augmentation]:
        """Augmentations by name."""
        return {name: module for name, module in self.modules.items() if isinstance(module, Augmentation)}

    @property
    def phases(self) -> tuple[str, ...]:
        """The discriminator's and the generator's update, then further ones."""
        added = [phase for module in self.modules.values() for phase in getattr(module, "optimized_in", {}).values()]
        return tuple(dict.fromkeys(("disc", "gen", *added)))

    def double(self) -> Harness:
        """Turn all modules and inputs into float64."""
        for module in self.modules.values():
            module.double()
        self.dtype = torch.float64
        return self

    def evaluation_mode(self) -> Harness:
        """Switch layers such as dropout off."""
        for module in self.modules.values():
            module.eval()
        return self

    def weights(self, slot: str) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the weights of one module, with the module's name."""
        for name, weight in self.modules[slot].named_parameters():
            yield f"{slot}.{name}", weight

    def parameters(self, phase: str) -> dict[str, nn.Parameter]:
        """Return the weights that a phase trains, by module and name."""
        return {
            f"{slot}.{name}": weight
            for slot, module in self.modules.items()
            for name, weight in module.named_parameters()
            if phase_of(slot, module, name) == phase and weight.requires_grad
        }

    def batch(self, number: int = 0, count: int = COUNT) -> Batch:
        """Return a batch of real images in the harness's precision."""
        batch = self.fixture.batch(count, number)
        extras = {name: self._cast(values) for name, values in batch.extras.items()}
        return Batch(self._cast(batch.images), self._cast(batch.condition), extras)

    def latents(self, count: int, number: int = 0) -> Tensor:
        """Return latents, `(N, Z)`."""
        latent: LatentDistribution = self.modules["latent"]  # type: ignore[assignment]
        dim = self.modules["generator"].latent_dim
        values: Tensor = self._cast(latent.sample(count, dim, derive_generator(number, "latents")))  # type: ignore[arg-type]
        return values

    def step(self, phase: str, number: int = 0, batch: Batch | None = None) -> TrainStep:
        """Return the update of a phase; the number decides data, latents and random numbers."""
        batch = self.batch(number) if batch is None else batch
        return TrainStep(
            phase=phase,
            step=number,
            progress=number / TOTAL_STEPS,
            images_seen=number * len(batch.images),
            real=batch.images,
            z=self.latents(len(batch.images), number),
            modules=self.modules,
            derive_rng=lambda name: derive_generator(number, f"{phase}/{name}"),
            condition=batch.condition,
            extras=batch.extras,
            augmentations=self.augmentations,
            log=self.logged.__setitem__,
        )

    def value(self, term: LossTerm, phase: str, number: int = 0, batch: Batch | None = None) -> Tensor | None:
        """Return a term of a phase's loss, with a graph to the weights of the phase only."""
        with self.training(phase, number):
            return term(self.step(phase, number, batch))  # type: ignore[no-any-return]

    @contextmanager
    def training(self, phase: str, number: int) -> Iterator[dict[str, nn.Parameter]]:
        """Prepare an update as the engine does: stages, gradients of the phase's own weights only, seeded layers."""
        for module in self.modules.values():
            if isinstance(module, TrainedComponent):
                module.stage(number)
        own = self.parameters(phase)
        others = [
            weight
            for module in self.modules.values()
            for weight in module.parameters()
            if weight.requires_grad and not any(weight is trained for trained in own.values())
        ]
        for weight in others:
            weight.requires_grad_(False)
        try:
            with fork_torch_rng(number, f"layers/{phase}"):
                yield own
        finally:
            for weight in others:
                weight.requires_grad_(True)

    def update(self, phase: str, number: int) -> dict[str, Tensor]:
        """Make one update by gradient descent, and return the gradients of the phase's weights."""
        with self.training(phase, number) as weights:
            step = self.step(phase, number)
            loss = self._loss(step)
            if loss is not None and loss.requires_grad:
                loss.backward()
            gradients = {name: weight.grad for name, weight in weights.items() if weight.grad is not None}
            with torch.no_grad():
                for name, gradient in gradients.items():
                    weights[name].sub_(gradient, alpha=LR)
                    weights[name].grad = None
                done = self.finished(step)
                for term in self.terms:
                    if phase in term.phases or not term.phases:
                        term.after_step(done)
                if phase == "disc":
                    for augmentation in self.augmentations.values():
                        augmentation.observe(done.real_output.logits)
        return gradients

    @staticmethod
    def finished(step: TrainStep) -> TrainStep:
        """Return an update as `after_step` gets it: with what `forward` kept, without graphs."""
        done = copy.copy(step)
        done.kept = dict(step._kept)  # noqa: SLF001 - the engine's side of `keep`
        done._generator_output = step.generator_output.map(Tensor.detach)  # noqa: SLF001 - as above
        done._real_output, done._fake_output = (  # noqa: SLF001 - as above
            None if output is None else output.map(Tensor.detach)
            for output in (step._real_output, step._fake_output)  # noqa: SLF001 - as above
        )
        return done

    def train(self, first: int, count: int) -> None:
        """Make `count` steps, each with an update of every phase."""
        for number in range(first, first + count):
            for phase in self.phases:
                self.update(phase, number)

    def _loss(self, step: TrainStep) -> Tensor | None:
        due = {}
        for term in self.terms:
            if step.phase in term.phases:
                step.use_rng(f"term/{slot_of(self.modules, term)}")
                due[id(term)] = term(step)
        total: Tensor | None = None
        for term in self.terms:
            values = due.get(id(term))
            if values is None:
                continue
            for other in self.terms:
                due_here = step.phase in (other.phases or self.phases)
                if other is not term and due_here and slot_of(self.modules, term) in other.reweights:
                    factors = other.reweight(step, values)
                    values = values if factors is None else values * factors.detach()
            weighted = values.mean() * term.options.weight
            total = weighted if total is None else total + weighted
        return total

    def _cast(self, values: Any) -> Any:  # noqa: ANN401 - a tensor, or None
        return values.to(self.dtype) if isinstance(values, Tensor) and values.is_floating_point() else values


def phase_of(slot: str, module: nn.Module, name: str) -> str | None:
    """Return the phase that trains a weight, or None."""
    optimized_in: Mapping[str, str] = getattr(module, "optimized_in", {})
    for attribute, phase in optimized_in.items():
        if name == attribute or name.startswith(f"{attribute}."):
            return phase
    return OWN_PHASE.get(slot)


def slot_of(modules: Mapping[str, nn.Module], module: nn.Module) -> str:
    """Return the name of a module in a training step."""
    return next(name for name, candidate in modules.items() if candidate is module)

# ruff: noqa: SLF001
"""Completed update with the tensors of the whole batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

from ganforge.components import DiscriminatorOutput, GeneratorOutput, TrainStep
from ganforge.training.distributed import DistContext

Output = TypeVar("Output", GeneratorOutput, DiscriminatorOutput)


class CompletedStep(TrainStep):
    """View of an update for `LossTerm.after_step`, with detached tensors of all parts and ranks.

    Outputs are gathered when they are first read. All ranks must read the same attributes in the same order.
    """

    def __init__(self, steps: Sequence[TrainStep], dist: DistContext) -> None:
        first = steps[0]
        self._steps, self._dist = steps, dist
        super().__init__(
            phase=first.phase,
            step=first.step,
            progress=first.progress,
            images_seen=first.images_seen,
            real=first.real,
            z=first.z,
            condition=first.condition,
            extras=first.extras,
            modules=first.modules,
            derive_rng=first.derive_rng,
            augmentations=first.augmentations,
        )
        if len(steps) == 1 and dist.world_size == 1:
            self._outputs, self._augmented = dict(first._outputs), first._augmented
            self._generator_output = first._generator_output
        else:
            self.real, self.z = self._gather([s.real for s in steps]), self._gather([s.z for s in steps])
            self.condition = self._gather_condition([s.condition for s in steps])
            self.extras = {name: self._gather([s.extras[name] for s in steps]) for name in first.extras}
        self.kept = {name: self._gather([s._kept[name] for s in steps]) for name in first._kept}

    @property
    def generator_output(self) -> GeneratorOutput:
        """Output of the generator for the whole batch, detached; features that are not per image are averaged."""
        if self._generator_output is None:
            self._generator_output = self._gather_output([step.generator_output for step in self._steps])
        return self._generator_output.map(Tensor.detach)

    def _output(self, *, real: bool) -> DiscriminatorOutput:
        """Return the output for the real images or the fakes of the whole batch, detached."""
        if real not in self._outputs:
            outputs = [step.real_output if real else step.fake_output for step in self._steps]
            condition = self._gather_condition([output.condition for output in outputs])
            self._outputs[real] = self._gather_output(outputs).with_condition(condition)
        return self._outputs[real].map(Tensor.detach)

    def _gather(self, parts: Sequence[Tensor]) -> Tensor:
        """Return the values of all parts and ranks, `(N, …)`, or their mean if they are `()`; detached."""
        parts = [part.detach() for part in parts]
        if parts[0].ndim == 0:
            mean = parts[0].clone() if len(parts) == 1 else torch.stack(parts).mean()
            self._dist.all_reduce_mean([mean])
            return mean
        return self._dist.all_gather(parts[0] if len(parts) == 1 else torch.cat(parts))

    def _gather_condition(self, parts: Sequence[Tensor | None]) -> Tensor | None:
        values = [part for part in parts if part is not None]
        return self._gather(values) if values else None

    def _gather_output(self, outputs: Sequence[Output]) -> Output:
        """Return the output for the whole batch: each tensor of `map`, gathered."""
        columns = iter(zip(*map(_tensors, outputs), strict=True))
        return outputs[0].map(lambda _: self._gather(next(columns)))


def _tensors(output: GeneratorOutput | DiscriminatorOutput) -> list[Tensor]:
    """Return the tensors of an output in the order of `map`."""
    tensors: list[Tensor] = []

    def collect(value: Tensor) -> Tensor:
        tensors.append(value)
        return value

    output.map(collect)
    return tensors

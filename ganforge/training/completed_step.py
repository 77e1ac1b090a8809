# ruff: noqa: SLF001
"""Completed update with the tensors of the whole batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ganforge.components import DiscriminatorOutput, GeneratorOutput, TrainStep
from ganforge.training.distributed import DistContext


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
            self._real_output, self._fake_output = first._real_output, first._fake_output
            self._generator_output = first._generator_output
            self._augmented = first._augmented
        else:
            self.real, self.z = self._gather(lambda step: step.real), self._gather(lambda step: step.z)
            if first.condition is not None:
                self.condition = self._gather(lambda step: step.condition)
            self.extras = {name: self._gather(lambda step, n=name: step.extras[n]) for name in first.extras}  # type: ignore[misc]

        self.kept = {name: self._gather_kept([step._kept[name] for step in steps]) for name in first._kept}

    def _gather(self, read: Callable[[TrainStep], Tensor | None]) -> Tensor:
        parts = [value.detach() for value in map(read, self._steps) if value is not None]
        return self._dist.all_gather(parts[0] if len(parts) == 1 else torch.cat(parts))

    def _gather_kept(self, parts: Sequence[Tensor]) -> Tensor:
        if parts[0].ndim == 0:
            mean = parts[0].clone() if len(parts) == 1 else torch.stack(list(parts)).mean()
            self._dist.all_reduce_mean([mean])
            return mean
        return self._dist.all_gather(parts[0] if len(parts) == 1 else torch.cat(list(parts)))

    @property
    def generator_output(self) -> GeneratorOutput:
        """Output of the generator for the whole batch, detached; features that are not per image are averaged."""
        if self._generator_output is None:
            outputs = [step.generator_output for step in self._steps]

            def gather(read: Callable[[GeneratorOutput], Tensor]) -> Tensor:
                return self._gather_kept([read(output).detach() for output in outputs])

            features: Mapping[str, Tensor] = {
                name: gather(lambda output, n=name: output.features[n])  # type: ignore[misc]
                for name in outputs[0].features
            }
            first = outputs[0].discriminator_input
            inputs: Tensor | tuple[Tensor, ...] | None
            if first is None:
                inputs = None
            elif isinstance(first, Tensor):
                inputs = gather(lambda output: output.discriminator_input)  # type: ignore[arg-type,return-value]
            else:
                inputs = tuple(
                    gather(lambda output, n=number: output.discriminator_input[n])  # type: ignore[misc]
                    for number in range(len(first))
                )
            self._generator_output = GeneratorOutput(gather(lambda output: output.images), features, inputs)
        return self._generator_output.map(Tensor.detach)

    @property
    def real_output(self) -> DiscriminatorOutput:
        """Output for the real images of the whole batch, detached."""
        if self._real_output is None:
            self._real_output = self._gather_outputs([step.real_output for step in self._steps])
        return self._real_output.map(Tensor.detach)

    @property
    def fake_output(self) -> DiscriminatorOutput:
        """Output for the fakes of the whole batch, detached."""
        if self._fake_output is None:
            self._fake_output = self._gather_outputs([step.fake_output for step in self._steps])
        return self._fake_output.map(Tensor.detach)

    def _gather_outputs(self, outputs: Sequence[DiscriminatorOutput]) -> DiscriminatorOutput:
        def gather(read: Callable[[DiscriminatorOutput], Tensor | None]) -> Tensor | None:
            values = [value.detach() for value in map(read, outputs) if value is not None]
            return self._dist.all_gather(torch.cat(values)) if values else None

        logits = gather(lambda output: output.logits)
        assert logits is not None  # noqa: S101 - every output has logits
        features = tuple(
            value
            for number in range(len(outputs[0].features))
            if (value := gather(lambda output, n=number: output.features[n])) is not None  # type: ignore[misc]
        )
        return DiscriminatorOutput(
            logits, gather(lambda output: output.condition), gather(lambda output: output.class_logits), features
        )

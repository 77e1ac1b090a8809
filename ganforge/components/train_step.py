"""One update, as terms and augmentations see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from ganforge.components.outputs import (
    DiscriminatorInput,
    DiscriminatorOutput,
    GeneratorOutput,
    at_least_float32,
    concatenate_inputs,
)

if TYPE_CHECKING:
    from ganforge.components.augmentations import Augmentation, Parameters
    from ganforge.components.networks import Discriminator, Generator


class TrainStep:
    """One update of one phase and everything that a term may know of it.

    Outputs of the networks are computed when they are first read, once for all terms. Only the phase's own weights get
    gradients: in the discriminator's update `fake` is detached, in the generator's the discriminator is frozen.

    The engine creates it. With gradient accumulation every part of a batch is a `TrainStep` of its own; in `after_step`
    one has the tensors of the whole batch.

    Attributes:
        phase: `disc`, `gen`, or a phase added by `optimized_in`.
        step: Number of the step, from 0. Terms that read `step`, `progress` or `images_seen` are not recorded as CUDA
            graphs, since a recording would keep the number of the first update.
        progress: Share of the training that is done, from 0 to 1.
        images_seen: Real images consumed before this step.
        real: Real images, `(N, C, H, W)`, uint8 data in [-1, 1].
        condition: Conditions of real images and fakes, or None: `(N,)` int64 classes, `(N, D)` vectors, or tensors.
        extras: Further tensors of the dataset, by name, the batch first.
        z: Latents, `(N, Z)`.
        kept: In `after_step`: values that `keep` was given, for the whole batch.
        modules: Trained components: `generator`, `discriminator`, `loss`, `latent`, terms and augmentations by name.
    """

    #: Names of the numbers that terms read while an update is about to be recorded; None otherwise.
    numbers_read: ClassVar[list[str] | None] = None

    def __init__(
        self,
        *,
        phase: str,
        step: int,
        progress: float,
        images_seen: int,
        real: Tensor,
        z: Tensor,
        modules: Mapping[str, Any],
        derive_rng: Callable[[str], torch.Generator],
        condition: Tensor | None = None,
        extras: Mapping[str, Tensor] | None = None,
        augmentations: Mapping[str, Augmentation] | None = None,
        log: Callable[[str, Tensor | float], None] = lambda name, value: None,
        autocast: Callable[[], AbstractContextManager[Any]] | None = None,
    ) -> None:
        self.phase = phase
        self._step, self._progress, self._images_seen = step, progress, images_seen
        self.real = real
        self.condition = condition
        self.extras: Mapping[str, Tensor] = extras or {}
        self.z = z
        self.modules = modules
        self.derive_rng = derive_rng
        self._rng_name = "step"
        self._rng: torch.Generator | None = None
        self.augmentations: Mapping[str, Augmentation] = augmentations or {}
        self.kept: Mapping[str, Tensor] = {}
        self._log = log
        self._autocast = autocast
        self._raw: GeneratorOutput | None = None
        self._generator_output: GeneratorOutput | None = None
        self._outputs: dict[bool, DiscriminatorOutput] = {}
        self._augmented: dict[bool, tuple[DiscriminatorInput, Mapping[str, Parameters]]] = {}
        self._kept: dict[str, Tensor] = {}
        self._calls = 0

    @property
    def step(self) -> int:
        """Number of the step, from 0."""
        self._note_number("step")
        return self._step

    @property
    def progress(self) -> float:
        """Share of the training that is done, from 0 to 1."""
        self._note_number("progress")
        return self._progress

    @property
    def images_seen(self) -> int:
        """Real images consumed before this step."""
        self._note_number("images_seen")
        return self._images_seen

    def _note_number(self, name: str) -> None:
        if TrainStep.numbers_read is not None:
            TrainStep.numbers_read.append(name)

    @property
    def rng(self) -> torch.Generator:
        """Generator on the CPU for the term or augmentation that is being called.

        A draw whose first dimension is the number of images N is made for the whole batch and cut, so that ranks and
        accumulation change nothing.
        """
        if self._rng is None:
            self._rng = self.derive_rng(self._rng_name)
        return self._rng

    def use_rng(self, name: str) -> None:
        """Make `rng` a new generator of a name; the engine calls it before each term."""
        self._rng_name, self._rng = name, None

    @property
    def generator(self) -> Generator:
        """The generator."""
        return self.modules["generator"]  # type: ignore[no-any-return]

    @property
    def discriminator(self) -> Discriminator:
        """The discriminator."""
        return self.modules["discriminator"]  # type: ignore[no-any-return]

    # Fakes

    @property
    def _raw_output(self) -> GeneratorOutput:
        """Output of the generator for `z`, in float32, with its graph if the generator is not frozen."""
        if self._raw is None:
            with self._low_precision():
                output = GeneratorOutput.of(self.generator(self.z, self._condition_for(self.generator, None)))
            self._raw = output.map(at_least_float32)
        return self._raw

    @property
    def generator_output(self) -> GeneratorOutput:
        """Output of the generator for `z`, in float32; detached in the discriminator's update."""
        if self._generator_output is None:
            raw = self._raw_output
            self._generator_output = raw.map(Tensor.detach) if self.phase == "disc" else raw
        return self._generator_output

    @property
    def fake(self) -> Tensor:
        """Fakes, `(N, C, H, W)` float32; detached in the discriminator's update."""
        return self.generator_output.images

    @property
    def fake_features(self) -> Mapping[str, Tensor]:
        """Features that the generator returned with the images."""
        return self.generator_output.features

    @property
    def fake_input(self) -> DiscriminatorInput:
        """Input of the discriminator for the fakes, before augmentation: the images, or several levels."""
        output = self.generator_output
        return output.images if output.discriminator_input is None else output.discriminator_input

    def generate(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return images, `(N, C, H, W)`, from other latents or conditions, in float32.

        Args:
            z: Latents, `(N, Z)`.
            condition: Conditions; those of the batch by default.
        """
        return self.generate_output(z, condition).images

    def generate_output(self, z: Tensor, condition: Tensor | None = None) -> GeneratorOutput:
        """Return the whole output of the generator for other latents or conditions, as `generate` does the images."""
        return GeneratorOutput.of(self.generator(z, self._condition_for(self.generator, condition)))

    # The discriminator's outputs

    @property
    def real_output(self) -> DiscriminatorOutput:
        """Output for the augmented real images, in the run's precision, returned as float32."""
        return self._output(real=True)

    @property
    def fake_output(self) -> DiscriminatorOutput:
        """Output for the augmented fakes, in the run's precision, returned as float32."""
        return self._output(real=False)

    @property
    def real_parameters(self) -> Mapping[str, Parameters]:
        """Parameters, by augmentation, that `real_output` was computed with."""
        return self._augmented_images(real=True)[1]

    @property
    def fake_parameters(self) -> Mapping[str, Parameters]:
        """Parameters, by augmentation, that `fake_output` was computed with."""
        return self._augmented_images(real=False)[1]

    def discriminate(
        self,
        images: DiscriminatorInput,
        condition: Tensor | None = None,
        parameters: Mapping[str, Parameters] | None = None,
        *,
        real: bool | None = None,
    ) -> DiscriminatorOutput:
        """Return the discriminator's output for augmented images, in float32, differentiable twice.

        `real_output` and `fake_output` are computed in the run's precision, this one always in float32: a term that
        subtracts logits takes both from here.

        Args:
            images: `(N, C, H, W)`, or what the discriminator takes instead.
            condition: Conditions; those of the batch by default.
            parameters: Parameters by augmentation, such as `real_parameters`; new ones by default.
            real: Whether augmentations treat the images as real; by default only `step.real` itself is.
        """
        treated = images is self.real if real is None else real
        augmented, _ = self._augment(images, parameters, real=treated)
        return self.discriminator(augmented, self._condition_for(self.discriminator, condition))

    def log(self, name: str, value: Tensor | float) -> None:
        """Add a number to metrics.jsonl as column `name`, without waiting for the device.

        Args:
            name: Column, such as `path_length/mean`.
            value: Tensor `()`, or a number. Values of the parts of a batch and of all ranks are averaged.
        """
        self._log(name, value)

    def keep(self, name: str, values: Tensor) -> None:
        """Keep values that `forward` computed for `after_step`, where `kept[name]` has those of the whole batch.

        Args:
            name: Key, unique among the terms of the phase.
            values: `(N, …)`, gathered over parts and ranks, or `()`, averaged over them; detached.
        """
        self._kept[name] = values.detach()

    def _low_precision(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.real.device.type, enabled=False) if self._autocast is None else self._autocast()

    def _condition_for(self, network: Generator | Discriminator, condition: Tensor | None) -> Tensor | None:
        """Return a condition; the batch's own is withheld from a network that is not conditional."""
        if condition is None or condition is self.condition:
            return self.condition if network.conditional else None
        return condition

    def _output(self, *, real: bool) -> DiscriminatorOutput:
        """Return the output of the real images or of the fakes; both in one call if that makes no difference."""
        if real in self._outputs:
            return self._outputs[real]
        condition = self._condition_for(self.discriminator, None)
        if self.phase == "disc" and self.discriminator.batch_independent and not self._outputs:
            pair = concatenate_inputs(self._augmented_images(real=True)[0], self._augmented_images(real=False)[0])
            if pair is not None:
                twice = None if condition is None else torch.cat([condition, condition])
                with self._low_precision():
                    output = self.discriminator(pair, twice)
                self._outputs[True], self._outputs[False] = output.float().split(len(self.real))
                return self._outputs[real]
        images = self._augmented_images(real=real)[0]
        with self._low_precision():
            self._outputs[real] = self.discriminator(images, condition).float()
        return self._outputs[real]

    def _augmented_images(self, *, real: bool) -> tuple[DiscriminatorInput, Mapping[str, Parameters]]:
        if real not in self._augmented:
            self._augmented[real] = self._augment(self.real if real else self.fake_input, None, real=real)
        return self._augmented[real]

    def _augment(
        self, images: DiscriminatorInput, parameters: Mapping[str, Parameters] | None, *, real: bool
    ) -> tuple[DiscriminatorInput, Mapping[str, Parameters]]:
        """Return augmented images and the parameters, by augmentation."""
        used: dict[str, Parameters] = {}
        call, self._calls = self._calls, self._calls + 1
        caller = self._rng_name, self._rng
        for name, augmentation in self.augmentations.items():
            if parameters is None:
                first = images if isinstance(images, Tensor) else images[0]
                self.use_rng(f"augment/{name}/{call}")
                used[name] = augmentation.sample_parameters(first, self, real=real)
            else:
                used[name] = parameters[name]
            images = augmentation.augment(images, used[name])
        self._rng_name, self._rng = caller
        return images, used

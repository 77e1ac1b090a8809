"""Generator of a run as exports see it: one function of latents and conditions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ganforge import __version__
from ganforge.components import Generator, GeneratorOutput
from ganforge.components.sampling import Sampler, default_condition, draw_latents
from ganforge.errors import IncompatibleError
from ganforge.runs.rebuild import rebuild_generator
from ganforge.runs.trained_run import TrainedRun
from ganforge.training.checkpoint import Checkpoint
from ganforge.utils.images import normalize
from ganforge.utils.rng import derive_generator

#: Batch sizes that every export is run with, and the largest difference of a number in an image.
BATCH_SIZES = (1, 3, 17)
TOLERANCE = 1e-4

#: Latents, `(N, Z)`, and a condition for each as networks see it, `(N, …)`, for a conditional generator.
Inputs = tuple[Tensor, ...]


class ImageFunction(nn.Module):
    """Generator that returns images alone, float32 and, for pictures, in [-1, 1]."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator
        self.clamped = generator.image.dtype == "uint8" and not generator.bounded

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return images, `(N, C, H, W)`."""
        images = GeneratorOutput.of(self.generator(z, condition)).images.float()
        return images.clamp(-1, 1) if self.clamped else images


class ExportedGenerator:
    """Generator of a checkpoint, prepared for sampling.

    Attributes:
        run: The run.
        checkpoint: The checkpoint.
        weights: Its file of the generator: `generator` or `generator_ema`.
        function: The generator as a function, in evaluation mode.
    """

    def __init__(
        self, run: TrainedRun, checkpoint: Checkpoint, weights: str, *, sampling: Mapping[str, Any] | None = None
    ) -> None:
        """Rebuild the generator, and prepare it with sampling options, such as `{"truncation": 0.7}`.

        Raises:
            GanforgeError: A component is missing, or the generator has no such option.
        """
        self.run = run
        self.checkpoint = checkpoint
        self.weights = weights
        loaded = rebuild_generator(run, checkpoint, weights)
        self.latent = loaded.latent
        self.function = ImageFunction(Sampler(loaded.generator, seed=0, sampling=sampling).generator).eval()

    @property
    def generator(self) -> Generator:
        """The prepared generator."""
        return self.function.generator

    @property
    def name(self) -> str:
        """Name of the generator's component, for messages."""
        return f"generator {self.run.experiment.gen.name!r}"

    def inputs(self, count: int) -> Inputs:
        """Return latents and, for a conditional generator, conditions: classes in turn, or random numbers."""
        z = draw_latents(self.latent, self.generator, count, seed=count)
        spec = self.generator.image.condition
        if not self.generator.conditional or spec is None:
            return (z,)
        if spec.kind == "classes":
            condition = default_condition(self.generator, count)
            assert condition is not None, "the generator is conditional"  # noqa: S101
            return z, condition
        rng = derive_generator(count, "export/condition")
        if spec.dtype == "uint8":
            return z, normalize(torch.randint(0, 256, (count, *spec.shape), generator=rng, dtype=torch.uint8))
        return z, torch.randn(count, *spec.shape, generator=rng)

    def verify(self, what: str, function: Callable[[Inputs], Tensor]) -> None:
        """Run an export with several batch sizes, and compare its images with the generator's.

        Raises:
            IncompatibleError: It fails, returns other shapes, or a difference exceeds the tolerance.
        """
        for count in BATCH_SIZES:
            inputs = self.inputs(count)
            with torch.no_grad():
                expected, images = self.function(*inputs), function(inputs)
            if images.shape != expected.shape:
                raise IncompatibleError(f"{what} returns {tuple(images.shape)} in place of {tuple(expected.shape)}")
            difference = float((images - expected).abs().max() / expected.abs().max().clamp(min=1))
            if not difference <= TOLERANCE:
                raise IncompatibleError(
                    f"images of {what} differ from those of {self.name} by {difference:.2g}; {TOLERANCE:g} is allowed",
                    fix="a generator must not change its state, or draw random numbers, while it makes images",
                )

    def facts(self) -> dict[str, Any]:
        """Return what users of an export need to know, as JSON has it."""
        image, spec = self.generator.image, self.generator.image.condition
        condition = None
        if self.generator.conditional and spec is not None:
            names = self.run.dataset_info().class_names if spec.kind == "classes" else spec.names
            condition = {
                "kind": spec.kind,
                "shape": list(spec.shape),
                "num_classes": spec.num_classes,
                "names": list(names or ()),
            }
        return {
            "ganforge": __version__,
            "generator": self.run.experiment.gen.name,
            "step": self.checkpoint.step,
            "weights": self.weights,
            "latent": {"name": self.run.experiment.latent.name, "size": self.generator.latent_dim},
            "image": list(image.shape),
            "range": [-1, 1] if image.dtype == "uint8" else None,
            "condition": condition,
            "sampling": self.generator.sampling.model_dump(mode="json"),
        }

"""Latent space of a trained generator: points and their images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ganforge.components import Dataset, Generator, Space
from ganforge.components.sampling import Sampler
from ganforge.data.pictures import render, to_pictures, with_condition
from ganforge.errors import UsageError
from ganforge.runs.latents import Latents, check_latents, has_mapping
from ganforge.runs.sample import dataset_of, default_conditions
from ganforge.runs.trained_run import CheckpointChoice, TrainedRun
from ganforge.utils.devices import module_device
from ganforge.utils.images import grid


class LatentSpace:
    """Latent space of a trained generator.

    All images have the same noise, so that they differ by their latents alone. The run, its generator and the global
    random state stay unchanged.

    Attributes:
        run: The trained run.
        loaded: Generator of the checkpoint, latent distribution, and SHA-256 of the weights.
        sampler: Copy of the generator with its sampling options.
        ema: Chosen weights, as in the constructor.
        seed: Seed of the noise.
    """

    def __init__(
        self,
        run: TrainedRun,
        *,
        ema: bool | None = None,
        checkpoint: CheckpointChoice = "newest",
        sampling: Mapping[str, Any] | None = None,
        seed: int = 0,
        device: str | torch.device = "cpu",
    ) -> None:
        """Load the generator.

        Args:
            run: The trained run.
            ema: Moving average (True), weights (False), or the average if there is one (None).
            checkpoint: Step of a checkpoint, `newest` or `best`.
            sampling: Sampling options of the generator, such as `{"truncation": 0.7}`.
            seed: Seed of the noise.
            device: Device that images are computed on: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.

        Raises:
            UsageError: The checkpoint or a sampling option does not exist.
            CheckpointError: The checkpoint is damaged.
        """
        self.run = run
        self.loaded = run.load(ema=ema, checkpoint=checkpoint)
        self.sampler = Sampler(self.loaded.on(str(device)), seed=seed, sampling=sampling, noise_period=1)
        self.ema, self.seed = ema, seed

    @property
    def generator(self) -> Generator:
        """The sampler's copy of the generator."""
        return self.sampler.generator

    @property
    def device(self) -> torch.device:
        """Device that images are computed on."""
        return module_device(self.generator)

    @property
    def own_space(self) -> Space:
        """Space of directions and distances: w behind a mapping network, else z."""
        return "w" if has_mapping(self.generator) else "z"

    @cached_property
    def default_condition(self) -> Tensor | None:
        """Condition of latents that have none: the first class, or that of the first real image, `(1, …)`."""
        return default_conditions(self.run, self.generator, 1)

    def draw(self, count: int, seed: int = 0) -> Latents:
        """Return the first latents of a seed, in z; those of `TrainedRun.sample`."""
        return self.loaded.draw(count, seed)

    def conditioned(self, latents: Latents, condition: Tensor | None = None) -> Latents:
        """Return latents with conditions, which take turns; their own or the default condition by default."""
        if not self.generator.conditional:
            return replace(latents, condition=None)
        if condition is None:
            condition = self.default_condition if latents.condition is None else latents.condition
        assert condition is not None, "the generator is conditional"  # noqa: S101
        return replace(latents, condition=condition[torch.arange(len(latents)) % len(condition)])

    def to_space(self, latents: Latents, space: Space) -> Latents:
        """Return latents in a space. w is z for a generator without a mapping network.

        Raises:
            UsageError: The latents are in w, from which there is no way back, or have a wrong shape.
        """
        latents = self.conditioned(check_latents(self.generator, latents))
        if self.own_space == "z" or latents.space == space:
            return latents
        if space == "z":
            raise UsageError("latents in w have no z", fix="pass --space w")
        return replace(latents, values=self.sampler.styles(latents.values, latents.condition), space="w")

    def images(self, latents: Latents) -> Tensor:
        """Return images as the generator returns them, `(N, C, H, W)` float32, on the CPU."""
        latents = self.conditioned(latents)
        return self.sampler.images(latents.values, latents.condition, space=latents.space)

    def pictures(self, latents: Latents) -> Tensor:
        """Return the dataset's pictures of the images, `(N, C', H', W')` uint8, image conditions to their left."""
        latents = self.conditioned(latents)
        pictures = to_pictures(self._dataset, self.images(latents))
        is_stored = latents.condition is not None and latents.condition.dtype == torch.uint8
        return with_condition(pictures, latents.condition if is_stored else None, self.generator.image)

    def picture(self, latents: Latents, columns: int) -> Tensor:
        """Return one picture, `(C, H, W)` uint8: a grid, the only image, or what the dataset renders."""
        if type(self._dataset).render is not Dataset.render:
            rendered = render(self._dataset, self.images(latents))
            if rendered is not None:
                return rendered
        pictures = self.pictures(latents)
        return pictures[0] if len(pictures) == 1 else grid(pictures, columns)

    @cached_property
    def _dataset(self) -> Dataset:
        return dataset_of(self.run)

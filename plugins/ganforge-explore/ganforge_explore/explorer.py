"""Images of scenes, and the description of a generator that the page builds its controls from."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganforge.errors import GanforgeError, UsageError
from ganforge.latent_space.directions import Directions, closed_form_directions, principal_directions
from ganforge.latent_space.editing import field_dimensions, is_category
from ganforge.latent_space.features import Features
from ganforge.latent_space.interpolation import between, default_method
from ganforge.latent_space.projection import nearest_training_images
from ganforge.latent_space.space import LatentSpace
from ganforge.runs.latents import Latents
from ganforge.runs.sample import condition_of
from ganforge.runs.trained_run import TrainedRun
from ganforge.training import checkpoint as checkpoints
from ganforge.utils.images import normalize, png_bytes
from ganforge_explore.scene import Base, Scene

#: Principal and closed-form directions, latents that they are estimated from, and single dimensions.
NUM_DIRECTIONS, NUM_SAMPLES, MAX_DIMENSIONS = 10, 1000, 1024
#: Limits of the generators in memory: their bytes and their number.
MAX_BYTES, MAX_SPACES = 2**30, 32
NUM_NEIGHBORS = 6


@dataclass(frozen=True, slots=True)
class Group:
    """Group of sliders.

    Attributes:
        title: Heading on the page.
        directions: The direction of each slider; their names are unique on the page.
    """

    title: str
    directions: Directions


class Explorer:
    """Images of scenes of one run. Not safe for threads: layers draw from torch's global generators.

    Attributes:
        space: Latent space of the first checkpoint, whose directions serve all others.
        groups: All sliders.
        categories: Dimensions of the one-hot fields of z, by name.
    """

    def __init__(self, space: LatentSpace) -> None:
        """Find the directions.

        Args:
            space: Latent space of the checkpoint to begin with.

        Raises:
            GanforgeError: The generator needs tensors as conditions, and the data cannot be read.
        """
        self.space = space
        self._ensure_default_condition()
        self.categories: dict[str, slice] = {}
        self.groups: list[Group] = []
        with suppress(UsageError):  # a generator without layers
            directions = principal_directions(space, NUM_DIRECTIONS, num_samples=NUM_SAMPLES)
            self.groups.append(Group("Principal directions", directions))
        with suppress(UsageError):  # a generator that does not multiply its latents with a matrix
            self.groups.append(Group("Closed-form directions", closed_form_directions(space, NUM_DIRECTIONS)))
        drawn = space.draw(NUM_SAMPLES)
        for name in space.loaded.latent.fields:
            dimensions = field_dimensions(space, name)
            if is_category(drawn.values[:, dimensions]):
                self.categories[name] = space.loaded.latent.fields[name]
            else:
                names = [name] if len(dimensions) == 1 else [f"{name}{number}" for number in range(len(dimensions))]
                self.groups.append(Group(f"Field {name}", _axes(drawn, dimensions, names)))
        dimensions = list(range(min(space.generator.latent_dim, MAX_DIMENSIONS)))
        self.groups.append(Group("Dimensions", _axes(drawn, dimensions, [f"z{index}" for index in dimensions])))
        size = sum(weight.numel() * weight.element_size() for weight in space.generator.parameters())
        limit = min(MAX_SPACES, max(2, MAX_BYTES // max(1, size)))
        self._run_at = lru_cache(limit)(self._open_run)
        self._space_at = lru_cache(limit)(self._open_space)
        self._shape = space.to_space(drawn[:1], space.own_space).values.shape[1:]

    def facts(self) -> dict[str, Any]:
        """Return what the page needs to build its controls, as JSON."""
        space, run = self.space, self.space.run
        steps = sorted({*checkpoints.steps(run.directory), space.loaded.step})
        options = type(space.generator).SamplingOptions
        return {
            "name": run.directory.name,
            "generator": run.experiment.gen.name,
            "seed": space.seed,
            "step": space.loaded.step,
            "steps": steps,
            "space": space.own_space,
            "groups": [
                {"title": group.title, "names": group.directions.names, "space": group.directions.space}
                for group in self.groups
            ],
            "categories": {name: part.stop - part.start for name, part in self.categories.items()},
            "condition": self._condition_facts(),
            "sampling": {
                "properties": options.model_json_schema(mode="serialization").get("properties", {}),
                "values": space.generator.sampling.model_dump(mode="json"),
            },
        }

    def latents(self, scene: Scene) -> tuple[LatentSpace, Latents]:
        """Return the one latent of a scene, and the latent space that it is drawn in.

        Raises:
            UsageError: A name, a number or the checkpoint is invalid.
        """
        known = {name for group in self.groups for name in group.directions.names}
        unknown = [*(scene.amounts.keys() - known), *(scene.categories.keys() - self.categories.keys())]
        if unknown:
            raise UsageError(f"no slider {unknown[0]!r}")
        space = self._space_at(scene.step, json.dumps(scene.sampling, sort_keys=True))
        condition = self._condition(scene)
        latents = self._base(space, scene.start, scene, condition)
        if scene.end is not None:
            end = self._base(space, scene.end, scene, condition)
            latents = between(latents, end, torch.tensor([scene.t]), default_method(latents.space))
        return space, latents if latents.space == "z" else self._moved(latents, scene)

    def picture(self, scene: Scene) -> bytes:
        """Return the image of a scene as PNG. Raises as `latents`."""
        space, latents = self.latents(scene)
        return png_bytes(space.picture(latents, 1))

    def point(self, scene: Scene) -> dict[str, Any]:
        """Return the latent of a scene as the values of a base. Raises as `latents`."""
        return {"values": self.latents(scene)[1].values.flatten().tolist()}

    def archive(self, scene: Scene) -> bytes:
        """Return the latent of a scene as the .npz file that `ganforge sample --latents` reads. Raises as `latents`."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **self.latents(scene)[1].arrays())  # type: ignore[arg-type]  # as in write_npz
        return buffer.getvalue()

    def nearest(self, scene: Scene, progress: Callable[[int, int], None]) -> list[tuple[int, float, bytes]]:
        """Return index, distance and PNG of the training images with the nearest features, the nearest first.

        Args:
            scene: The scene.
            progress: Called with the number of images that were compared, and that of all.

        Raises:
            GanforgeError: The scene is invalid, or the data cannot be read.
        """
        space, latents = self.latents(scene)
        features = self._features
        count = min(NUM_NEIGHBORS, features.scoring.info.sizes["train"])
        indices, distances = nearest_training_images(features, space.images(latents), count, progress=progress)
        chosen = indices[0].tolist()
        pictures = features.scoring.pictures(normalize(features.training_images(chosen).images))
        return [
            (index, distance, png_bytes(picture))
            for index, distance, picture in zip(chosen, distances[0].tolist(), pictures, strict=True)
        ]

    @cached_property
    def _features(self) -> Features:
        return Features(self.space)

    def _base(self, space: LatentSpace, base: Base, scene: Scene, condition: Tensor | None) -> Latents:
        """Return a base in the generator's own space, after the sliders of z."""
        if base.seed is not None:
            latents = self._edited(space.conditioned(space.draw(1, base.seed), condition), scene)
            return space.to_space(latents, space.own_space)
        values = torch.tensor(base.values, dtype=torch.float32)
        if values.numel() != self._shape.numel() or not bool(values.isfinite().all()):
            raise UsageError(f"a latent of this generator is {self._shape.numel()} finite numbers")
        checkpoint = space.loaded.checkpoint
        latents = Latents(values.view(1, *self._shape), space.own_space, condition, None, checkpoint)
        return self._edited(latents, scene) if latents.space == "z" else latents

    def _edited(self, latents: Latents, scene: Scene) -> Latents:
        """Return latents in z after the choices of categories and the sliders of z."""
        for name, value in scene.categories.items():
            part = self.categories[name]
            if value >= part.stop - part.start:
                raise UsageError(f"{name} is 0 to {part.stop - part.start - 1}")
            values = latents.values.clone()
            values[:, part] = 0.0
            values[:, part.start + value] = 1.0
            latents = latents.moved(values)
        return self._moved(latents, scene)

    def _moved(self, latents: Latents, scene: Scene) -> Latents:
        """Return latents that are moved along the directions of their space."""
        for directions in (group.directions for group in self.groups):
            amounts = torch.tensor([[scene.amounts.get(name, 0.0) for name in directions.names]])
            if directions.space == latents.space and bool(amounts.any()):
                latents = directions.moved(latents, amounts)
        return latents

    def _condition(self, scene: Scene) -> Tensor | None:
        if scene.condition is None:
            return self.space.default_condition
        return condition_of(self.space.run, self.space.generator, scene.condition)

    def _ensure_default_condition(self) -> None:
        """Replace the condition of the first real image by zeros if it is a vector and the data cannot be read."""
        spec = self.space.generator.image.condition
        try:
            _ = self.space.default_condition
        except GanforgeError:
            if spec is None or spec.kind != "vector":
                raise
            self.space.default_condition = torch.zeros(1, *spec.shape)

    def _condition_facts(self) -> dict[str, Any] | None:
        spec, info = self.space.generator.image.condition, self.space.run.dataset_info()
        if not self.space.generator.conditional or spec is None:
            return None
        facts: dict[str, Any] = {"kind": spec.kind, "names": []}
        if spec.kind == "classes":
            facts["names"] = list(info.class_names or map(str, range(spec.num_classes or 0)))
        elif spec.kind == "vector" and self.space.default_condition is not None:
            (vector,) = self.space.default_condition.float().tolist()
            facts |= {"names": list(spec.names or map(str, range(len(vector)))), "values": vector}
        return facts

    def _open_run(self, step: int) -> TrainedRun:
        if step not in {*checkpoints.steps(self.space.run.directory), self.space.loaded.step}:
            raise UsageError(f"no checkpoint of step {step}; load the page again")
        if step == self.space.loaded.step:
            return self.space.run
        return TrainedRun(self.space.run.directory, self.space.run.registry)  # it keeps its weights; the cache drops it

    def _open_space(self, step: int, sampling: str) -> LatentSpace:
        return LatentSpace(
            self._run_at(step),
            ema=self.space.ema,
            checkpoint=step,
            sampling=json.loads(sampling),
            seed=self.space.seed,
            device=self.space.device,
        )


def _axes(drawn: Latents, dimensions: list[int], names: list[str]) -> Directions:
    """Return single dimensions of z as directions."""
    return Directions.of(torch.eye(drawn.values.shape[1])[dimensions], drawn, tuple(names))

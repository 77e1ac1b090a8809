"""Attributes of a generator's images: classes or numbers of each, their mean latents, and directions towards them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ganforge.components import DatasetInfo
from ganforge.errors import UsageError
from ganforge.latent_space.directions import Directions
from ganforge.latent_space.features import Features
from ganforge.latent_space.space import LatentSpace
from ganforge.runs.latents import Latents
from ganforge.utils.suggest import did_you_mean

#: Latents that are drawn, and training images that they are compared with if the features have no classes.
NUM_SAMPLES, NUM_NEIGHBORS = 2000, 10_000


@dataclass(frozen=True, slots=True)
class Attributes:
    """Latents and the attributes of their images.

    Attributes:
        latents: N latents in the space of directions.
        values: `(N, K)` float32; for classes 1 or 0.
        names: Names of the K attributes.
    """

    latents: Latents
    values: Tensor
    names: tuple[str, ...]

    def index(self, name: str) -> int:
        """Return the number of an attribute. Raises UsageError for an unknown name."""
        if name not in self.names:
            raise UsageError(f"no class {name!r}{did_you_mean(name, self.names)}")
        return self.names.index(name)

    def mean(self, name: str) -> Latents:
        """Return the mean latent of the images that have an attribute, weighted by its value.

        Raises:
            UsageError: The name is unknown, or no image has the attribute.
        """
        weights = self.values[:, self.index(name)].clamp_min(0).double()
        if not bool(weights.any()):
            raise UsageError(f"none of {len(self.latents):,} images is of class {name!r}")
        values = self.latents.values.double()
        mean = (weights @ values.flatten(1) / weights.sum()).view(1, *values.shape[1:]).float()
        member = self.latents[[int(weights.argmax())]]
        return member.moved(mean)

    def directions(self) -> Directions:
        """Return the directions in which latents and attributes have the largest covariance.

        For a class it is the difference of the mean latents with and without it. Attributes without variance have no
        direction, and are left out.

        Raises:
            UsageError: No attribute has variance.
        """
        values = self.latents.values.double().flatten(1)
        centered = self.values.double() - self.values.double().mean(0)
        covariances = centered.T @ (values - values.mean(0))
        kept = [index for index in range(len(self.names)) if float(covariances[index].norm()) > 0]
        if not kept:
            raise UsageError(f"all {len(self.latents):,} images have the same class, so that it has no direction")
        vectors = covariances[kept].view(-1, *self.latents.values.shape[1:]).float()
        return Directions.of(vectors, self.latents, tuple(self.names[index] for index in kept))


def measure_attributes(
    space: LatentSpace, *, features: str | None = None, num_samples: int = NUM_SAMPLES, seed: int = 0
) -> Attributes:
    """Return attributes of drawn latents.

    The class of an image is, in this order: its condition, if w contains that; the class that the features'
    classifier gives; the class, or the vector, of the training image with the nearest features.

    Args:
        space: The latent space.
        features: Feature extractor; that of the run by default.
        num_samples: Number of latents.
        seed: Seed of the latents.

    Raises:
        UsageError: Neither features nor data have classes, or the generator's classes are not in its latents.
    """
    image, info = space.generator.image, space.run.dataset_info()
    latents = space.draw(num_samples, seed)
    if space.generator.conditional and image.num_classes is not None:
        if space.own_space == "z":
            raise UsageError("the classes of this generator are not in its latents", fix="pass --condition CLASS")
        classes = torch.arange(num_samples) % image.num_classes
        latents = space.to_space(replace(latents, condition=classes), "w")
        return Attributes(latents, one_hot(classes, image.num_classes).float(), _names(info, image.num_classes))
    latents = space.to_space(latents, space.own_space)
    opened = Features(space, features)
    output = opened.of_latents(space, latents)
    if output.logits is not None:
        values = one_hot(output.logits.argmax(1), output.logits.shape[1]).float()
        return Attributes(latents, values, opened.extractor.class_names)
    condition = image.condition
    if condition is None or condition.kind == "tensor":
        name = opened.scoring.resolved.one("features").entry.component.name
        raise UsageError(f"neither the features {name!r} nor the data have classes", fix="pass --features NAME")
    neighbors = torch.cat([*opened.of_training_images(NUM_NEIGHBORS)])
    nearest = torch.cdist(output.features, neighbors).argmin(1)
    stored = opened.training_images(nearest.tolist()).condition
    assert stored is not None, "the data have conditions"  # noqa: S101
    if image.num_classes is not None:
        return Attributes(latents, one_hot(stored, image.num_classes).float(), _names(info, image.num_classes))
    names = condition.names or tuple(map(str, range(stored.shape[1])))
    return Attributes(latents, stored.float(), names)


def _names(info: DatasetInfo, count: int) -> tuple[str, ...]:
    return info.class_names or tuple(map(str, range(count)))

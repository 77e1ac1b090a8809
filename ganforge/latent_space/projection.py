"""Projection of images into a latent space, and their nearest training images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ganforge.latent_space.features import BATCH_SIZE, Features
from ganforge.latent_space.space import LatentSpace
from ganforge.runs.latents import Latents, concatenate
from ganforge.utils.rng import derive_generator

#: Drawn latents, of which the nearest are the starts.
NUM_CANDIDATES = 1000
LEARNING_RATE, STEPS, STARTS = 0.05, 300, 4
#: Noise on standardized latents, and the share of the steps in which it decays (Karras et al. 2020, section 5).
NOISE, NOISE_STEPS = 0.05, 0.75
#: Weight of latents that are longer than drawn ones.
PRIOR_WEIGHT = 0.01


@dataclass(frozen=True, slots=True)
class Projection:
    """Latents whose images are near to given images.

    Attributes:
        latents: `N` latents.
        images: Their images, `(N, C, H, W)` float32.
        distances: Squared distance of pixels and of features, each relative to the variance of drawn images, `(N,)`.
        pixel_rms: Root mean square of the pixels' differences, `(N,)`, for images in [-1, 1].
    """

    latents: Latents
    images: Tensor
    distances: Tensor
    pixel_rms: Tensor


def project(
    space: LatentSpace,
    targets: Tensor,
    *,
    features: Features | None = None,
    feature_weight: float = 1.0,
    steps: int = STEPS,
    starts: int = STARTS,
    condition: Tensor | None = None,
    seed: int = 0,
    progress: Callable[[int, int, float], None] = lambda target, step, distance: None,
) -> Projection:
    """Return latents for images by gradient descent (Karras et al. 2020, arXiv:1912.04958, section 5).

    Adam moves several starts, the nearest of drawn latents, in w, or z without a mapping network. Noise on the latents
    decays with the learning rate, and latents are kept as long as drawn ones are. The noise of layers is fixed, so that
    the latents alone decide the image; there are no noise maps to optimize or to regularize.

    Args:
        space: The latent space.
        targets: `(N, C, H, W)` float32, as networks see images.
        features: Features whose distance counts, too; only those that accept pictures without rounding.
        feature_weight: Weight of the features' distance.
        steps: Steps of Adam.
        starts: Starts for each image.
        condition: Conditions that the images take in turns, or the default one.
        seed: Seed of the drawn latents and the noise.
        progress: Called with the number of the image, the step and the smallest distance.
    """
    parts, distances = [], []
    for number, target in enumerate(targets):
        drawn = space.draw(NUM_CANDIDATES, seed)
        chosen = None if condition is None else condition[[number % len(condition)]]
        drawn = space.to_space(space.conditioned(drawn, chosen), space.own_space)
        distance = _Distance(space, drawn, target, features, feature_weight)
        latents, value = _descend(space, drawn, distance, steps, starts, seed, partial(progress, number))
        parts.append(latents)
        distances.append(value)
    latents = concatenate(parts)
    images = space.images(latents)
    rms = (images - targets).square().flatten(1).mean(1).sqrt()
    return Projection(latents, images, torch.tensor(distances), rms)


class _Distance:
    """Squared distances of images to a target in pixels and features, relative to the variance of drawn images."""

    def __init__(
        self, space: LatentSpace, drawn: Latents, target: Tensor, features: Features | None, feature_weight: float
    ) -> None:
        images = space.images(drawn)
        self.drawn_images = images
        self.target = target[None].to(space.device)
        self._features = features if features is not None and features.is_differentiable else None
        self._weight = feature_weight
        self._pixel_scale = float(images.var(0).sum().clamp_min(1e-12))
        if self._features is not None:
            with torch.no_grad():
                self._target_features = self._features.differentiable(self.target)
                described = self._features.of_images(images).features
            self._feature_scale = float(described.var(0).sum().clamp_min(1e-12))

    def __call__(self, images: Tensor) -> Tensor:
        """Return the distances of images, `(N,)`, with their graph."""
        value = (images - self.target).square().flatten(1).sum(1) / self._pixel_scale
        if self._features is not None:
            difference = self._features.differentiable(images) - self._target_features
            value = value + self._weight * difference.square().sum(1) / self._feature_scale
        return value


def _descend(
    space: LatentSpace,
    drawn: Latents,
    distance: _Distance,
    steps: int,
    starts: int,
    seed: int,
    report: Callable[[int, float], None],
) -> tuple[Latents, float]:
    """Return the best latent of all starts and steps, and its distance."""
    mean, deviation = drawn.values.mean(0), drawn.values.std(0).clamp_min(1e-6)
    with torch.no_grad():
        near = torch.cat([distance(part.to(space.device)) for part in distance.drawn_images.split(BATCH_SIZE)]).cpu()
    start = drawn[near.argsort(stable=True)[:starts]]
    standardized = ((start.values - mean) / deviation).requires_grad_()
    optimizer = torch.optim.Adam([standardized], lr=LEARNING_RATE, betas=(0.9, 0.999))
    best, best_distance = start.values[0], float(near.min())
    for step in range(steps + 1):
        progress = step / max(steps, 1)
        noise = NOISE * max(0.0, 1 - progress / NOISE_STEPS) ** 2
        rng = derive_generator(seed, "latent-space/projection", step)
        shaken = standardized + noise * torch.randn(standardized.shape, generator=rng)
        values = mean + deviation * shaken
        images = space.sampler.differentiable_images(values, start.condition, space=start.space)
        value = distance(images).cpu()
        lowest, index = value.detach().min(0)
        if float(lowest) < best_distance:
            best, best_distance = values[index].detach(), float(lowest)
        report(step, best_distance)
        if step == steps:
            break
        excess = (shaken.flatten(1).square().mean(1) - 1).clamp_min(0)
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * (0.5 + 0.5 * float(torch.tensor(torch.pi * progress).cos()))
        (standardized.grad,) = torch.autograd.grad((value + PRIOR_WEIGHT * excess.square()).sum(), [standardized])
        optimizer.step()
    return start[:1].moved(best[None]), best_distance


def nearest_training_images(
    features: Features, targets: Tensor, count: int, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[Tensor, Tensor]:
    """Return the indices and the features' distances of the nearest training images, `(N, K)` each, nearest first.

    Args:
        features: The features, with their data.
        targets: `(N, C, H, W)` float32, as networks see images.
        count: K.
        progress: Called with the number of images that were compared, and that of all.
    """
    described = features.of_images(targets).features.double()
    total = features.scoring.info.sizes["train"]
    best, indices = torch.empty(len(targets), 0).double(), torch.empty(len(targets), 0, dtype=torch.int64)
    done = 0
    for batch in features.of_training_images(total):
        numbers = torch.arange(done, done + len(batch))
        done += len(batch)
        best = torch.cat([best, torch.cdist(described, batch.double())], 1)
        indices = torch.cat([indices, numbers.expand(len(targets), -1)], 1)
        order = best.argsort(dim=1, stable=True)[:, :count]
        best, indices = best.gather(1, order), indices.gather(1, order)
        progress(done, total)
    return indices, best

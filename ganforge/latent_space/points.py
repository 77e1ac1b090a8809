"""Points of a latent space as the command line names them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from ganforge.components import Space
from ganforge.errors import UsageError
from ganforge.image_files.decoding import extensions
from ganforge.latent_space.attributes import Attributes, measure_attributes
from ganforge.latent_space.features import Features
from ganforge.latent_space.projection import project
from ganforge.latent_space.space import LatentSpace
from ganforge.runs.conditions import read_picture
from ganforge.runs.latents import MAX_SEED, Latents
from ganforge.utils.images import normalize

SEED = re.compile(r"(?P<seed>\d+)(?::(?P<number>\d+))?")
FILE = re.compile(r"(?P<path>.+\.npz)(?::(?P<number>\d+))?", re.IGNORECASE | re.DOTALL)
CLASS = re.compile(r"class:(?P<name>.+)", re.DOTALL)
#: Largest number of a latent among those of a seed, since all before it are drawn.
MAX_NUMBER = 99_999
FORMS = "write SEED, SEED:NUMBER, FILE.npz, FILE.npz:NUMBER, class:NAME or a picture file"


class PointReader:
    """Reader of points.

    `SEED` is the first latent of a seed, `SEED:NUMBER` that of an image of `sample --seed SEED`, counted from 0,
    `FILE.npz` all latents of a file, `FILE.npz:NUMBER` one of them, `class:NAME` the mean latent of a class, and a
    picture file the latent that it is projected to.

    Args:
        space: The latent space.
        features: Feature extractor that classifies images; that of the run by default.
    """

    def __init__(self, space: LatentSpace, *, features: str | None = None) -> None:
        self.space = space
        self._features = features

    @cached_property
    def features(self) -> Features:
        """Features of the run, or the given ones."""
        return Features(self.space, self._features)

    def target(self, text: str) -> Tensor:
        """Return the image of a picture file or a point, `(C, H, W)` float32 as networks see it. Raises UsageError."""
        if Path(text).suffix.lower() not in extensions():
            (point,) = self.read([text], self.space.own_space)
            return self.space.images(point[[0]])[0]
        image = self.space.generator.image
        return normalize(read_picture(Path(text), image.shape, kind="images of this run"))

    @cached_property
    def attributes(self) -> Attributes:
        """Classes of drawn latents."""
        return measure_attributes(self.space, features=self._features)

    def read(self, texts: Iterable[str], space: Space, condition: Tensor | None = None) -> list[Latents]:
        """Return the points of each text in a space.

        Args:
            texts: Points.
            space: Space of the result.
            condition: Conditions that the points take in turns, `(N, …)`; those of files, or the default one, by
                default.

        Raises:
            UsageError: A text is not a point, or its file cannot be read or does not fit.
        """
        points: list[Latents] = []
        for text in texts:
            part, done = self._read(text), sum(map(len, points))
            if condition is not None:
                turns = torch.arange(done, done + len(part)) % len(condition)
                part = self.space.conditioned(part, condition[turns])
            points.append(self.space.to_space(part, space))
        return points

    def _read(self, text: str) -> Latents:
        if match := SEED.fullmatch(text):
            seed, number = int(match["seed"]), int(match["number"] or 0)
            if seed > MAX_SEED or number > MAX_NUMBER:
                limits = f"the largest seed is {MAX_SEED}, the largest number {MAX_NUMBER}"
                raise UsageError(f"invalid point {text!r}: {limits}")
            return self.space.draw(number + 1, seed)[[number]]
        if match := FILE.fullmatch(text):
            latents = Latents.load(Path(match["path"]))
            if match["number"] is None:
                return latents
            number = int(match["number"])
            if number >= len(latents):
                raise UsageError(f"{match['path']} has no latent {number}; it has {len(latents):,}, from 0")
            return latents[[number]]
        if Path(text).suffix.lower() in extensions():
            return project(self.space, self.target(text)[None], features=self.features).latents
        if match := CLASS.fullmatch(text):
            return self.attributes.mean(match["name"])
        raise UsageError(f"invalid point {text!r}", fix=FORMS)

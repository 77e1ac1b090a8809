"""Local plugin of the latent space's tests: generators with one matrix, and with styles of several layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

import ganforge
from ganforge import Component, hookimpl

LAYERS, STYLE_DIM = 3, 5


class Matrix(ganforge.Generator):
    """Linear generator of unbounded images; a class moves the image by a column of its own."""

    bounded = False

    class Options(ganforge.Generator.Options):
        """Options."""

        latent_dim: int = 6
        conditional: bool = False

    options: Options

    def __init__(self, options: Options, image: ganforge.ImageSpec) -> None:
        super().__init__(options, image)
        self.layer = nn.Linear(options.latent_dim, image.numel, bias=False)
        self.classes = nn.Embedding(image.num_classes or 1, image.numel)

    @property
    def conditional(self) -> bool:
        return self.options.conditional

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        moved = 0 if condition is None else self.classes(condition)
        images: Tensor = self.layer(z) + moved
        return images.view(-1, *self.image.shape)


class Layered(ganforge.Generator):
    """Mapping network whose w has a part for each of three layers, truncated by a sampling option, and noise."""

    class Options(ganforge.Generator.Options):
        """Options."""

        latent_dim: int = 6
        conditional: bool = False
        noise: float = 0.0

    class SamplingOptions(ganforge.Generator.SamplingOptions):
        """Sampling options."""

        truncation: float = 1.0

    options: Options
    sampling: SamplingOptions

    def __init__(self, options: Options, image: ganforge.ImageSpec) -> None:
        super().__init__(options, image)
        self.mapping = nn.Linear(options.latent_dim, STYLE_DIM)
        self.classes = nn.Embedding(image.num_classes or 1, STYLE_DIM)
        self.layers = nn.ModuleList(nn.Linear(STYLE_DIM, image.numel) for _ in range(LAYERS))

    @property
    def conditional(self) -> bool:
        return self.options.conditional

    def style(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        w: Tensor = self.mapping(z)
        if condition is not None:
            w = w + self.classes(condition)
        return (w * self.sampling.truncation).unsqueeze(1).expand(-1, LAYERS, -1)

    def synthesis(self, w: Tensor, condition: Tensor | None = None) -> Tensor:
        images = torch.stack([layer(w[:, index]) for index, layer in enumerate(self.layers)]).sum(0)
        images = images + self.options.noise * torch.randn(len(w), self.image.numel, device=w.device)
        return images.tanh().view(-1, *self.image.shape)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.synthesis(self.style(z, condition), condition)


class Codes(ganforge.LatentDistribution):
    """A one-hot category, a uniform code, and normal numbers."""

    fields: ClassVar[Mapping[str, slice]] = {"category": slice(0, 3), "code": slice(3, 4)}

    def sample(self, count: int, dim: int, rng: torch.Generator) -> Tensor:
        category = nn.functional.one_hot(torch.randint(3, (count,), generator=rng), 3).float()
        code = torch.rand(count, 1, generator=rng) * 2 - 1
        return torch.cat([category, code, torch.randn(count, dim - 4, generator=rng)], 1)


@hookimpl
def ganforge_components() -> list[Any]:
    """Return all components of this file."""
    return [
        Component(kind="generator", name="matrix", target=Matrix),
        Component(kind="generator", name="layered", target=Layered),
        Component(kind="latent", name="codes", target=Codes),
    ]

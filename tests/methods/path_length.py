"""Path length regularization, truncation and a mapping network, as in StyleGAN2.

References:
    Karras et al. 2020, Analyzing and Improving the Image Quality of StyleGAN, arXiv:1912.04958.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganforge import (
    Component,
    Generator,
    GeneratorOutput,
    ImageSpec,
    LossTerm,
    TrainStep,
    hookimpl,
)

SETTINGS = (
    *("gen=style-mlp", "disc=mlp", "disc.hidden=[32]", "disc.dropout=0.0"),
    *("term=path-length", "term.every=2", "batch_size=8"),
)


class StyleGenerator(Generator):
    """Mapping network from z to w, and a synthesis network from w to the image."""

    class SamplingOptions(Generator.SamplingOptions):
        """Options of sampling."""

        truncation: float = 1.0
        """Share of a style's distance from the mean style that is kept; 1 keeps all, 0 gives the mean image."""

    sampling: SamplingOptions
    mean_style: Tensor

    def __init__(self, options: Generator.Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.mapping = nn.Sequential(nn.Linear(self.latent_dim, 32), nn.LeakyReLU(0.2), nn.Linear(32, 32))
        self.layers = nn.Sequential(nn.Linear(32, 64), nn.LeakyReLU(0.2), nn.Linear(64, image.numel), nn.Tanh())
        self.register_buffer("mean_style", torch.zeros(32))

    def style(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return w, `(N, 32)`."""
        w: Tensor = self.mapping(z)
        return w

    def synthesis(self, w: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return images, `(N, C, H, W)`."""
        images: Tensor = self.layers(w)
        return images.view(-1, *self.image.shape)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return images, `(N, C, H, W)`, truncated by the sampling options."""
        w = self.style(z)
        if self.sampling.truncation != 1:
            w = self.mean_style.lerp(w, self.sampling.truncation)
        return self.synthesis(w)

    def prepare_sampling(self, rng: torch.Generator) -> None:
        """Compute the mean style."""
        z = torch.randn(4096, self.latent_dim, generator=rng).to(self.mean_style)
        self.mean_style.copy_(self.style(z).mean(0))


class PathLength(LossTerm):
    """Squared deviation of the path length |Jᵀy| from its running mean (Karras et al. 2020, eq. 4)."""

    class Options(LossTerm.Options):
        """Options of path length regularization."""

        weight: float = 2.0
        """Factor of the term in the loss."""
        decay: float = 0.01
        """Share by which the running mean moves towards the mean of a batch."""

    options: Options
    mean: Tensor

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, step: TrainStep) -> Tensor:
        """Return the squared deviation for each latent, `(N,)`."""
        w = step.generator.style(step.z.clone().requires_grad_(), step.condition)
        images = GeneratorOutput.of(step.generator.synthesis(w, step.condition)).images
        noise = torch.randn(images.shape, generator=step.rng).to(images) / (images.shape[2] * images.shape[3]) ** 0.5
        (gradient,) = torch.autograd.grad((images * noise).sum(), w, create_graph=True)
        lengths: Tensor = gradient.flatten(1).norm(dim=1)
        step.keep("path_length", lengths)
        return (lengths - self.mean).square()

    def after_step(self, step: TrainStep) -> None:
        """Move the running mean towards the lengths of the whole batch."""
        self.mean.lerp_(step.kept["path_length"].mean(), self.options.decay)
        step.log("path_length/mean", self.mean)


@hookimpl
def ganforge_components() -> list[Component]:
    """Provide a generator with a mapping network, and path length regularization."""
    paper = "arXiv:1912.04958"
    return [
        Component(kind="generator", name="style-mlp", target=StyleGenerator, summary="Mapping and synthesis networks."),
        Component(kind="term", name="path-length", target=PathLength, summary="StyleGAN2's path length.", paper=paper),
    ]

"""InfoGAN: codes in the latent that the images have to show.

References:
    Chen et al. 2016, InfoGAN: Interpretable Representation Learning, arXiv:1606.03657.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from ganforge import (
    Component,
    Discriminator,
    DiscriminatorOutput,
    ImageSpec,
    LatentDistribution,
    LossTerm,
    TrainStep,
    hookimpl,
)

SETTINGS = (
    *("gen=mlp", "gen.hidden=[32]", "gen.latent_dim=20", "disc=shared-body"),
    *("latent=codes", "term=information", "batch_size=8"),
)
CATEGORIES, CODES = 10, 2


class Codes(LatentDistribution):
    """A one-hot category, two uniform codes, and normal noise."""

    fields: ClassVar[Mapping[str, slice]] = {
        "category": slice(0, CATEGORIES),
        "code": slice(CATEGORIES, CATEGORIES + CODES),
    }

    def sample(self, count: int, dim: int, rng: torch.Generator) -> Tensor:
        """Return latents, `(count, dim)`."""
        category = torch.randint(CATEGORIES, (count,), generator=rng, device=rng.device)
        code = torch.rand(count, CODES, generator=rng, device=rng.device) * 2 - 1
        noise = torch.randn(count, dim - CATEGORIES - CODES, generator=rng, device=rng.device)
        return torch.cat([one_hot(category, CATEGORIES).float(), code, noise], 1)


class SharedBody(Discriminator):
    """One hidden layer, whose activations the Q head reads."""

    batch_independent: ClassVar[bool] = True

    def __init__(self, options: Discriminator.Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(image.numel, 32), nn.LeakyReLU(0.2))
        self.head = nn.Linear(32, 1)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        """Return logits, `(N,)`, and features."""
        features = self.body(images)
        return DiscriminatorOutput(self.head(features).squeeze(1), features=(features,))


class Information(LossTerm):
    """Negative lower bound of the mutual information between codes and images (Chen et al. 2016, eq. 5)."""

    phases: ClassVar[tuple[str, ...]] = ("disc", "gen")
    optimized_in: ClassVar[Mapping[str, str]] = {"q": "gen"}
    partners: ClassVar[Mapping[str, str]] = {"disc": "shared-body", "latent": "codes"}

    def setup(self, modules: Mapping[str, Any]) -> None:
        """Create the Q head for the discriminator's first features."""
        probe = copy.deepcopy(modules["discriminator"]).eval()
        features = probe(torch.zeros(1, *probe.image.shape)).features[0]
        self.q = nn.Linear(features.shape[1], CATEGORIES + CODES)

    def forward(self, step: TrainStep) -> Tensor:
        """Return the cross-entropy of the category plus the squared error of the codes, `(N,)`."""
        category, code = self.q(step.fake_output.features[0]).split((CATEGORIES, CODES), 1)
        target = step.z[:, Codes.fields["category"]].argmax(1)
        error: Tensor = (code - step.z[:, Codes.fields["code"]]).square().sum(1) / 2
        return cross_entropy(category, target, reduction="none") + error


@hookimpl
def ganforge_components() -> list[Component]:
    """Provide InfoGAN's latents, discriminator and term."""
    paper = "arXiv:1606.03657"
    return [
        Component(kind="latent", name="codes", target=Codes, summary="A category, two codes and noise.", paper=paper),
        Component(kind="discriminator", name="shared-body", target=SharedBody, summary="MLP that returns features."),
        Component(kind="term", name="information", target=Information, summary="InfoGAN's Q head.", paper=paper),
    ]

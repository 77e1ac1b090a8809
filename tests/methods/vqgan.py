"""VQGAN: an autoencoder with a codebook as generator; its condition is the real image itself.

References:
    Esser et al. 2021, Taming Transformers for High-Resolution Image Synthesis, arXiv:2012.09841.
    van den Oord et al. 2017, Neural Discrete Representation Learning, arXiv:1711.00937.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from ganforge import (
    Component,
    Dataset,
    Generator,
    GeneratorOutput,
    ImageSpec,
    ImageTensors,
    IncompatibleError,
    LossTerm,
    TrainStep,
    hookimpl,
)

SETTINGS = (
    *("gen=vqgan", "disc=mlp", "disc.hidden=[32]", "disc.dropout=0.0", "data=self-conditioned"),
    *("term=reconstruction", "term.start=3", "batch_size=8"),
)


class SelfConditioned(Dataset):
    """Crosses of light, 1×16×16, each with itself as condition."""

    def open(self, split: str) -> ImageTensors:
        """Return a split in memory."""
        rng = torch.Generator().manual_seed(len(split))
        images = torch.zeros(64, 1, 16, 16, dtype=torch.uint8)
        for image, (row, column) in zip(images, torch.randint(14, (64, 2), generator=rng).tolist(), strict=True):
            image[0, row : row + 2], image[0, :, column : column + 2] = 200, 255
        return ImageTensors(images, images)


class VqGenerator(Generator):
    """Encoder, codebook and decoder; the latents are not used."""

    @property
    def conditional(self) -> bool:
        """Always: the condition is the input."""
        return True

    @classmethod
    def check_image(cls, options: Generator.Options, image: ImageSpec) -> None:
        """Raise IncompatibleError unless conditions are images in patches of 4×4."""
        if image.condition is None or image.condition.shape != image.shape:
            raise IncompatibleError("the network needs the images as conditions", fix="use --data self-conditioned")
        if image.height % 4 or image.width % 4:
            raise IncompatibleError(f"images of {image} have no patches of 4×4", fix="use multiples of 4 pixels")

    def __init__(self, options: Generator.Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.encoder = nn.Conv2d(image.channels, 8, 4, 4)
        self.codebook = nn.Embedding(16, 8)
        self.decoder = nn.Sequential(nn.ConvTranspose2d(8, 8, 4, 4), nn.ReLU())
        self.last = nn.Conv2d(8, image.channels, 3, 1, 1)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> GeneratorOutput:
        """Return the reconstruction of the condition, `(N, C, H, W)`, and the codebook's loss, `(N,)`."""
        assert condition is not None
        encoded = self.encoder(condition).movedim(1, 3)
        nearest = torch.cdist(encoded.flatten(0, 2), self.codebook.weight).argmin(1)
        codes = self.codebook(nearest).view_as(encoded)
        commitment = (encoded - codes.detach()).square() + (encoded.detach() - codes).square()
        straight_through = encoded + (codes - encoded).detach()
        images = self.last(self.decoder(straight_through.movedim(3, 1))).tanh()
        return GeneratorOutput(images, {"commitment": commitment.flatten(1).mean(1)})


class Reconstruction(LossTerm):
    """Reconstruction and codebook loss; weighs the adversarial loss by gradients (Esser et al. 2021, eq. 7)."""

    conditional: ClassVar[bool] = True
    partners: ClassVar[dict[str, str]] = {"gen": "vqgan", "data": "self-conditioned"}

    class Options(LossTerm.Options):
        """Options of the term."""

        start: int = 1000
        """Step at which the adversarial loss sets in."""

    options: Options

    def forward(self, step: TrainStep) -> Tensor:
        """Return |x - x̂| plus the codebook's loss, `(N,)`."""
        return (step.real - step.fake).abs().flatten(1).mean(1) + step.fake_features["commitment"]

    def reweight(self, step: TrainStep, values: Tensor) -> Tensor | None:
        """Return |∇ reconstruction| / |∇ adversarial| at the generator's last layer, `()`."""
        if step.phase != "gen":
            return None
        last = step.generator.get_parameter("last.weight")
        losses = ((step.real - step.fake).abs().mean(), values.mean())
        reconstruction, adversarial = (torch.autograd.grad(loss, last, retain_graph=True)[0].norm() for loss in losses)
        ratio: Tensor = (reconstruction / (adversarial + 1e-4)).clamp(0, 1e4) * float(step.step >= self.options.start)
        step.log("reconstruction/ratio", ratio)
        return ratio


@hookimpl
def ganforge_components() -> list[Component]:
    """Provide images that are their own conditions, VQGAN's generator and its reconstruction term."""
    paper = "arXiv:2012.09841"
    return [
        Component(kind="dataset", name="self-conditioned", target=SelfConditioned, summary="Crosses, 1×16×16."),
        Component(kind="generator", name="vqgan", target=VqGenerator, summary="Autoencoder and codebook.", paper=paper),
        Component(kind="term", name="reconstruction", target=Reconstruction, summary="VQGAN's terms.", paper=paper),
    ]

"""CycleGAN: two translators between unpaired sets of pictures; the way back belongs to the loss.

References:
    Zhu et al. 2017, Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, arXiv:1703.10593.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ganforge import (
    Component,
    Dataset,
    Discriminator,
    DiscriminatorOutput,
    Generator,
    ImageSpec,
    ImageTensors,
    IncompatibleError,
    Loss,
    TrainStep,
    hookimpl,
)

SETTINGS = ("gen=stripes-translator", "disc=stripes", "data=stripes", "loss=cycle", "batch_size=8")


class Stripes(Dataset):
    """Vertical stripes, 1×16×16, with horizontal stripes as unpaired conditions."""

    def open(self, split: str) -> ImageTensors:
        """Return a split in memory."""
        rng = torch.Generator().manual_seed(len(split))
        phase, period = torch.rand(2, 64, 1, 1, generator=rng), torch.randint(3, 8, (2, 64, 1, 1), generator=rng)
        waves = ((torch.arange(16) / period + phase) * 2 * torch.pi).sin().expand(2, 64, 16, 16)
        vertical, horizontal = waves.add(1).mul(127.5).to(torch.uint8).unsqueeze(2)
        return ImageTensors(vertical.contiguous(), horizontal.mT.contiguous())


class StripesTranslator(Generator):
    """Convolutions on the condition; the latents are not used."""

    @property
    def conditional(self) -> bool:
        """Always: the condition is the input."""
        return True

    @classmethod
    def check_image(cls, options: Generator.Options, image: ImageSpec) -> None:
        """Raise IncompatibleError unless conditions have the shape of the images."""
        if image.condition is None or image.condition.shape != image.shape:
            raise IncompatibleError("the network needs conditions of the shape of the images", fix="use --data stripes")

    def __init__(self, options: Generator.Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.layers = nn.Sequential(
            nn.Conv2d(image.channels, 8, 5, 1, 2), nn.ReLU(), nn.Conv2d(8, image.channels, 5, 1, 2), nn.Tanh()
        )

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return images of the other set, `(N, C, H, W)`."""
        images: Tensor = self.layers(condition)
        return images


class StripesDiscriminator(Discriminator):
    """Two convolutions; a logit for each patch."""

    batch_independent: ClassVar[bool] = True

    def __init__(self, options: Discriminator.Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.layers = nn.Sequential(
            nn.Conv2d(image.channels, 8, 3, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(8, 1, 3, 2, 1), nn.Flatten()
        )

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return logits, `(N, K)`."""
        logits: Tensor = self.layers(images)
        return logits


class CycleLoss(Loss):
    """Least squares in both directions, and reconstruction after a round trip (Zhu et al. 2017, eq. 1 to 3)."""

    conditional: ClassVar[bool] = True
    optimized_in: ClassVar[Mapping[str, str]] = {"back": "gen", "back_discriminator": "disc"}
    partners: ClassVar[Mapping[str, str]] = {
        "gen": "stripes-translator",
        "disc": "stripes",
        "data": "stripes",
    }

    class Options(Loss.Options):
        """Options of the loss."""

        cycle: float = 10.0
        """Factor of the reconstruction."""

    options: Options

    def setup(self, modules: Mapping[str, Any]) -> None:
        """Create the networks of the way back, as those of the way there."""
        generator, discriminator = modules["generator"], modules["discriminator"]
        self.back = type(generator)(generator.options, generator.image)
        self.back_discriminator = type(discriminator)(discriminator.options, discriminator.image)

    def forward(self, step: TrainStep) -> Tensor:
        """Return the loss of the step's phase, `(N, K)`."""
        here = step.condition
        assert here is not None
        back = self.back(step.z, step.real)
        there = {"real": step.real_output, "fake": step.fake_output}
        judged = {"real": self.back_discriminator(here), "fake": self.back_discriminator(back)}
        if step.phase == "disc":
            return self.discriminator_loss(**there) + self.discriminator_loss(**judged)
        cycle: Tensor = (self.back(step.z, step.fake) - here).abs() + (step.generate(step.z, back) - step.real).abs()
        adversarial = self.generator_loss(**there) + self.generator_loss(**judged)
        return adversarial + self.options.cycle * cycle.flatten(1).mean(1, keepdim=True)

    def discriminator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Return (D(x) - 1)² + D(G(z))², `(N, K)`."""
        return (real.logits - 1).square() + fake.logits.square()

    def generator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Return (D(G(z)) - 1)², `(N, K)`."""
        return (fake.logits - 1).square()


@hookimpl
def ganforge_components() -> list[Component]:
    """Provide unpaired pictures, a translator and CycleGAN's loss."""
    paper = "arXiv:1703.10593"
    return [
        Component(kind="dataset", name="stripes", target=Stripes, summary="Vertical and horizontal stripes, 1×16×16."),
        Component(kind="generator", name="stripes-translator", target=StripesTranslator, summary="Two convolutions."),
        Component(kind="discriminator", name="stripes", target=StripesDiscriminator, summary="A logit for each patch."),
        Component(kind="loss", name="cycle", target=CycleLoss, summary="CycleGAN's loss, both ways.", paper=paper),
    ]

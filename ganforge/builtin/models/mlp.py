"""The textbook's MLP GAN: fully connected networks, and their dropout."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, ClassVar

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import dropout

from ganforge.components import Discriminator, Generator, ImageSpec

#: Random 16-bit numbers in one int64, and the number of their values.
PER_WORD, VALUES = 4, 1 << 16


class MlpGenerator(Generator):
    """Z → 256 → 512 → 1024 → C·H·W, LeakyReLU 0.2 between the layers, tanh at the end."""

    class Options(Generator.Options):
        """Options of the MLP generator."""

        hidden: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (256, 512, 1024)
        """Widths of the hidden layers, from the latents to the image."""

    options: Options

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((options.latent_dim, *options.hidden)):
            layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Linear(options.hidden[-1], image.numel), nn.Tanh())

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return images, `(N, C, H, W)`, of latents, `(N, Z)`; the condition is not used."""
        images: Tensor = self.layers(z)
        return images.view(len(z), *self.image.shape)


class Dropout(nn.Module):
    """Dropout (Srivastava et al. 2014): sets a share of all numbers to 0 during training and scales the others up.

    On the CPU random numbers are most of dropout's cost: two bytes are drawn per number instead of torch's eight, so
    `rate` is rounded to a multiple of 1/65,536. Other devices use torch's own dropout, which is fast there.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, values: Tensor) -> Tensor:
        """Return values of the same shape, any shape, some of them 0 during training."""
        if not self.training or self.rate == 0:
            return values
        if values.device.type != "cpu":
            return dropout(values, self.rate)
        count = values.numel()
        words = torch.empty(-(-count // PER_WORD), dtype=torch.int64).random_(-(2**63), None)
        bits = words.view(torch.int16)[:count].view(values.shape)
        dropped = min(round(self.rate * VALUES), VALUES - 1)
        return values * (bits >= dropped - VALUES // 2) * (VALUES / (VALUES - dropped))


class MlpDiscriminator(Discriminator):
    """C·H·W → 1024 → 512 → 256 → 1, LeakyReLU 0.2 and dropout 0.5 after each hidden layer."""

    class Options(Discriminator.Options):
        """Options of the MLP discriminator."""

        hidden: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (1024, 512, 256)
        """Widths of the hidden layers, from the image to the logit."""
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
        """Dropout rate of each hidden layer."""

    options: Options
    batch_independent: ClassVar[bool] = True

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((image.numel, *options.hidden)):
            # Not in place: autograd refuses an in-place dropout on the output of LeakyReLU, as the textbook has it.
            layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(0.2), Dropout(options.dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(options.hidden[-1], 1))

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return logits, `(N,)`, of images, `(N, C, H, W)`; the condition is not used."""
        logits: Tensor = self.layers(images.flatten(1))
        return logits.squeeze(1)

"""SNGAN's residual discriminator, with an optional projection by class."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, ClassVar

from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, relu

from ganforge import Discriminator, DiscriminatorOutput, ImageSpec
from ganforge_resnet.layers import convolution, initialized
from ganforge_resnet.plans import class_count, plan_for, required

NAME = "discriminator 'resnet'"


class Block(nn.Module):
    """ReLU, conv, ReLU, conv, plus a shortcut, which has a convolution if the shape changes.

    Args:
        inputs: C, channels of the input.
        outputs: C', channels of the result.
        halve: Halve the map by 2×2 means.
        first: The input is the image, without a ReLU before it (Gulrajani et al. 2017, appendix F).
        spectral_norm: Use spectral norm.
    """

    def __init__(self, inputs: int, outputs: int, *, halve: bool, first: bool, spectral_norm: bool) -> None:
        super().__init__()
        self.halve = halve
        self.first = first
        inner = outputs if first else inputs
        self.conv1 = convolution(inputs, inner, 3, spectral_norm=spectral_norm)
        self.conv2 = convolution(inner, outputs, 3, spectral_norm=spectral_norm)
        self.shortcut: nn.Module = nn.Identity()
        if halve or inputs != outputs:
            self.shortcut = convolution(inputs, outputs, 1, spectral_norm=spectral_norm, gain=1.0)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps, `(N, C', h, w)` or halved, of maps, `(N, C, h, w)`."""
        residual: Tensor = self.conv2(relu(self.conv1(maps if self.first else relu(maps))))
        if self.halve:
            # In all blocks but the first, the paper halves the shortcut at its end. Means and a convolution of single
            # pixels commute; in this order they cost a quarter.
            residual, maps = avg_pool2d(residual, 2), avg_pool2d(maps, 2)
        shortcut: Tensor = self.shortcut(maps)
        return residual + shortcut


class ResnetDiscriminator(Discriminator):
    """Residual blocks that halve the image, the sum over the pixels of the last map, and a dense layer.

    At 3×32×32: two blocks of 128 that halve, two that do not, ReLU, sum, dense 1 (Miyato et al. 2018, table 4), without
    batch norm. A conditional one is a projection discriminator: with features φ(x), the sums, its logit is
    f(x, y) = ψ(φ(x)) + ⟨v_y, φ(x)⟩, ψ the dense layer and v a table of classes (Miyato & Koyama 2018, section 3,
    arXiv:1802.05637). The sums are the features of its output.

    Spectral norm takes a step of power iteration in each forward pass in training. It depends on the weights, not on
    the images, so logits are independent of the batch in training too.
    """

    batch_independent: ClassVar[bool] = True
    #: Training of the residual networks: Miyato et al. 2018, section 4 and appendix B.
    recommended: ClassVar[Mapping[str, Any]] = {"critic_steps": 5, "optimizer.lr": 2e-4, "optimizer.betas": (0.0, 0.9)}

    class Options(Discriminator.Options):
        """Options of the residual discriminator."""

        base_channels: PositiveInt | None = None
        """Channels of the first block; none: the paper's, 128 at 28 and 32 pixels, else 64."""
        spectral_norm: bool = True
        """Use spectral norm in all layers."""
        conditional: bool = False
        """Use class labels, by projection."""

    options: Options

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        plan = plan_for(NAME, image)
        classes = class_count(NAME, image, conditional=options.conditional)
        base_channels = options.base_channels or plan.discriminator_channels
        channels = [image.channels, *(base_channels * width for width in plan.discriminator_widths)]
        spectral_norm = options.spectral_norm
        self.blocks = nn.Sequential(
            *(
                Block(inputs, outputs, halve=number < plan.halvings, first=number == 0, spectral_norm=spectral_norm)
                for number, (inputs, outputs) in enumerate(pairwise(channels))
            )
        )
        self.head = initialized(nn.Linear(channels[-1], 1), spectral_norm=spectral_norm)
        self.embedding: nn.Embedding | None = None
        if classes is not None:
            self.embedding = initialized(nn.Embedding(classes, channels[-1]), spectral_norm=spectral_norm)

    @property
    def conditional(self) -> bool:
        """Option `conditional`."""
        return self.options.conditional

    @classmethod
    def check_image(cls, options: Options, image: ImageSpec) -> None:
        """Raise IncompatibleError for a size without a table, or for a conditional network without classes."""
        plan_for(NAME, image)
        class_count(NAME, image, conditional=options.conditional)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        """Return logits, `(N,)`, and features, `(N, C')`.

        Args:
            images: `(N, C, H, W)`.
            condition: Classes, `(N,)` int64, of a conditional discriminator.
        """
        features = relu(self.blocks(images)).sum((2, 3))
        logits: Tensor = self.head(features).squeeze(1)
        if self.embedding is not None:
            logits = logits + (self.embedding(required(NAME, condition)) * features).sum(1)
        return DiscriminatorOutput(logits, features=(features,))

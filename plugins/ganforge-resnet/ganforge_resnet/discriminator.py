"""SNGAN's residual discriminator, and its projection by class."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, relu

from ganforge import Discriminator, DiscriminatorOutput, ImageSpec
from ganforge_resnet.layers import convolution, prepared
from ganforge_resnet.plans import class_count, labels_needed, plan_for

NAME = "discriminator 'resnet'"


class Block(nn.Module):
    """Pass a map through ReLU, conv, ReLU, conv, beside a shortcut with a convolution where the shape changes.

    halve: whether 2×2 means follow on both ways. first: whether it is given the image itself, which a ReLU would cut
    (Gulrajani et al. 2017, appendix F).
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
        """Return maps, `(N, C', h, w)` or halved, for maps, `(N, C, h, w)`."""
        residual: Tensor = self.conv2(relu(self.conv1(maps if self.first else relu(maps))))
        if self.halve:
            # In all blocks but the first the paper halves the shortcut at its end. Means and a convolution of single
            # pixels may change places; in this order it costs a quarter.
            residual, maps = avg_pool2d(residual, 2), avg_pool2d(maps, 2)
        beside: Tensor = self.shortcut(maps)
        return residual + beside


class ResnetDiscriminator(Discriminator):
    """Halve the image by residual blocks, add up the pixels of the last map, and weigh the sums.

    At 3×32×32: two blocks of 128 that halve, two that do not, ReLU, sum, dense 1 (Miyato et al. 2018, table 4), without
    batch norm. Where it is conditional it is a projection discriminator: with features φ(x), the sums, its logit is
    f(x, y) = ψ(φ(x)) + ⟨v_y, φ(x)⟩, ψ the dense layer and v a table of classes (Miyato & Koyama 2018, section 3,
    arXiv:1802.05637). The features are given to losses that compare them.

    Spectral norm takes a step of power iteration at each forward pass in training. It follows the weights, not the
    images, so that each image is judged by itself in training too.
    """

    batch_independent: ClassVar[bool] = True
    #: Miyato et al. 2018, section 4 and appendix B: how the residual networks were trained.
    recommended: ClassVar = {"critic_steps": 5, "optimizer.lr": 2e-4, "optimizer.betas": (0.0, 0.9)}

    class Options(Discriminator.Options):
        """How wide the network is, and whether it judges by class."""

        base_channels: PositiveInt | None = None
        """Channels of the first block; none: the paper's, 128 at 28 and 32 pixels, else 64."""
        spectral_norm: bool = True
        """Whether all layers have spectral norm."""
        conditional: bool = False
        """Whether images are judged by class, by projection; the data must have labels."""

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
        self.head = prepared(nn.Linear(channels[-1], 1), spectral_norm=spectral_norm)
        self.embedding: nn.Embedding | None = None
        if classes is not None:
            self.embedding = prepared(nn.Embedding(classes, channels[-1]), spectral_norm=spectral_norm)

    @property
    def conditional(self) -> bool:
        """Whether it is conditional."""
        return self.options.conditional

    @classmethod
    def check_image(cls, options: Options, image: ImageSpec) -> None:
        """Raise IncompatibleError for a size without a table, and for a conditional one without labels."""
        plan_for(NAME, image)
        class_count(NAME, image, conditional=options.conditional)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> DiscriminatorOutput:
        """Return logits, `(N,)`, and features, `(N, C')`, for images, `(N, C, H, W)`.

        labels: `(N,)` int64; only used where it is conditional.
        """
        features = relu(self.blocks(images)).sum((2, 3))
        logits: Tensor = self.head(features).squeeze(1)
        if self.embedding is not None:
            if labels is None:
                raise labels_needed(NAME)
            logits = logits + (self.embedding(labels) * features).sum(1)
        return DiscriminatorOutput(logits, features=(features,))

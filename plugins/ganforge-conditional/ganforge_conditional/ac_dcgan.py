"""A DCGAN discriminator with an auxiliary classifier."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt
from torch import Tensor, nn

from ganforge import Discriminator, DiscriminatorOutput, ImageSpec
from ganforge_conditional.convolutions import draw_normal, trunk
from ganforge_conditional.labels import class_count
from ganforge_conditional.sizes import halve, widths


class AcDcganDiscriminator(Discriminator):
    """Judge an image and guess its label, both from one trunk (Odena et al. 2017, section 3).

    At 1×28×28 with `base_channels` 112: Conv 1→112 (4, 2, 1), 112→224 (4, 2, 1), each with batch norm and LeakyReLU
    0.2; from that map a convolution 224→1 (7, 1, 0) judges, and a linear layer 224·7·7→K guesses. Its features are
    that map, `(N, 224, 7, 7)`.
    """

    class Options(Discriminator.Options):
        """How wide the network is, and how its weights start."""

        base_channels: PositiveInt = 112
        """Channels of the map next to the image; they double with every map towards the base."""
        init: Literal["default", "normal"] = "default"
        """How weights start: PyTorch's default, or N(0, 0.02) as DCGAN's authors draw them."""

    options: Options

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        count, (height, width) = halve("discriminator 'ac-dcgan'", image)
        channels = widths(options.base_channels, count)
        self.trunk = trunk([image.channels, *channels])
        self.head = nn.Sequential(nn.Conv2d(channels[-1], 1, (height, width), bias=False), nn.Flatten(0))
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(channels[-1] * height * width, class_count(image)))
        if options.init == "normal":
            draw_normal(self)

    @classmethod
    def check_image(cls, options: Options, image: ImageSpec) -> None:
        """Raise IncompatibleError where the size cannot be halved to a map of 4 to 7 pixels."""
        halve("discriminator 'ac-dcgan'", image)

    @property
    def conditional(self) -> bool:
        """The loss compares its guesses with the labels; they reach the loss through the judgement."""
        return True

    def forward(self, images: Tensor, labels: Tensor | None = None) -> DiscriminatorOutput:
        """Return logits, `(N,)`, class logits, `(N, K)`, and features for images, `(N, C, H, W)`.

        labels: what it should guess, so they are not looked at.
        """
        features = self.trunk(images)
        return DiscriminatorOutput(self.head(features), class_logits=self.classifier(features), features=(features,))

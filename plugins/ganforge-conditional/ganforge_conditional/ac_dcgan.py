"""DCGAN discriminator with an auxiliary classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from ganforge import Discriminator, DiscriminatorOutput, ImageSpec
from ganforge.errors import IncompatibleError
from ganforge_conditional.layers import DcganOptions, initialize_normal, trunk
from ganforge_conditional.sizes import channels_per_level, halve


class AcDcganDiscriminator(Discriminator):
    """One trunk with two heads, for the logit and for the class (Odena et al. 2017, section 3).

    At 1×28×28 with `base_channels` 112: Conv 1→112 (4, 2, 1), 112→224 (4, 2, 1), each with batch norm and LeakyReLU
    0.2; from that map a convolution 224→1 (7, 1, 0) for the logit, and a linear layer 224·7·7→K for the class. Features
    are that map, `(N, 224, 7, 7)`. The term `ac-gan` trains the classifier.
    """

    partners: ClassVar[Mapping[str, str]] = {"gen": "conditional-dcgan", "term": "ac-gan"}

    class Options(DcganOptions, Discriminator.Options):
        """Options of the DCGAN discriminator with an auxiliary classifier."""

    options: Options

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        count, (height, width), classes = self._check(image)
        channels = channels_per_level(options.base_channels, count)
        self.trunk = trunk([image.channels, *channels])
        self.head = nn.Sequential(nn.Conv2d(channels[-1], 1, (height, width), bias=False), nn.Flatten(0))
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(channels[-1] * height * width, classes))
        if options.init == "normal":
            initialize_normal(self)

    @classmethod
    def check_image(cls, options: Options, image: ImageSpec) -> None:
        """Raise IncompatibleError if there are no classes, or the size cannot be halved to a map of 4 to 7 pixels."""
        cls._check(image)

    @staticmethod
    def _check(image: ImageSpec) -> tuple[int, tuple[int, int], int]:
        """Return the number of halvings, the size of the map, and the number of classes."""
        if image.num_classes is None:
            raise IncompatibleError(
                "discriminator 'ac-dcgan' predicts classes, but the data has no class labels",
                fix="use data with class labels (subfolders of a folder are classes), or another --disc",
            )
        return *halve("discriminator 'ac-dcgan'", image), image.num_classes

    def forward(self, images: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        """Return logits, `(N,)`, class logits, `(N, K)`, and features of images, `(N, C, H, W)`.

        The condition is not used: the classifier predicts it.
        """
        features = self.trunk(images)
        return DiscriminatorOutput(self.head(features), class_logits=self.classifier(features), features=(features,))

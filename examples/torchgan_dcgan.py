"""torchgan 0.1.0's DCGAN, unchanged, as two components: pass `--plugin examples/torchgan_dcgan.py --gen torchgan`."""

from torch import nn
from torchgan.models import DCGANDiscriminator, DCGANGenerator

import ganforge
from ganforge.errors import IncompatibleError


class TorchganGenerator(ganforge.Generator):
    """torchgan's DCGANGenerator (Radford et al. 2015): images that are square, and 16, 32, 64, … pixels wide."""

    def __init__(self, options, image):
        super().__init__(options, image)
        self.network = DCGANGenerator(options.latent_dim, image.width, image.channels)

    @classmethod
    def check_image(cls, options, image):
        if image.width != image.height or image.width < 16 or image.width & (image.width - 1):
            raise IncompatibleError(f"torchgan's DCGAN cannot work with {image}; try --data.size 32")

    def forward(self, z, labels=None):
        return self.network(z)


class TorchganDiscriminator(ganforge.Discriminator):
    """torchgan's DCGANDiscriminator; its own end, a LeakyReLU, is left out: ganforge's losses want plain logits."""

    check_image = TorchganGenerator.check_image

    def __init__(self, options, image):
        super().__init__(options, image)
        self.network = DCGANDiscriminator(image.width, image.channels, last_nonlinearity=nn.Identity())

    def forward(self, images, labels=None):
        return self.network(images)


@ganforge.hookimpl
def ganforge_components():
    classes = {"generator": TorchganGenerator, "discriminator": TorchganDiscriminator}
    return [ganforge.Component(kind=kind, name="torchgan", target=cls) for kind, cls in classes.items()]

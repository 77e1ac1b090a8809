"""Networks of torchgan 0.1.0 (DCGAN), unchanged, as two components.

After `python -m pip install torchgan==0.1.0`, which ganforge does not install,
`ganforge run --plugin examples/torchgan_dcgan.py --gen torchgan --disc torchgan --data folder --data.path PICTURES
--data.size 32` trains them.
"""

from torch import nn
from torchgan.models import DCGANDiscriminator, DCGANGenerator

import ganforge
from ganforge.errors import IncompatibleError


class TorchganGenerator(ganforge.Generator):
    """torchgan's DCGANGenerator (Radford et al. 2015): square images of 16, 32, 64, … pixels."""

    def __init__(self, options, image):
        super().__init__(options, image)
        self.network = DCGANGenerator(options.latent_dim, image.width, image.channels)

    @classmethod
    def check_image(cls, options, image):
        if image.width != image.height or image.width < 16 or image.width & (image.width - 1):
            fix = "choose data of 16, 32, 64, … pixels to a side, such as --data folder with --data.size 32"
            raise IncompatibleError(f"torchgan's DCGAN cannot work with {image}", fix=fix)

    def forward(self, z, condition=None):
        return self.network(z)


class TorchganDiscriminator(ganforge.Discriminator):
    """torchgan's DCGANDiscriminator without its last LeakyReLU: ganforge's losses take plain logits."""

    check_image = TorchganGenerator.check_image

    def __init__(self, options, image):
        super().__init__(options, image)
        self.network = DCGANDiscriminator(image.width, image.channels, last_nonlinearity=nn.Identity())

    def forward(self, images, condition=None):
        return self.network(images)


@ganforge.hookimpl
def ganforge_components():
    classes = {"generator": TorchganGenerator, "discriminator": TorchganDiscriminator}
    return [ganforge.Component(kind=kind, name="torchgan", target=cls) for kind, cls in classes.items()]

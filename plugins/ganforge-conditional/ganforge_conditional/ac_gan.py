"""The loss of AC-GAN."""

from __future__ import annotations

from pydantic import NonNegativeFloat
from torch import Tensor
from torch.nn.functional import cross_entropy, softplus

from ganforge import DiscriminatorOutput, Loss
from ganforge.errors import IncompatibleError


class AcGan(Loss):
    """Judge the source by binary cross-entropy, and the label by cross-entropy.

    With Odena et al. 2017, eq. 2 and 3: the discriminator minimises -(L_S + w·L_C), the generator -(w·L_C - L_S), its
    source term in the non-saturating form. L_C is taken on real and on fake images, which have the labels that the
    generator was given.

    On fakes both networks lower L_C together, so that they may agree on a code in which a fake 8 is called a 1. Without
    `classify_fakes` the discriminator learns labels from real images alone.
    """

    class Options(Loss.Options):
        """How much the label counts, and for which images."""

        class_weight: NonNegativeFloat = 1.0
        """What the cross-entropy of the label is multiplied by, in both networks' losses."""
        classify_fakes: bool = True
        """Whether the discriminator learns the labels of fakes too, as in the paper; the generator's loss has them."""

    options: Options

    def discriminator(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Return BCE(real, 1) + BCE(fake, 0) + w·(CE(real) + CE(fake)), `(N,)`, the last term if `classify_fakes`."""
        source = softplus(-real.logits) + softplus(fake.logits)
        classes = label_loss(real) + label_loss(fake) if self.options.classify_fakes else label_loss(real)
        return source + self.options.class_weight * classes

    def generator(self, *, real: DiscriminatorOutput | None, fake: DiscriminatorOutput) -> Tensor:
        """Return BCE(fake, 1) + w·CE(fake), `(N,)`."""
        return softplus(-fake.logits) + self.options.class_weight * label_loss(fake)


def label_loss(judgement: DiscriminatorOutput) -> Tensor:
    """Return the cross-entropy of each image's label, `(N,)`. Raises IncompatibleError where a part of it is absent."""
    if judgement.class_logits is None:
        raise IncompatibleError(
            "loss 'ac-gan' compares class logits with labels, but the discriminator gives no class logits",
            fix="use one with an auxiliary classifier, such as --disc ac-dcgan",
        )
    if judgement.labels is None:
        raise IncompatibleError(
            "loss 'ac-gan' compares class logits with labels, but the discriminator takes no labels",
            fix="let its `conditional` be True: the labels then reach the loss; --disc ac-dcgan does so",
        )
    return cross_entropy(judgement.class_logits, judgement.labels, reduction="none")

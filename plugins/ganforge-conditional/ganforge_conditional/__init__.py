"""What this plugin provides. It imports nothing heavy: the classes are imported when they are used."""

from __future__ import annotations

from collections.abc import Iterable

from ganforge import Component, hookimpl

MIRZA = "Mirza & Osindero 2014, Conditional Generative Adversarial Nets, arXiv:1411.1784"
ODENA = "Odena et al. 2017, Conditional Image Synthesis with Auxiliary Classifier GANs, arXiv:1610.09585"
SALIMANS = "Salimans et al. 2016, Improved Techniques for Training GANs, arXiv:1606.03498"


@hookimpl
def ganforge_components() -> Iterable[Component]:
    """Provide networks that know their images' labels, and two losses that look beyond the logits."""
    return [
        Component(
            kind="generator",
            name="conditional-mlp",
            target="ganforge_conditional.mlp:ConditionalMlpGenerator",
            summary="Fully connected; an embedding of the label beside the latents.",
            paper=MIRZA,
            tags=("conditional",),
        ),
        Component(
            kind="generator",
            name="conditional-dcgan",
            target="ganforge_conditional.dcgan:ConditionalDcganGenerator",
            summary="DCGAN with an embedding of the label beside the latents; 28, 32, 64, 128, … pixels.",
            paper=MIRZA,
            tags=("conditional", "convolutional"),
        ),
        Component(
            kind="discriminator",
            name="conditional-mlp",
            target="ganforge_conditional.mlp:ConditionalMlpDiscriminator",
            summary="Fully connected; an embedding of the label beside the pixels. Gives features.",
            paper=MIRZA,
            tags=("conditional", "features"),
        ),
        Component(
            kind="discriminator",
            name="conditional-dcgan",
            target="ganforge_conditional.dcgan:ConditionalDcganDiscriminator",
            summary="DCGAN with maps of the label beside the image's channels. Gives features.",
            paper=MIRZA,
            tags=("conditional", "convolutional", "features"),
        ),
        Component(
            kind="discriminator",
            name="ac-dcgan",
            target="ganforge_conditional.ac_dcgan:AcDcganDiscriminator",
            summary="DCGAN that also guesses the label, for the loss ac-gan. Gives features.",
            paper=ODENA,
            tags=("conditional", "convolutional", "classifier", "features"),
        ),
        Component(
            kind="loss",
            name="ac-gan",
            target="ganforge_conditional.ac_gan:AcGan",
            summary="Binary cross-entropy, and the cross-entropy of the label on real and on fake images.",
            paper=ODENA,
            tags=("conditional", "classifier"),
        ),
        Component(
            kind="loss",
            name="feature-matching",
            target="ganforge_conditional.feature_matching:FeatureMatching",
            summary="The generator matches the mean of the discriminator's features; the discriminator has BCE.",
            paper=SALIMANS,
            tags=("features",),
        ),
    ]

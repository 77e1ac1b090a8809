"""Conditional networks, and terms for auxiliary classifiers and features. Their classes are imported on first use."""

from __future__ import annotations

from collections.abc import Iterable

from ganforge import Component, hookimpl

MIRZA = "Mirza & Osindero 2014, Conditional Generative Adversarial Nets, arXiv:1411.1784"
ODENA = "Odena et al. 2017, Conditional Image Synthesis with Auxiliary Classifier GANs, arXiv:1610.09585"
SALIMANS = "Salimans et al. 2016, Improved Techniques for Training GANs, arXiv:1606.03498"


@hookimpl
def ganforge_components() -> Iterable[Component]:
    """Return five networks and two terms."""
    return [
        Component(
            kind="generator",
            name="conditional-mlp",
            target="ganforge_conditional.mlp:ConditionalMlpGenerator",
            summary="Fully connected; an embedding of the condition concatenated with the latents.",
            paper=MIRZA,
            tags=("conditional",),
        ),
        Component(
            kind="generator",
            name="conditional-dcgan",
            target="ganforge_conditional.dcgan:ConditionalDcganGenerator",
            summary="DCGAN with an embedding of the condition next to the latents; 28, 32, 64, 128, … pixels.",
            paper=MIRZA,
            tags=("conditional", "convolutional"),
        ),
        Component(
            kind="discriminator",
            name="conditional-mlp",
            target="ganforge_conditional.mlp:ConditionalMlpDiscriminator",
            summary="Fully connected; an embedding of the condition concatenated with the pixels. Gives features.",
            paper=MIRZA,
            tags=("conditional", "features"),
        ),
        Component(
            kind="discriminator",
            name="conditional-dcgan",
            target="ganforge_conditional.dcgan:ConditionalDcganDiscriminator",
            summary="DCGAN with maps of the condition concatenated with the image. Gives features.",
            paper=MIRZA,
            tags=("conditional", "convolutional", "features"),
        ),
        Component(
            kind="discriminator",
            name="ac-dcgan",
            target="ganforge_conditional.ac_dcgan:AcDcganDiscriminator",
            summary="DCGAN with an auxiliary classifier, for the term ac-gan. Gives features.",
            paper=ODENA,
            tags=("convolutional", "classifier", "features"),
        ),
        Component(
            kind="term",
            name="ac-gan",
            target="ganforge_conditional.ac_gan:AcGan",
            summary="Cross-entropy of the discriminator's auxiliary classifier, for both networks.",
            paper=ODENA,
            tags=("conditional", "classifier"),
        ),
        Component(
            kind="term",
            name="feature-matching",
            target="ganforge_conditional.feature_matching:FeatureMatching",
            summary="The generator matches the mean of the discriminator's features on real images.",
            paper=SALIMANS,
            tags=("features",),
        ),
    ]

"""The textbook's models and data, provided through the same hook as any plugin's."""

from __future__ import annotations

from collections.abc import Iterable

from ganforge.builtin.metrics.registry import METRICS
from ganforge.components.spec import Component
from ganforge.plugins.hookspecs import hookimpl

GOODFELLOW = "Goodfellow et al. 2014, Generative Adversarial Networks, arXiv:1406.2661"
RADFORD = "Radford et al. 2015, Unsupervised Representation Learning with DCGANs, arXiv:1511.06434"


@hookimpl
def ganforge_components() -> Iterable[Component]:
    """Provide MLP GAN, DCGAN, the BCE loss, MNIST, image folders, feature extractors and metrics."""
    return [
        Component(
            kind="generator",
            name="mlp",
            target="ganforge.builtin.models.mlp:MlpGenerator",
            summary="The textbook's fully connected generator; any image size.",
            paper=GOODFELLOW,
            tags=("textbook",),
        ),
        Component(
            kind="generator",
            name="dcgan",
            target="ganforge.builtin.models.dcgan:DcganGenerator",
            summary="Transposed convolutions with batch norm; 28, 32, 64, 128, … pixels.",
            paper=RADFORD,
            tags=("textbook", "convolutional"),
        ),
        Component(
            kind="discriminator",
            name="mlp",
            target="ganforge.builtin.models.mlp:MlpDiscriminator",
            summary="The textbook's fully connected discriminator with dropout; any image size.",
            paper=GOODFELLOW,
            tags=("textbook",),
        ),
        Component(
            kind="discriminator",
            name="dcgan",
            target="ganforge.builtin.models.dcgan:DcganDiscriminator",
            summary="Strided convolutions with batch norm; 28, 32, 64, 128, … pixels.",
            paper=RADFORD,
            tags=("textbook", "convolutional"),
        ),
        Component(
            kind="loss",
            name="bce",
            target="ganforge.builtin.losses.bce:Bce",
            summary="Binary cross-entropy on logits; the generator's is the non-saturating form.",
            paper=GOODFELLOW,
            tags=("textbook",),
        ),
        Component(
            kind="dataset",
            name="mnist",
            target="ganforge.builtin.datasets.mnist:Mnist",
            summary="Handwritten digits, 1×28×28; in full from disk or download, else the sample that ships.",
            paper="LeCun, Cortes, Burges, The MNIST database of handwritten digits",
            tags=("textbook", "labels"),
        ),
        Component(
            kind="dataset",
            name="folder",
            target="ganforge.builtin.datasets.folder:Folder",
            summary="A folder of your own pictures; subfolders are classes.",
            tags=("labels",),
        ),
        Component(
            kind="features",
            name="digits",
            target="ganforge.builtin.features.trained:Digits",
            summary="64 features of a classifier of handwritten digits, 1×28×28; its weights ship.",
            tags=("classifier",),
        ),
        Component(
            kind="features",
            name="fashion",
            target="ganforge.builtin.features.trained:Fashion",
            summary="64 features of a classifier of clothes as in Fashion-MNIST, 1×28×28; its weights ship.",
            tags=("classifier",),
        ),
        Component(
            kind="features",
            name="pixels",
            target="ganforge.builtin.features.pixels:Pixels",
            summary="The pixels themselves, in [0, 1]; no perceptual features.",
        ),
        Component(
            kind="features",
            name="random-convolutions",
            target="ganforge.builtin.features.random_convolutions:RandomConvolutions",
            summary="96 features of a fixed random network, for any images; no perceptual features.",
            paper="Jarrett et al. 2009, What is the Best Multi-Stage Architecture for Object Recognition?",
        ),
        *METRICS,
    ]

"""The textbook's models and data, provided through the same hook as any plugin's."""

from __future__ import annotations

from collections.abc import Iterable

from ganforge.component import Component
from ganforge.hookspecs import hookimpl

GOODFELLOW = "Goodfellow et al. 2014, Generative Adversarial Networks, arXiv:1406.2661"
RADFORD = "Radford et al. 2015, Unsupervised Representation Learning with DCGANs, arXiv:1511.06434"


@hookimpl
def ganforge_components() -> Iterable[Component]:
    """Provide MLP GAN, DCGAN, the BCE loss, MNIST, image folders, and a metric that needs no features."""
    return [
        Component(
            kind="generator",
            name="mlp",
            target="ganforge.builtin.mlp:MlpGenerator",
            summary="The textbook's fully connected generator; any image size.",
            paper=GOODFELLOW,
            tags=("textbook",),
        ),
        Component(
            kind="generator",
            name="dcgan",
            target="ganforge.builtin.dcgan:DcganGenerator",
            summary="Transposed convolutions with batch norm; 28, 32, 64, 128, … pixels.",
            paper=RADFORD,
            tags=("textbook", "convolutional"),
        ),
        Component(
            kind="discriminator",
            name="mlp",
            target="ganforge.builtin.mlp:MlpDiscriminator",
            summary="The textbook's fully connected discriminator with dropout; any image size.",
            paper=GOODFELLOW,
            tags=("textbook",),
        ),
        Component(
            kind="discriminator",
            name="dcgan",
            target="ganforge.builtin.dcgan:DcganDiscriminator",
            summary="Strided convolutions with batch norm; 28, 32, 64, 128, … pixels.",
            paper=RADFORD,
            tags=("textbook", "convolutional"),
        ),
        Component(
            kind="loss",
            name="bce",
            target="ganforge.builtin.bce:Bce",
            summary="Binary cross-entropy on logits; the generator's is the non-saturating form.",
            paper=GOODFELLOW,
            tags=("textbook",),
        ),
        Component(
            kind="dataset",
            name="mnist",
            target="ganforge.builtin.mnist:Mnist",
            summary="Handwritten digits, 1×28×28; in full from disk or download, else the sample that ships.",
            paper="LeCun, Cortes, Burges, The MNIST database of handwritten digits",
            tags=("textbook", "labels"),
        ),
        Component(
            kind="dataset",
            name="folder",
            target="ganforge.builtin.folder:Folder",
            summary="A folder of your own pictures; subfolders are classes.",
            tags=("labels",),
        ),
        Component(
            kind="metric",
            name="sliced-wasserstein",
            target="ganforge.builtin.sliced_wasserstein:SlicedWasserstein",
            summary="Distance between the pixels' distributions along random directions; needs no features.",
            paper="Rabin et al. 2011, Wasserstein Barycenter and Its Application to Texture Mixing",
        ),
    ]

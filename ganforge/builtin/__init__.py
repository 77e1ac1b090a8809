"""Built-in components, presets and commands, registered through the same hooks as those of plugins."""

from __future__ import annotations

from collections.abc import Iterable

from ganforge.builtin.metrics.registry import METRICS
from ganforge.builtin.presets import QUICK, TEXTBOOK
from ganforge.components.spec import Component
from ganforge.plugins.commands import CommandGroup
from ganforge.plugins.hookspecs import hookimpl
from ganforge.plugins.presets import Preset

GOODFELLOW = "Goodfellow et al. 2014, Generative Adversarial Networks, arXiv:1406.2661"
RADFORD = "Radford et al. 2015, Unsupervised Representation Learning with DCGANs, arXiv:1511.06434"
#: Help of the commands that ganforge's core does without, by module and function of `ganforge.cli`.
COMMANDS = {
    "report:report": "Write a self-contained HTML file of a run, or of all runs of a folder.",
    "sweep:app": (
        "Train every combination of components and settings with several seeds, score each run, and rank them."
    ),
    "import_weights:import_weights": (
        "Convert PyTorch's pickled weights to safetensors for --init, without running the file's code."
    ),
    "clean:clean": (
        "Remove old checkpoints of runs; never the newest valid or the best one, nor those of a run that is training."
    ),
    "move:move": "Rename or move a run that is not training, also to another disk.",
    "data:app": "Describe, check and convert pictures: folders, archives and arrays.",
    "bench:app": (
        "Compare the speed of ganforge with that of the textbook's loop on this machine, on MNIST in batches of 60."
    ),
    "interpolate:app": "Draw the images between points of the latent space: as rows, a grid, a GIF or a video.",
    "latent:app": "Explore the latent space: traversals, directions, arithmetic, truncation and mixing of styles.",
    "project:app": "Find latents whose images are near to pictures, or the training images nearest to them.",
    "explore:app": (
        "Open a local page to play with a generator, until Ctrl-C: sliders, walks, pins, classes, checkpoints."
    ),
    "export:app": "Write a run's generator as a file for others, and run that file before the command is done.",
    "publish:publish": (
        "Write a folder with a run's weights, samples and model card, and upload it to the Hugging Face Hub."
    ),
}


@hookimpl
def ganforge_components() -> Iterable[Component]:
    """Return networks, losses, latents, optimizers, schedules, datasets, feature extractors and metrics."""
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
            kind="latent",
            name="normal",
            target="ganforge.builtin.latents:Normal",
            summary="Standard normal numbers.",
            tags=("textbook",),
        ),
        Component(
            kind="latent",
            name="uniform",
            target="ganforge.builtin.latents:Uniform",
            summary="Numbers uniform in [-1, 1).",
            tags=("textbook",),
        ),
        Component(
            kind="optimizer",
            name="adam",
            target="ganforge.builtin.optimizers:Adam",
            summary="Adam with the textbook's learning rate and betas.",
            paper="Kingma & Ba 2014, Adam: A Method for Stochastic Optimization, arXiv:1412.6980",
            tags=("textbook",),
        ),
        Component(
            kind="optimizer",
            name="adamw",
            target="ganforge.builtin.optimizers:AdamW",
            summary="Adam with decoupled weight decay.",
            paper="Loshchilov & Hutter 2017, Decoupled Weight Decay Regularization, arXiv:1711.05101",
        ),
        Component(
            kind="optimizer",
            name="rmsprop",
            target="ganforge.builtin.optimizers:RMSprop",
            summary="RMSprop, which the first Wasserstein GANs were trained with.",
            paper="Arjovsky et al. 2017, Wasserstein GAN, arXiv:1701.07875",
        ),
        Component(
            kind="optimizer",
            name="sgd",
            target="ganforge.builtin.optimizers:Sgd",
            summary="Stochastic gradient descent, with or without momentum.",
        ),
        Component(
            kind="schedule",
            name="constant",
            target="ganforge.builtin.schedules:Constant",
            summary="No change: the factor is always 1.",
        ),
        Component(
            kind="schedule",
            name="linear",
            target="ganforge.builtin.schedules:Linear",
            summary="Linear decay to `final`.",
        ),
        Component(
            kind="schedule",
            name="cosine",
            target="ganforge.builtin.schedules:Cosine",
            summary="Decay along half a cosine to `final`.",
            paper="Loshchilov & Hutter 2016, SGDR, arXiv:1608.03983",
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
            summary="Your own pictures: a folder, zip, tar, .npy or .npz; subfolders are classes, or dataset.json.",
            tags=("labels", "files", "zip", "tar", "npy", "npz"),
        ),
        Component(
            kind="features",
            name="digits",
            target="ganforge.builtin.features.classifier_features:Digits",
            summary="64 features of a classifier of handwritten digits, 1×28×28; its weights ship.",
            tags=("classifier",),
        ),
        Component(
            kind="features",
            name="fashion",
            target="ganforge.builtin.features.classifier_features:Fashion",
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
            name="raw",
            target="ganforge.builtin.features.pixels:Raw",
            summary="The numbers of the image as networks see it, unrounded: for float32 data.",
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


@hookimpl
def ganforge_presets() -> Iterable[Preset]:
    """Return the textbook's training, and a quick one."""
    return [TEXTBOOK, QUICK]


@hookimpl
def ganforge_commands(app: CommandGroup) -> None:
    """Add the commands that ganforge's core does without."""
    for target, text in COMMANDS.items():
        app.add_command(target.partition(":")[0].replace("_", "-"), f"ganforge.cli.{target}", help=text)

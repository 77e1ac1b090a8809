"""What differs between kinds in a project. Everything else about a kind stands in its template."""

from __future__ import annotations

from dataclasses import dataclass

from ganforge.components.spec import KINDS, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Say what a project's texts tell of its component of one kind.

    noun: the kind within a sentence. summary, paper: the component's. chosen: the words of a run that has it.
    otherwise: the words of a run where the project has none of that kind. note: a line of the README.
    """

    noun: str
    summary: str
    paper: str | None = None
    chosen: str
    otherwise: str = ""
    note: str


PARTS: dict[Kind, Part] = {
    "generator": Part(
        noun="a generator",
        summary="Upsampling and convolutions with batch norm; any image size.",
        paper="Odena et al. 2016, Deconvolution and Checkerboard Artifacts, doi:10.23915/distill.00003",
        chosen="--gen $component",
        otherwise="--gen mlp",
        note="The generator follows `image.channels`, `image.height` and `image.width`, and ends in [-1, 1].",
    ),
    "discriminator": Part(
        noun="a discriminator",
        summary="Strided convolutions without batch norm; any image size.",
        chosen="--disc $component",
        otherwise="--disc mlp",
        note="The discriminator gives logits `(N,)`; `batch_independent` says that no image influences another's.",
    ),
    "loss": Part(
        noun="a loss",
        summary="Hinge loss: logits beyond the margin teach the discriminator nothing more.",
        paper="Miyato et al. 2018, Spectral Normalization for GANs, arXiv:1802.05957",
        chosen="--loss $component",
        note="The loss recommends Adam's betas to whoever sets none: `recommended`.",
    ),
    "dataset": Part(
        noun="a data set",
        summary="Circles, squares and triangles, drawn from a seed; 1×28×28 unless told otherwise.",
        chosen="--data $component",
        otherwise="--data mnist --data.source sample",
        note="The data set draws its images. A comment in `load` says what to do for files of your own.",
    ),
    "penalty": Part(
        noun="a penalty",
        summary="R1: the squared gradient norm of the discriminator at real images.",
        paper="Mescheder et al. 2018, Which Training Methods for GANs do actually Converge?, arXiv:1801.04406",
        chosen="--penalty $component",
        note="The penalty is not weighted in `measure`: the engine multiplies by `weight`, and logs it unweighted.",
    ),
    "features": Part(
        noun="features",
        summary="Light and contrast in the cells of a grid; any image size.",
        chosen="--features $component --metric fid",
        note="The feature extractor describes each image by itself; the protocols of scores hold its `fingerprint`.",
    ),
    "metric": Part(
        noun="a metric",
        summary="Distances between the images' brightness and contrast; needs no features.",
        chosen="--metric $component",
        note="The metric's scores go into `evaluation.jsonl`; `better` names each, and which direction is better.",
    ),
    "augmentation": Part(
        noun="an augmentation",
        summary="Shift images by a random number of pixels, as DiffAugment's translation does.",
        paper="Zhao et al. 2020, Differentiable Augmentation for Data-Efficient GAN Training, arXiv:2006.10738",
        chosen="--augment $component",
        note="The augmentation changes real and fake images alike, and draws from the `rng` that it is given.",
    ),
}
#: Kinds that a run needs only where it is evaluated, and the words for that.
SCORING: frozenset[Kind] = frozenset({"features", "metric"})
EVALUATED = "--evaluate-every 100"

assert tuple(PARTS) == KINDS, "a kind without a part would be left out of projects"  # noqa: S101

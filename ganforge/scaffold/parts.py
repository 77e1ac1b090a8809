"""Texts of a project that differ between kinds; everything else about a kind is in its template."""

from __future__ import annotations

from dataclasses import dataclass

from ganforge.components.spec import KINDS, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplatePart:
    """Texts about a project's component of one kind."""

    noun: str  # the kind within a sentence
    summary: str
    paper: str | None = None
    chosen: str  # flags of a run with the component
    otherwise: str = ""  # flags of a run if the project has no component of the kind
    note: str  # line of the README


PARTS: dict[Kind, TemplatePart] = {
    "generator": TemplatePart(
        noun="a generator",
        summary="Upsampling and convolutions with batch norm; any image size.",
        paper="Odena et al. 2016, Deconvolution and Checkerboard Artifacts, doi:10.23915/distill.00003",
        chosen="--gen $component",
        otherwise="--gen mlp",
        note="The generator adapts to `image.channels`, `image.height` and `image.width`; its images are in [-1, 1].",
    ),
    "discriminator": TemplatePart(
        noun="a discriminator",
        summary="Strided convolutions without batch norm; any image size.",
        chosen="--disc $component",
        otherwise="--disc mlp",
        note="The discriminator returns logits `(N,)`; `batch_independent` means that one does not depend on others.",
    ),
    "loss": TemplatePart(
        noun="a loss",
        summary="Hinge loss: logits beyond the margin give the discriminator no gradient.",
        paper="Miyato et al. 2018, Spectral Normalization for GANs, arXiv:1802.05957",
        chosen="--loss $component",
        note="The loss recommends betas for Adam by `recommended`; settings of the user override them.",
    ),
    "term": TemplatePart(
        noun="a term",
        summary="R1: squared norm of the discriminator's gradient at real images.",
        paper="Mescheder et al. 2018, Which Training Methods for GANs do actually Converge?, arXiv:1801.04406",
        chosen="--term $component",
        note="The term returns unweighted values; the engine multiplies by `weight` and logs their mean.",
    ),
    "augmentation": TemplatePart(
        noun="an augmentation",
        summary="Shift images by a random number of pixels, as DiffAugment's translation does.",
        paper="Zhao et al. 2020, Differentiable Augmentation for Data-Efficient GAN Training, arXiv:2006.10738",
        chosen="--augment $component",
        note="The augmentation draws parameters from `step.rng`, and applies the same ones as often as needed.",
    ),
    "latent": TemplatePart(
        noun="a latent distribution",
        summary="Uniform distribution on a sphere.",
        paper="White 2016, Sampling Generative Networks, arXiv:1609.04468",
        chosen="--latent $component",
        note="The latent distribution draws from the `rng` that it gets, and works for any number of dimensions.",
    ),
    "optimizer": TemplatePart(
        noun="an optimizer",
        summary="AdamW that decays neither biases nor norms.",
        paper="Loshchilov & Hutter 2017, Decoupled Weight Decay Regularization, arXiv:1711.05101",
        chosen="--optimizer $component",
        note="The optimizer's state is in `state` and `param_groups`, as torch's is, so that checkpoints hold it.",
    ),
    "schedule": TemplatePart(
        noun="a schedule",
        summary="Polynomial decay.",
        chosen="--optimizer.schedule $component",
        note="The schedule is a function of the step alone, so that resumed runs have the same factors.",
    ),
    "dataset": TemplatePart(
        noun="a dataset",
        summary="Circles, squares and triangles, drawn from a seed; 1×28×28 by default.",
        chosen="--data $component",
        otherwise="--data mnist --data.source sample",
        note="The dataset draws its images. A comment in `open` explains how to read files instead.",
    ),
    "features": TemplatePart(
        noun="features",
        summary="Brightness and contrast in the cells of a grid; any image size.",
        chosen="--features $component --metric fid",
        note="The feature extractor treats every image by itself; the protocols of scores hold its `fingerprint`.",
    ),
    "metric": TemplatePart(
        noun="a metric",
        summary="Distances between the images' brightness and contrast; needs no features.",
        chosen="--metric $component",
        note="The metric's scores go into `evaluation.jsonl`; `higher_is_better` names them.",
    ),
}
#: Kinds that a run needs only for evaluation, and the flags for that.
SCORING: frozenset[Kind] = frozenset({"features", "metric"})
EVALUATED = "--evaluate-every 100"

assert tuple(PARTS) == KINDS, "a kind without a part would be left out of projects"  # noqa: S101

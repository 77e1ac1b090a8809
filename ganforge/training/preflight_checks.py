"""Checks of preflight: tensors that components return, and pairs of components that train, but not as intended."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from ganforge.components import Loss
from ganforge.errors import IncompatibleError
from ganforge.training.build import GANComponents

#: Nodes of the autograd graph that only reshape; a sigmoid may precede them.
RESHAPES = (
    "Squeeze",
    "View",
    "Reshape",
    "Unsqueeze",
    "Flatten",
    "Select",
    "Slice",
    "Expand",
    "Permute",
    "Clone",
    "Alias",
)
#: Excess over [-1, 1] that a tanh in low precision may have.
TOLERANCE = 1e-3
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
ONE_LOGIT = "one logit per image: end with .squeeze(1), or nn.Flatten(0)"


def check_finite(entry: object, values: Tensor, name: str) -> None:
    """Raise IncompatibleError unless all numbers of a component's result, named by a noun, are finite floats."""
    if not values.is_floating_point() or not bool(values.detach().isfinite().all()):
        raise IncompatibleError(f"{entry}: its {name} are {values.dtype} numbers that are not all finite")


def check_latents(entry: object, z: object, count: int, dim: int) -> None:
    """Raise IncompatibleError unless latents have the shape `(N, Z)`."""
    if not isinstance(z, Tensor) or z.shape != (count, dim):
        raise IncompatibleError(
            f"{entry} samples latents of shape {shape_of(z)}; (N, Z) is required, here ({count}, {dim})"
        )


def check_images(entry: object, images: object, shape: tuple[int, ...], data: str, *, bounded: bool) -> None:
    """Raise IncompatibleError unless generated images have the shape and range of the real ones."""
    if not isinstance(images, Tensor) or tuple(images.shape) != shape:
        raise IncompatibleError(
            f"{entry} generates images of shape {shape_of(images)}; data {data!r} has {shape} for {shape[0]} images",
            fix="its layers must follow `image.channels`, `image.height` and `image.width`",
        )
    check_finite(entry, images, "images")
    low, high = float(images.detach().min()), float(images.detach().max())
    if bounded and (low < -1 - TOLERANCE or high > 1 + TOLERANCE):
        raise IncompatibleError(
            f"{entry} generates images in [{low:.3g}, {high:.3g}]; real images are in [-1, 1]",
            fix="end it with a tanh, or declare `bounded = False`: its images are clamped when they become bytes",
        )


def check_logits(entry: object, logits: Tensor, count: int) -> None:
    """Raise IncompatibleError unless logits are unbounded and have the shape `(N,)` or `(N, K)`."""
    if not isinstance(logits, Tensor) or logits.ndim not in {1, 2} or len(logits) != count:
        fix = None
        if isinstance(logits, Tensor) and logits.numel() == count:
            fix = ONE_LOGIT
        elif isinstance(logits, Tensor) and logits.ndim > len("NK") and len(logits) == count:
            fix = "several logits per image are (N, K): end with .flatten(1)"
        raise IncompatibleError(
            f"{entry} returns logits of shape {shape_of(logits)} for {count} images; ({count},) or ({count}, K) is "
            "required",
            fix=fix,
        )
    check_finite(entry, logits, "logits")
    if logits.shape == (count, 1):
        raise IncompatibleError(
            f"{entry} returns logits of shape {shape_of(logits)} for {count} images; ({count},) is required",
            fix=ONE_LOGIT,
        )
    if _is_squashed(logits):
        raise IncompatibleError(
            f"{entry} squashes its logits into [0, 1] with a sigmoid; losses need unbounded logits",
            fix="remove the sigmoid: the loss applies it",
        )


def check_term(entry: object, values: object, count: int, phase: str, *, noun: str, elementwise: bool) -> Tensor:
    """Return the values of a term; raise IncompatibleError unless they are finite and `(N,)`, `(N, K)` or `()`.

    The `noun` is `loss` or `term`. Elementwise losses must not return `()`.
    """
    if not isinstance(values, Tensor) or (values.ndim > 0 and len(values) != count) or values.ndim > len("NK"):
        raise IncompatibleError(
            f"{entry}: its {noun} of phase {phase!r} has shape {shape_of(values)} for {count} "
            f"images; ({count},), ({count}, K) or () is required, not reduced over images"
        )
    if elementwise and values.ndim == 0:
        raise IncompatibleError(
            f"{entry}: its {noun} of phase {phase!r} has shape () for {count} images; "
            "the shape of the logits is required, not reduced"
        )
    check_finite(entry, values, "values")
    return values


def shape_of(value: object) -> str:
    """Return the shape of a tensor, or the type of another value."""
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__


def _is_squashed(logits: Tensor) -> bool:
    """Return whether the last operation, except reshaping, is a sigmoid."""
    node = logits.grad_fn
    while node is not None and any(name in node.name() for name in RESHAPES) and node.next_functions:
        node = node.next_functions[0][0]
    return node is not None and node.name().startswith("SigmoidBackward")


def doubtful_pairs(gan: GANComponents) -> Iterator[str]:
    """Yield a line for each pair of components that trains, but not as intended, by their declarations."""
    resolved, loss = gan.resolved, gan.resolved.one("loss").entry
    if gan.discriminator.conditional and not gan.generator.conditional:
        yield (
            f"{resolved.one('disc').entry} is conditional, but {resolved.one('gen').entry} is not: fakes are judged by "
            "conditions that the generator does not know"
        )
    judges = (gan.discriminator, *gan.all_terms.values())
    if gan.generator.conditional and not any(judge.conditional for judge in judges):
        yield (
            f"{resolved.one('gen').entry} is conditional, but neither {resolved.one('disc').entry} nor a term is: "
            "the generator gets no training signal from the condition"
        )
    batch_norm = f"{resolved.one('disc').entry} has batch norm" if has_batch_norm(gan.discriminator) else None
    for term, chosen in zip(gan.terms.values(), resolved.chosen["term"], strict=True):
        if term.per_image_gradients and batch_norm is not None:
            yield (
                f"{chosen.entry} penalizes the gradient of each image, but {batch_norm}, which mixes the images of a "
                "batch: a discriminator without it is the usual choice"
            )
    if not isinstance(gan.loss, Loss):
        return
    if gan.loss.pairs_images and batch_norm is not None:
        yield (
            f"{loss} compares real images with fakes, but {batch_norm}, which normalizes both apart: a discriminator "
            "without it is the usual choice"
        )
    if gan.loss.relative_logits:
        for augmentation, chosen in zip(gan.augmentations.values(), resolved.chosen["augment"], strict=True):
            if augmentation.reads_signs:
                yield (
                    f"{chosen.entry} adapts to the signs of logits, but with {loss} only differences of logits have a "
                    "meaning: fix its strength instead"
                )


def has_batch_norm(network: nn.Module) -> bool:
    """Return whether a network normalizes by the statistics of a batch."""
    return any(isinstance(module, BATCH_NORMS) and module.training for module in network.modules())

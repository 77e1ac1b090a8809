"""Checks of the tensors that components return in preflight: shapes, ranges, finite numbers."""

from __future__ import annotations

from torch import Tensor

from ganforge.errors import IncompatibleError

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

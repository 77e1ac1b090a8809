"""Pictures of samples, for grids, notebooks and files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ganforge.components import Dataset, Generator, ImageSpec, Split
from ganforge.components.sampling import default_condition
from ganforge.errors import GanforgeError, PluginError
from ganforge.utils.images import side_by_side
from ganforge.utils.rng import fork_torch_rng
from ganforge.utils.tracebacks import summarize_exception

if TYPE_CHECKING:
    from ganforge.data.scoring import Scoring  # it makes pictures, too


def sample_condition(generator: Generator, scoring: Scoring, count: int) -> Tensor | None:
    """Return conditions for samples, `(N, …)` as stored, or None for a generator that is not conditional.

    Classes take turns. Vectors and tensors are those of the first test images, or training images without a test
    split, repeated if there are too few.
    """
    if not generator.conditional or generator.image.num_classes is not None:
        return default_condition(generator, count)
    split: Split = "test" if "test" in scoring.info.sizes else "train"
    size = scoring.info.sizes[split]
    return scoring.take(split, [index % size for index in range(count)], "samples").condition


def to_pictures(dataset: Dataset, images: Tensor) -> Tensor:
    """Return pictures, `(N, C', H', W')` uint8 on the CPU, of images as the generator returns them, `(N, C, H, W)`.

    Raises PluginError if `to_pixels` fails, or returns something else.
    """
    with _own_code(dataset, "to_pixels"):
        pictures = dataset.to_pixels(images.cpu())
    if pictures.dtype != torch.uint8 or pictures.ndim != images.ndim or len(pictures) != len(images):
        raise PluginError(
            f"{type(dataset).__name__}.to_pixels returns {pictures.dtype} of shape {tuple(pictures.shape)} for "
            f"{len(images)} images; uint8 (N, C, H, W) is required"
        )
    return pictures.cpu()


def with_condition(pictures: Tensor, condition: Tensor | None, image: ImageSpec) -> Tensor:
    """Return pictures, `(N, C, H, W)` uint8, with the condition to the left of each if it is an image, as stored."""
    if condition is None or image.condition is None or not image.condition.is_image:
        return pictures
    return side_by_side(condition, pictures)


def render(dataset: Dataset, images: Tensor) -> Tensor | None:
    """Return the dataset's one picture of many samples, `(C, H, W)` uint8 on the CPU, or None if a grid shows them.

    Raises PluginError if `render` fails, or returns something else.
    """
    with _own_code(dataset, "render"):
        picture = dataset.render(images.cpu())
    if picture is None:
        return None
    if picture.dtype != torch.uint8 or picture.ndim != len("CHW"):
        raise PluginError(
            f"{type(dataset).__name__}.render returns {picture.dtype} of shape {tuple(picture.shape)}; uint8 (C, H, W) "
            "is required"
        )
    return picture.cpu()


@contextmanager
def _own_code(dataset: Dataset, method: str) -> Iterator[None]:
    """Run a dataset's method without a graph and without effects on random numbers; its errors name it."""
    with torch.no_grad(), fork_torch_rng(0, "pictures"):
        try:
            yield
        except (GanforgeError, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise PluginError(f"{type(dataset).__name__}.{method} fails: {summarize_exception(error)}") from error

"""Notices about pairs of components that train, but not as intended."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from ganforge.components import Loss
from ganforge.training.build import GANComponents

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def doubtful_pairs(gan: GANComponents) -> Iterator[str]:
    """Yield a line for each pair of components that trains, but not as intended, by their declarations."""
    resolved, loss = gan.resolved, gan.resolved.one("loss").entry
    if gan.discriminator.conditional and not gan.generator.conditional:
        yield (
            f"{resolved.one('disc').entry} is conditional, but {resolved.one('gen').entry} is not: fakes are judged by "
            "conditions that the generator does not know"
        )
    if gan.generator.conditional and not gan.discriminator.conditional:
        yield (
            f"{resolved.one('gen').entry} is conditional, but {resolved.one('disc').entry} is not: "
            "the generator gets no training signal from the condition, unless a term gives one"
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

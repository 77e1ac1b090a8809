"""Sample grids with the same latents and conditions at every step."""

from __future__ import annotations

from torch import Tensor

from ganforge.components import Dataset, Generator
from ganforge.components.sampling import Sampler, class_rows, draw_latents
from ganforge.data.pictures import render, sample_condition, to_pictures, with_condition
from ganforge.training.build import GANComponents
from ganforge.utils.images import grid

SAMPLES, COLUMNS = 64, 8
#: Pairs of a condition image and its result, side by side.
PAIRS, PAIR_COLUMNS = 32, 4
#: Samples of a picture that the dataset renders, such as a scatter plot.
RENDERED_SAMPLES = 1024
PREVIEWS = 10


class FixedSamples:
    """Fixed latents and conditions, and pictures of a generator's images for them.

    With few classes, a grid has one row per class and one latent per column. A condition image is to the left of its
    result.
    """

    def __init__(self, gan: GANComponents, *, seed: int) -> None:
        self._dataset, self._image, self._seed = gan.dataset, gan.info.image, seed
        condition = self._image.condition if gan.generator.conditional else None
        pairs = condition is not None and condition.is_image
        self._columns = PAIR_COLUMNS if pairs else COLUMNS
        self._shown = slice(PREVIEWS)
        self._rendered = type(gan.dataset).render is not Dataset.render
        count = RENDERED_SAMPLES if self._rendered else PAIRS if pairs else SAMPLES
        self.condition = None if self._rendered else class_rows(gan.generator, COLUMNS)
        if self.condition is None:
            self.latents = draw_latents(gan.latent, gan.generator, count, seed=seed)
            self.condition = sample_condition(gan.generator, gan, count)
        else:
            rows = len(self.condition) // COLUMNS
            self.latents = draw_latents(gan.latent, gan.generator, COLUMNS, seed=seed).repeat(rows, 1)
            self._shown = slice(0, PREVIEWS * COLUMNS, COLUMNS)

    def picture(self, generator: Generator) -> tuple[Tensor, Tensor]:
        """Return one picture of all samples, `(C, H, W)` uint8, and the previews among them, `(N, C, H, W)` uint8."""
        images = Sampler(generator, seed=self._seed).images(self.latents, self.condition)
        rendered = render(self._dataset, images) if self._rendered else None
        if rendered is not None:
            return rendered, rendered[None]
        pictures = self._pictures(images, self.condition)
        return grid(pictures[:SAMPLES] if self._rendered else pictures, self._columns), pictures[self._shown]

    def previews(self, generator: Generator) -> Tensor:
        """Return pictures of a few samples, `(N, C, H, W)` uint8."""
        if self._rendered:
            return self.picture(generator)[1]
        condition = None if self.condition is None else self.condition[self._shown]
        images = Sampler(generator, seed=self._seed).images(self.latents[self._shown], condition)
        return self._pictures(images, condition)

    def _pictures(self, images: Tensor, condition: Tensor | None) -> Tensor:
        return with_condition(to_pictures(self._dataset, images), condition, self._image)

"""Small pictures of images in the terminal, two pixels per character."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style
from torch import Tensor

from ganforge.utils.images import RGB, visible_channels

Pixels = NDArray[np.float32]
Bytes = NDArray[np.uint8]

#: Lines of text for one image: 16 pixels.
MAX_LINES = 8
#: Images per row.
MAX_COLUMNS = 8
#: Images that are kept.
MAX_IMAGES = 4 * MAX_COLUMNS
#: Columns between images, and lines between rows of them.
GAP = 1

#: Characters with the share that they cover of the upper left, upper right, lower left and lower right quarter of their
#: cell. Every font and console has them.
BLOCKS = {
    " ": (0, 0, 0, 0),
    "░": (0.25, 0.25, 0.25, 0.25),
    "▒": (0.5, 0.5, 0.5, 0.5),
    "▓": (0.75, 0.75, 0.75, 0.75),
    "█": (1, 1, 1, 1),
    "▀": (1, 1, 0, 0),
    "▄": (0, 0, 1, 1),
    "▌": (1, 0, 1, 0),
    "▐": (0, 1, 0, 1),
}
ASCII = " .:-=+*#%@"


class SamplesPicture:
    """Renderable of images side by side, in as many rows as fit: colored half blocks, or characters by darkness.

    The width and height of rich's options are kept. Nothing is drawn if not even one image fits.
    """

    def __init__(self, images: Tensor) -> None:
        """Create a picture of images, `(N, C, H, W)` uint8 on the CPU; the first ones that fit are shown."""
        # A copy, since another thread draws the picture later.
        self._images: Bytes = visible_channels(images[:MAX_IMAGES]).numpy().copy()
        *_, height, width = self._images.shape
        self._height = _drawn_height(height)
        self._width = max(1, round(self._height * width / height))
        self._drawn: tuple[object, list[Segment]] = (None, [])

    @property
    def lines(self) -> int:
        """Lines of text of one row of images."""
        return self._height // 2

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        columns = min(len(self._images), MAX_COLUMNS)
        return Measurement(self._width, columns * (self._width + GAP) - GAP).with_maximum(options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        columns = min(len(self._images), MAX_COLUMNS, (options.max_width + GAP) // (self._width + GAP))
        if columns < 1:
            return
        space = options.height or options.max_height
        rows = min(-(-len(self._images) // columns), (space + GAP) // (self.lines + GAP))
        colored = console.color_system is not None and not console.no_color and not options.ascii_only
        # A live display draws one picture many times.
        key = (columns, rows, colored, options.ascii_only)
        if self._drawn[0] != key:
            self._drawn = key, list(self._draw(columns, rows, colored=colored, ascii_only=options.ascii_only))
        yield from self._drawn[1]

    def _draw(self, columns: int, rows: int, *, colored: bool, ascii_only: bool) -> Iterator[Segment]:
        for row in range(rows):
            if row:
                yield from [Segment.line()] * GAP
            shown = self._images[row * columns : (row + 1) * columns].transpose(0, 2, 3, 1)
            if colored:
                drawn = [_half_blocks(_shrink(image, self._height, self._width)) for image in shown]
            else:
                drawn = [_characters(image, self._height, self._width, ascii_only=ascii_only) for image in shown]
            for line in range(self.lines):
                for index, image_lines in enumerate(drawn):
                    if index:
                        yield Segment(" " * GAP)
                    yield from image_lines[line]
                yield Segment.line()


def _drawn_height(height: int) -> int:
    """Return the height of a drawn image in pixels: even, and a divisor of its own height if possible.

    Thin strokes stay sharp if every drawn pixel covers whole pixels.
    """
    limit = 2 * MAX_LINES
    if height <= limit:
        return height + height % 2
    return next((drawn for drawn in (limit, limit - 2, limit - 4) if height % drawn == 0), limit)


def _shrink(image: Pixels | Bytes, height: int, width: int) -> Pixels:
    """Return an image `(H, W, C)` averaged over areas to `(height, width, C)`."""
    down, across = _area_weights(image.shape[0], height), _area_weights(image.shape[1], width)
    # einsum, because @ may start BLAS threads that compete with the training's.
    rows = np.einsum("hi,ijc->hjc", down, image.astype(np.float32))
    shrunk: Pixels = np.einsum("wj,hjc->hwc", across, rows)
    return shrunk


@lru_cache(maxsize=16)
def _area_weights(source: int, target: int) -> Pixels:
    """Return the weight of each of `source` pixels in each of `target` pixels, `(target, source)`; rows sum to 1."""
    edges = np.arange(target + 1, dtype=np.float32) * (source / target)
    left = np.maximum(edges[:-1, None], np.arange(source))
    right = np.minimum(edges[1:, None], np.arange(1, source + 1))
    weights: Pixels = (np.maximum(right - left, 0) * (target / source)).astype(np.float32)
    return weights


def _half_blocks(pixels: Pixels) -> list[list[Segment]]:
    """Return pixels `(height, width, 1 or 3)` as lines of half blocks: upper pixel in front, lower pixel behind."""
    # Steps of 8 are invisible, and an even background becomes one run, a tenth of the bytes.
    levels = np.clip(np.rint(pixels / 8) * 8, 0, 255).astype(np.uint8)
    colors = np.broadcast_to(levels, (*levels.shape[:2], RGB)).tolist()
    lines = []
    for upper, lower in zip(colors[::2], colors[1::2], strict=True):
        cells = ((tuple(above), tuple(below)) for above, below in zip(upper, lower, strict=True))
        lines.append([_run(*cell, len(list(run))) for cell, run in groupby(cells)])
    return lines


@lru_cache(maxsize=4096)
def _run(above: tuple[int, int, int], below: tuple[int, int, int], length: int) -> Segment:
    behind = Color.from_rgb(*below)
    if above == below:
        return Segment(" " * length, Style(bgcolor=behind))
    return Segment("▀" * length, Style(color=Color.from_rgb(*above), bgcolor=behind))


def _characters(image: Bytes, height: int, width: int, *, ascii_only: bool) -> list[list[Segment]]:
    """Return an image `(H, W, C)` as lines of characters that cover more of their cells where it is brighter."""
    brightness = image.mean(axis=2, keepdims=True, dtype=np.float32) / 255
    if ascii_only:
        characters = list(ASCII)
        choices = np.rint(_shrink(brightness, height // 2, width)[..., 0] * (len(ASCII) - 1)).astype(int)
    else:
        characters = list(BLOCKS)
        quarters = _shrink(brightness, height, 2 * width).reshape(height // 2, 2, width, 2).swapaxes(1, 2)
        cells = quarters.reshape(height // 2, width, 1, 4)
        choices = np.square(cells - np.array(list(BLOCKS.values()), np.float32)).sum(axis=-1).argmin(axis=-1)
    return [[Segment("".join(characters[choice] for choice in line))] for line in choices]

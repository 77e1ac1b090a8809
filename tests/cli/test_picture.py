"""Picture of samples in a terminal: averages, glyphs and size."""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
import pyte
import pytest
import torch
from rich.console import Console

from ganforge.cli._picture import SamplesPicture


def paint(images: torch.Tensor, columns: int = 80, lines: int = 50, **console: object) -> tuple[pyte.Screen, str]:
    """Draw images on a screen, and return it with the text that was sent."""
    file = io.StringIO(newline="\r\n")
    options: dict[str, object] = {"color_system": "truecolor", "force_terminal": True, "_environ": {}} | console
    Console(file=file, width=columns, height=lines, **options).print(SamplesPicture(images))  # type: ignore[arg-type]
    screen = pyte.Screen(columns + 1, lines + 1)  # one more, so that a line that is too wide shows
    pyte.Stream(screen).feed(file.getvalue())
    return screen, file.getvalue()


def test_drawn_pixels_are_averages_over_areas() -> None:
    """Every half block has the mean color of its pixels, up to the quantization."""
    images = torch.randint(0, 256, (2, 3, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    screen, _ = paint(images)
    expected = torch.nn.functional.avg_pool2d(images.float(), 2)
    for index, y, x in np.ndindex(2, 14, 14):
        cell = screen.buffer[y // 2][index * 15 + x]
        color = cell.fg if y % 2 == 0 and cell.data == "▀" else cell.bg
        drawn = torch.tensor([int(color[i : i + 2], 16) for i in (0, 2, 4)])
        assert (drawn - expected[index, :, y, x]).abs().max() <= 5


def test_without_color_characters_cover_what_is_bright() -> None:
    """Without color, bright halves are half blocks, grays are shades; brighter pixels have denser ASCII characters."""
    upper, left = torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
    upper[..., 0, :], left[..., 0] = 255, 255
    gray, white = torch.full_like(left, 128), torch.full_like(left, 255)
    images = torch.cat([upper, 255 - upper, gray, white]).byte()
    screen, text = paint(images, _environ={"NO_COLOR": "1"})
    assert screen.display[0].rstrip() == "▀▀ ▄▄ ▒▒ ██"
    assert "\x1b" not in text
    tall = left.repeat_interleave(2, dim=3).byte()  # drawn unchanged: bright and dark columns
    assert paint(tall, color_system=None)[0].display[0].rstrip() == "██"
    ramp = torch.arange(0, 256, 17).expand(1, 1, 16, 16).byte()
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    Console(file=stream, width=80, force_terminal=True, _environ={}).print(SamplesPicture(ramp))
    stream.seek(0)
    drawn = stream.read().splitlines()[0]
    assert drawn == "".join(sorted(drawn, key=" .:-=+*#%@".index))
    assert drawn[0] == " "
    assert drawn[-1] == "@"


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 9, 9), (3, 32, 32), (3, 20, 60), (4, 60, 20)])
@pytest.mark.parametrize("color_system", ["truecolor", "256", "standard", None])
def test_a_picture_keeps_within_its_space(
    shape: tuple[int, int, int], color_system: Literal["truecolor", "256", "standard"] | None
) -> None:
    """Images are whole or absent on any console: none exceeds its size, and one is drawn if it fits."""
    picture = SamplesPicture(torch.full((20, *shape), 200, dtype=torch.uint8))
    for columns, lines in ((3, 5), (14, 20), (40, 8), (80, 24), (200, 60)):
        console = Console(
            file=io.StringIO(), color_system=color_system, width=columns, height=lines, force_terminal=True, _environ={}
        )
        drawn = console.render_lines(picture, pad=False)
        widths = [sum(segment.cell_length for segment in line) for line in drawn]
        assert len(drawn) <= lines
        assert max(widths, default=0) <= columns
        assert bool(sum(widths)) == (picture._width <= columns and picture.lines <= lines)
        console.print(picture)

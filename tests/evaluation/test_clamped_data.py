"""Law of numbers outside [-1, 1] in data that is not pictures: one notice where they are clamped."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganforge.config import command_line_layer
from ganforge.config.resolve import resolve
from ganforge.data.scoring import build_scoring
from ganforge.plugins.registry import Registry

SOURCE = """
import torch
from ganforge import Component, Dataset, ImageTensors, hookimpl


class Wide(Dataset):
    class Options(Dataset.Options):
        scale: float = 3.0

    def open(self, split):
        return ImageTensors(torch.linspace(-self.options.scale, self.options.scale, 320).view(20, 1, 4, 4))


class Drawn(Wide):
    def render(self, images):
        return torch.zeros(1, 8, 8, dtype=torch.uint8)


class Decoded(Wide):
    def to_pixels(self, images):
        return super().to_pixels(images / self.options.scale)


@hookimpl
def ganforge_components():
    return [Component(kind="dataset", name=cls.__name__.lower(), target=cls) for cls in (Wide, Drawn, Decoded)]
"""


@pytest.mark.parametrize(
    ("settings", "evaluates", "uses"),
    [
        (("data=wide",), False, "grids"),
        (("data=wide",), True, "grids and metrics"),
        (("data=wide", "data.scale=1"), True, None),
        (("data=drawn",), True, "metrics"),
        (("data=drawn",), False, None),
        (("data=drawn", "features=raw", "metric=precision"), True, None),
        (("data=decoded",), True, None),
        (("data=mnist", "data.source=sample"), True, None),
    ],
)
def test_clamped_numbers_are_a_notice(
    settings: tuple[str, ...], *, evaluates: bool, uses: str | None, tmp_path: Path
) -> None:
    """Without `to_pixels`, the range and its uses are named; data within [-1, 1] and drawings have no notice."""
    (tmp_path / "wide.py").write_text(SOURCE, encoding="utf-8")
    registry = Registry.discover([tmp_path / "wide.py"], no_plugins=True)
    scoring = build_scoring(resolve([command_line_layer(["gen=mlp", "disc=mlp", *settings])], registry))
    notices = scoring.notices(evaluates=evaluates)
    name = settings[0].removeprefix("data=")
    expected = f"data {name!r} has numbers from -3 to 3, which {uses} clamp to [-1, 1]; a dataset may define to_pixels"
    assert notices == (() if uses is None else (expected,))

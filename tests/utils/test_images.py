"""Pictures: images as bytes, grids, and PNG files that are never torn."""

from __future__ import annotations

import io
import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import torch
from PIL import Image

from ganforge.utils.images import grid, normalize, png_bytes, save_png, side_by_side, to_uint8, visible_channels

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVERY_BYTE = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)


def noise(*shape: int) -> torch.Tensor:
    """Return random bytes, without 0, so that padding cannot be mistaken for image."""
    return torch.randint(1, 256, shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@contextmanager
def almost_full_disk() -> Iterator[None]:
    """Let no file grow beyond 64 bytes, as a full disk would; for a moment, as pytest's own report may be a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_bytes_invert_the_scaling_of_pixels() -> None:
    """to_uint8 ∘ ((x/255 - 0.5)/0.5) is the identity on all 256 values."""
    assert torch.equal(to_uint8((EVERY_BYTE.float() / 255 - 0.5) / 0.5), EVERY_BYTE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_bytes_are_the_nearest_in_every_precision(dtype: torch.dtype) -> None:
    """No byte is further than a half from (x + 1)·127.5 of the number that the precision holds."""
    images = torch.linspace(-1, 1, 4001, dtype=torch.float64).to(dtype).view(1, 1, 1, -1)
    exact = (images.double() + 1) * 127.5
    assert (to_uint8(images).double() - exact).abs().max() <= 0.5 + 1e-4


def test_bytes_are_defined_for_every_number() -> None:
    """Numbers outside [-1, 1] are clamped, NaN is black, and the images stay as they were, without a graph."""
    images = torch.tensor([-7.0, 7.0, -torch.inf, torch.inf, torch.nan]).view(1, 1, 1, 5).requires_grad_()
    assert to_uint8(images).flatten().tolist() == [0, 255, 0, 255, 0]
    assert images[0, 0, 0, 0] == -7


@pytest.mark.parametrize("count", range(1, 18))
@pytest.mark.parametrize("channels", [1, 3])
def test_a_grid_holds_every_image_and_nothing_else(count: int, channels: int) -> None:
    """Cutting a grid at its padding gives the images back in order; it is nearly square; the rest is black."""
    images = noise(count, channels, 5, 3)
    picture = grid(images, padding=2)
    rows, columns = (picture.shape[1] - 2) // 7, (picture.shape[2] - 2) // 5
    assert 0 <= columns - rows <= 1
    places = [picture[:, 2 + r * 7 : 7 + r * 7, 2 + c * 5 : 5 + c * 5] for r in range(rows) for c in range(columns)]
    assert torch.equal(torch.stack(places[:count]), images)
    assert picture.count_nonzero() == images.count_nonzero()


def test_image_grid_has_the_requested_columns() -> None:
    """`columns` fixes the width of a row, and more columns than images leave no empty places."""
    images = noise(4, 1, 2, 2)
    assert grid(images, columns=4, padding=0).shape == (1, 2, 8)
    assert grid(images, columns=1, padding=0).shape == (1, 8, 2)
    assert torch.equal(grid(images, columns=9), grid(images, columns=4))


def test_an_empty_grid_is_refused() -> None:
    """A grid of no images, or without columns, is a ValueError."""
    with pytest.raises(ValueError, match="at least one image"):
        grid(noise(0, 1, 2, 2))
    with pytest.raises(ValueError, match="not 3 and 0"):
        grid(noise(3, 1, 2, 2), columns=0)


@pytest.mark.parametrize(("channels", "shown"), [(1, 1), (3, 3), (4, 3), (9, 3)])
def test_a_screen_shows_the_first_channels(channels: int, shown: int) -> None:
    """One channel is shown in gray; of three and more, the first three are shown."""
    images = noise(2, channels, 4, 4)
    assert torch.equal(visible_channels(images), images[:, :shown])
    assert torch.equal(grid(images), grid(images[:, :shown]))
    assert png_bytes(images[0]) == png_bytes(images[0, :shown])


def test_two_channels_are_shown_side_by_side() -> None:
    """Neither of two channels is lost: the first is to the left of the second, in gray."""
    images = noise(3, 2, 4, 5)
    shown = visible_channels(images)
    assert torch.equal(shown, torch.cat([images[:, :1], images[:, 1:]], dim=3))
    assert torch.equal(visible_channels(images[0]), shown[0])
    assert torch.equal(grid(images), grid(shown))
    assert png_bytes(images[0]) == png_bytes(shown[0])


def test_normalize_scales_bytes_only() -> None:
    """`normalize` inverts `to_uint8`, has the textbook's bits, and leaves other types as they are."""
    values = normalize(EVERY_BYTE)
    assert torch.equal(values, (EVERY_BYTE.float() / 255 - 0.5) / 0.5)
    assert torch.equal(to_uint8(values), EVERY_BYTE)
    classes = torch.tensor([3, 7])
    assert normalize(classes) is classes
    assert normalize(values) is values


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_side_by_side_shows_condition_and_result(channels: int) -> None:
    """Conditions are scaled to the height of the results; gray ones become colored next to colored results."""
    conditions, images = noise(2, channels, 2, 3), noise(2, 3, 4, 4)
    pairs = side_by_side(conditions, images)
    left = visible_channels(conditions).repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert torch.equal(pairs, torch.cat([left.expand(2, 3, *left.shape[2:]), images], dim=3))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_keeps_every_pixel(channels: int) -> None:
    """Reading a PNG gives the picture back, of a transposed tensor too."""
    picture = noise(channels, 7, 4).transpose(1, 2)
    read = Image.open(io.BytesIO(png_bytes(picture)))
    expected = picture[0] if channels == 1 else picture.permute(1, 2, 0)
    assert read.size == (7, 4)
    assert list(read.tobytes()) == expected.flatten().tolist()


def test_a_saved_picture_replaces_the_old_one(tmp_path: Path) -> None:
    """After saving twice the folder holds one file, with the second picture, as readable as any other file."""
    path = tmp_path / "step-00001000.png"
    save_png(noise(1, 4, 4), path)
    save_png(EVERY_BYTE[0], path)
    (tmp_path / "other").touch()
    assert path.read_bytes() == png_bytes(EVERY_BYTE[0])
    assert {entry.name for entry in tmp_path.iterdir()} == {"step-00001000.png", "other"}
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_full_disk_leaves_the_old_picture(tmp_path: Path) -> None:
    """If the new picture does not fit, the old one stays whole and nothing else is in the folder."""
    path = tmp_path / "samples.png"
    path.write_bytes(b"old")
    with almost_full_disk(), pytest.raises(OSError, match="too large"):
        save_png(noise(3, 64, 64), path)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["samples.png"]


def test_no_folder_is_made_for_a_picture(tmp_path: Path) -> None:
    """A missing folder is an OSError and stays missing; a folder in the picture's place is not replaced."""
    with pytest.raises(FileNotFoundError):
        save_png(noise(1, 4, 4), tmp_path / "samples" / "a.png")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a.png").mkdir()
    with pytest.raises(IsADirectoryError):
        save_png(noise(1, 4, 4), tmp_path / "a.png")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]

"""Laws of how a folder's pictures become pixels, on real ones that Pillow writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from folder_parts import folder, greys, noise, save
from PIL import Image

from ganforge.errors import DataError


@pytest.mark.parametrize("end", ["png", "bmp", "gif", "tiff", "webp", "ppm", "tga", "jp2", "qoi", "ico", "pcx"])
def test_lossless_formats_keep_every_pixel(tmp_path: Path, end: str) -> None:
    """What Pillow writes without loss is read to the bit, in (C, H, W)."""
    picture = noise("RGB", (12, 12)).quantize(16).convert("RGB")
    lossless: dict[str, dict[str, Any]] = {
        "webp": {"lossless": True},
        "jp2": {"irreversible": False},
        "ico": {"sizes": [(12, 12)]},
    }
    save(tmp_path / f"1.{end}", picture, **lossless.get(end, {}))
    pixels = folder(tmp_path, colour="rgb").load("train").pixels
    assert torch.equal(pixels[0], torch.tensor(np.asarray(picture)).permute(2, 0, 1))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16"])
def test_grey_pictures_stay_grey(tmp_path: Path, mode: str) -> None:
    """Where every picture is greyscale there is one channel; one picture in colour, in any split, makes it three."""
    save(tmp_path / "train" / "1.png", Image.new(mode, (4, 4)))
    save(tmp_path / "test" / "1.png", Image.new("L", (4, 4)))
    assert folder(tmp_path).info.image.channels == 1
    assert folder(tmp_path, colour="rgb").info.image.channels == 3
    save(tmp_path / "test" / "2.png", Image.new("P", (4, 4)))
    assert folder(tmp_path).load("train").pixels.shape == (1, 3, 4, 4)
    assert folder(tmp_path, colour="grey").info.image.channels == 1


@pytest.mark.parametrize("end", ["png", "tiff", "pgm"])
def test_16_bits_are_scaled_not_clipped(tmp_path: Path, end: str) -> None:
    """White stays white, 257·v becomes v, in either byte order, and what lies between goes to the nearest."""
    save(tmp_path / "between" / f"1.{end}", Image.fromarray(np.array([[128, 129, 65406, 65407]], dtype=np.uint16)))
    assert folder(tmp_path / "between").load("train").pixels.flatten().tolist() == [0, 1, 254, 255]
    values = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257
    save(tmp_path / "all" / f"1.{end}", Image.fromarray(values))
    assert torch.equal(folder(tmp_path / "all").load("train").pixels.flatten(), torch.arange(256, dtype=torch.uint8))
    if end == "tiff":
        raw = (tmp_path / "all" / "1.tiff").read_bytes()
        save(tmp_path / "all" / "1.tiff", Image.frombytes("I;16B", (16, 16), values.byteswap().tobytes()))
        assert (tmp_path / "all" / "1.tiff").read_bytes() != raw
        assert torch.equal(
            folder(tmp_path / "all").load("train").pixels.flatten(), torch.arange(256, dtype=torch.uint8)
        )


def test_numbers_without_a_white_are_named(tmp_path: Path) -> None:
    """Floating-point and 32-bit pixels have no defined brightness, so they are skipped, not guessed."""
    save(tmp_path / "1.png", 9)
    save(tmp_path / "2.tiff", Image.new("F", (4, 4), 0.5))
    save(tmp_path / "3.tiff", Image.new("I", (4, 4), 1 << 20))
    data = folder(tmp_path, colour="grey")
    assert greys(data) == [9]
    assert "2.tiff (its pixels are floating-point" in data.notices[0]
    assert "3.tiff (its pixels have 32 bits" in data.notices[0]


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    """Full transparency is white and half is half-way, in every way that transparency is stored."""
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    save(tmp_path / "1.png", Image.new("RGBA", (4, 4), (255, 0, 0, 0)))
    save(tmp_path / "2.png", Image.new("RGBA", (4, 4), (0, 0, 0, 128)))
    save(tmp_path / "3.png", palette, transparency=1)
    save(tmp_path / "4.png", Image.new("LA", (4, 4), (0, 0)))
    save(tmp_path / "5.png", Image.new("RGB", (4, 4), (9, 9, 9)), transparency=(9, 9, 9))
    save(tmp_path / "6.webp", Image.new("RGBA", (4, 4), (255, 0, 0, 0)))
    save(tmp_path / "7.gif", palette, transparency=0)
    colours = folder(tmp_path).load("train").pixels[:, :, 0, 0].tolist()
    white = [255, 255, 255]
    assert colours == [white, [127, 127, 127], white, white, white, white, [255, 0, 0]]


def test_colour_spaces_become_rgb(tmp_path: Path) -> None:
    """CMYK without ink is white; palettes give their colours; an animation gives its first frame."""
    save(tmp_path / "1.tiff", Image.new("CMYK", (4, 4), (0, 0, 0, 0)))
    save(tmp_path / "2.jpg", Image.new("CMYK", (4, 4), (0, 0, 0, 0)))
    save(tmp_path / "3.png", Image.new("RGB", (4, 4), (10, 20, 30)).quantize(2))
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime")]
    save(tmp_path / "4.gif", frames[0], save_all=True, append_images=frames[1:])
    colours = folder(tmp_path).load("train").pixels[:, :, 0, 0].tolist()
    assert colours == [[255, 255, 255], [255, 255, 255], [10, 20, 30], [255, 0, 0]]


@pytest.mark.parametrize("end", ["jpg", "png", "tiff"])
@pytest.mark.parametrize("size", [None, 8])
def test_pictures_are_turned_upright(tmp_path: Path, end: str, size: int | None) -> None:
    """Every EXIF orientation of one picture gives the same upright pixels, sizes included."""
    upright = Image.new("L", (16, 32), 0)
    upright.paste(255, (0, 0, 16, 16))  # the upper half is white
    back = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    save(tmp_path / f"1.{end}", upright)
    for orientation, turn in back.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        save(tmp_path / f"{orientation}.{end}", upright.transpose(turn), exif=exif)
    pixels = folder(tmp_path, size=size).load("train").pixels.float()
    height, width = (32, 16) if size is None else (8, 8)
    assert pixels.shape == (4, 1, height, width)
    assert (pixels[:, :, 1, :] > 200).all()
    assert (pixels[:, :, -2, :] < 55).all()
    assert (pixels - pixels[:1]).abs().max() <= 4, "JPEG alone is not exact"


def test_resizing_is_centred_square_and_antialiased(tmp_path: Path) -> None:
    """The shorter side fills the square, the longer loses both ends, and a fine chequerboard becomes its mean."""
    wide = Image.new("L", (300, 100), 0)
    wide.paste(200, (100, 0, 200, 100))  # the middle third
    save(tmp_path / "wide.png", wide)
    save(tmp_path / "tall.png", wide.transpose(Image.Transpose.ROTATE_90))
    board = np.indices((256, 256)).sum(axis=0) % 2 * 255
    save(tmp_path / "board.png", Image.fromarray(board.astype(np.uint8)))
    save(tmp_path / "small.png", Image.new("L", (3, 5), 77))
    board_pixels, small, tall, wide_pixels = folder(tmp_path, size=10).load("train").pixels.int()
    assert ((wide_pixels - 200).abs() <= 25).all(), "Lanczos looks a little beyond the edge of the square"
    assert (wide_pixels[:, :, 3:-3] == 200).all()
    assert torch.equal(tall, wide_pixels.transpose(1, 2))
    assert ((board_pixels - 127).abs() <= 2).all()
    assert (small == 77).all()


def test_a_size_that_fits_changes_nothing(tmp_path: Path) -> None:
    """Pictures that have the size already keep every pixel."""
    save(tmp_path / "1.png", noise("RGB"))
    assert torch.equal(folder(tmp_path, size=40).load("train").pixels, folder(tmp_path).load("train").pixels)


def test_drafts_look_the_same(tmp_path: Path) -> None:
    """A photograph that is decoded at a part of its size differs by no more than a few grey levels."""
    picture = noise("L").resize((1024, 1024))
    save(tmp_path / "jpeg" / "1.jpg", picture, quality=95)
    save(tmp_path / "png" / "1.png", Image.open(tmp_path / "jpeg" / "1.jpg"))
    for size in (16, 64, 128, 200):
        jpeg, png = folder(tmp_path, size=size).load("train").pixels.int()
        assert (jpeg - png).abs().max() <= 4


def test_different_sizes_need_a_size(tmp_path: Path) -> None:
    """Without `size`, two sizes are an error that shows two pictures and the option; non-square ones are fine."""
    save(tmp_path / "a.png", Image.new("L", (4, 6)))
    assert folder(tmp_path).load("train").pixels.shape == (1, 1, 6, 4)
    save(tmp_path / "b.png", Image.new("L", (5, 6)))
    with pytest.raises(DataError, match=r"(?s)a.png is 4×6 pixels, b.png 5×6.*--data.size 64"):
        folder(tmp_path).load("train")

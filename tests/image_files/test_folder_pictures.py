"""Laws of decoding, on real pictures that Pillow writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from ganforge.components import ImageSpec
from ganforge.config import command_line_layer
from ganforge.errors import DataError
from ganforge.utils.images import normalize
from tests.helpers.image_folders import folder, grays, in_memory, noise, save, streamed


@pytest.mark.parametrize("end", ["png", "bmp", "gif", "tiff", "webp", "ppm", "tga", "jp2", "qoi", "ico", "pcx"])
def test_lossless_formats_keep_every_pixel(tmp_path: Path, end: str) -> None:
    """Lossless formats keep every bit, in (C, H, W)."""
    picture = noise("RGB", (12, 12)).quantize(16).convert("RGB")
    lossless: dict[str, dict[str, Any]] = {
        "webp": {"lossless": True},
        "jp2": {"irreversible": False},
        "ico": {"sizes": [(12, 12)]},
    }
    save(tmp_path / f"1.{end}", picture, **lossless.get(end, {}))
    pixels = in_memory(folder(tmp_path, color="rgb")).images
    assert torch.equal(pixels[0], torch.tensor(np.asarray(picture)).permute(2, 0, 1))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16"])
def test_gray_pictures_stay_gray(tmp_path: Path, mode: str) -> None:
    """If every picture is grayscale there is one channel; one picture in color, in any split, makes it three."""
    save(tmp_path / "train" / "1.png", Image.new(mode, (4, 4)))
    save(tmp_path / "test" / "1.png", Image.new("L", (4, 4)))
    assert folder(tmp_path).info.image.channels == 1
    assert folder(tmp_path, color="rgb").info.image.channels == 3
    save(tmp_path / "test" / "2.png", Image.new("RGB", (4, 4), "red").quantize(2))
    assert in_memory(folder(tmp_path)).images.shape == (1, 3, 4, 4)
    assert folder(tmp_path, color="gray").info.image.channels == 1


@pytest.mark.parametrize("end", ["png", "tiff", "pgm"])
def test_16_bits_are_scaled_not_clipped(tmp_path: Path, end: str) -> None:
    """White stays white, 257·v becomes v, in either byte order, and other values are rounded to the nearest."""
    save(tmp_path / "between" / f"1.{end}", Image.fromarray(np.array([[128, 129, 65406, 65407]], dtype=np.uint16)))
    assert in_memory(folder(tmp_path / "between")).images.flatten().tolist() == [0, 1, 254, 255]
    values = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257
    save(tmp_path / "all" / f"1.{end}", Image.fromarray(values))
    assert torch.equal(in_memory(folder(tmp_path / "all")).images.flatten(), torch.arange(256, dtype=torch.uint8))
    if end == "tiff":
        raw = (tmp_path / "all" / "1.tiff").read_bytes()
        save(tmp_path / "all" / "1.tiff", Image.frombytes("I;16B", (16, 16), values.byteswap().tobytes()))
        assert (tmp_path / "all" / "1.tiff").read_bytes() != raw
        assert torch.equal(in_memory(folder(tmp_path / "all")).images.flatten(), torch.arange(256, dtype=torch.uint8))


def test_numbers_without_a_white_are_named(tmp_path: Path) -> None:
    """Floating-point and 32-bit pixels have no defined white, so they are skipped."""
    save(tmp_path / "1.png", 9)
    save(tmp_path / "2.tiff", Image.new("F", (4, 4), 0.5))
    save(tmp_path / "3.tiff", Image.new("I", (4, 4), 1 << 20))
    data = folder(tmp_path, color="gray")
    assert grays(data) == [9]
    assert "2.tiff (its pixels are floating-point" in data.notices[1]
    assert "3.tiff (its pixels have 32 bits" in data.notices[1]


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    """Full transparency is white and half is half-way, for every way to store transparency."""
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    save(tmp_path / "1.png", Image.new("RGBA", (4, 4), (255, 0, 0, 0)))
    save(tmp_path / "2.png", Image.new("RGBA", (4, 4), (0, 0, 0, 128)))
    save(tmp_path / "3.png", palette, transparency=1)
    save(tmp_path / "4.png", Image.new("LA", (4, 4), (0, 0)))
    save(tmp_path / "5.png", Image.new("RGB", (4, 4), (9, 9, 9)), transparency=(9, 9, 9))
    save(tmp_path / "6.webp", Image.new("RGBA", (4, 4), (255, 0, 0, 0)))
    save(tmp_path / "7.gif", palette, transparency=0)
    colors = in_memory(folder(tmp_path)).images[:, :, 0, 0].tolist()
    white = [255, 255, 255]
    assert colors == [white, [127, 127, 127], white, white, white, white, [255, 0, 0]]


def test_color_spaces_become_rgb(tmp_path: Path) -> None:
    """CMYK without ink is white; palettes give their colors; an animation gives its first frame."""
    save(tmp_path / "1.tiff", Image.new("CMYK", (4, 4), (0, 0, 0, 0)))
    save(tmp_path / "2.jpg", Image.new("CMYK", (4, 4), (0, 0, 0, 0)))
    save(tmp_path / "3.png", Image.new("RGB", (4, 4), (10, 20, 30)).quantize(2))
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "lime")]
    save(tmp_path / "4.gif", frames[0], save_all=True, append_images=frames[1:])
    colors = in_memory(folder(tmp_path)).images[:, :, 0, 0].tolist()
    assert colors == [[255, 255, 255], [255, 255, 255], [10, 20, 30], [255, 0, 0]]


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
    pixels = in_memory(folder(tmp_path, size=size)).images.float()
    height, width = (32, 16) if size is None else (8, 8)
    assert pixels.shape == (4, 1, height, width)
    assert (pixels[:, :, 1, :] > 200).all()
    assert (pixels[:, :, -2, :] < 55).all()
    assert (pixels - pixels[:1]).abs().max() <= 4, "JPEG alone is not exact"


def test_resizing_is_centred_square_and_antialiased(tmp_path: Path) -> None:
    """The shorter side fills the square, the longer loses both ends, and a fine checkerboard becomes its mean."""
    wide = Image.new("L", (300, 100), 0)
    wide.paste(200, (100, 0, 200, 100))  # the middle third
    save(tmp_path / "wide.png", wide)
    save(tmp_path / "tall.png", wide.transpose(Image.Transpose.ROTATE_90))
    board = np.indices((256, 256)).sum(axis=0) % 2 * 255
    save(tmp_path / "board.png", Image.fromarray(board.astype(np.uint8)))
    save(tmp_path / "small.png", Image.new("L", (3, 5), 77))
    board_pixels, small, tall, wide_pixels = in_memory(folder(tmp_path, size=10)).images.int()
    assert ((wide_pixels - 200).abs() <= 25).all(), "Lanczos reads a little beyond the edge of the square"
    assert (wide_pixels[:, :, 3:-3] == 200).all()
    assert torch.equal(tall, wide_pixels.transpose(1, 2))
    assert ((board_pixels - 127).abs() <= 2).all()
    assert (small == 77).all()


def test_resizing_to_the_same_size_changes_nothing(tmp_path: Path) -> None:
    """Pictures that have the size already keep every pixel."""
    save(tmp_path / "1.png", noise("RGB"))
    assert torch.equal(in_memory(folder(tmp_path, size=40)).images, in_memory(folder(tmp_path)).images)


def test_drafts_look_the_same(tmp_path: Path) -> None:
    """A photograph that is decoded at a part of its size differs by no more than a few gray levels."""
    picture = noise("L").resize((1024, 1024))
    save(tmp_path / "jpeg" / "1.jpg", picture, quality=95)
    save(tmp_path / "png" / "1.png", Image.open(tmp_path / "jpeg" / "1.jpg"))
    for size in (16, 64, 128, 200):
        jpeg, png = in_memory(folder(tmp_path, size=size)).images.int()
        assert (jpeg - png).abs().max() <= 4


def test_different_sizes_need_a_size(tmp_path: Path) -> None:
    """Without `size`, two sizes are an error that shows two pictures and the option; non-square ones are fine."""
    save(tmp_path / "a.png", Image.new("L", (4, 6)))
    assert in_memory(folder(tmp_path)).images.shape == (1, 1, 6, 4)
    save(tmp_path / "b.png", Image.new("L", (5, 6)))
    with pytest.raises(DataError, match=r"(?s)a.png is 4×6 pixels, b.png 5×6.*data.size=64"):
        folder(tmp_path).open("train")


@pytest.mark.parametrize("end", ["png", "tiff", "pgm"])
def test_16_bits_keep_their_depth(tmp_path: Path, end: str) -> None:
    """With depth 16 every one of the 65,536 values is a different float32 in [-1, 1], in memory and streamed."""
    values = np.arange(1 << 16, dtype=np.uint16).reshape(256, 256)
    save(tmp_path / f"1.{end}", Image.fromarray(values))
    images = in_memory(folder(tmp_path, depth=16)).images
    assert (images.dtype, images.shape) == (torch.float32, (1, 1, 256, 256))
    assert (float(images.min()), float(images.max())) == (-1, 1)
    assert torch.equal(images.flatten().add(1).mul(32767.5).round().int(), torch.arange(1 << 16, dtype=torch.int32))
    data = folder(tmp_path, depth=16, stream="yes")
    assert data.info.image == folder(tmp_path, depth=16).info.image == ImageSpec(1, 256, 256, None, "float32")
    assert torch.equal(streamed(data)[0][0], images[0])
    assert data.info.fingerprint != folder(tmp_path, stream="yes").info.fingerprint


@pytest.mark.parametrize("color", ["gray", "rgb"])
def test_8_bits_are_the_same_numbers_at_both_depths(tmp_path: Path, color: str) -> None:
    """Pictures of 8 bits become with depth 16 what networks see of them with depth 8, to the bit; size is as before."""
    save(tmp_path / "1.png", Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)))
    save(tmp_path / "2.png", noise("RGB", (16, 16)))
    save(tmp_path / "3.png", Image.new("RGBA", (16, 16), (0, 0, 0, 128)))
    shallow, deep = (in_memory(folder(tmp_path, color=color, depth=depth)).images for depth in (8, 16))
    assert torch.equal(normalize(shallow), deep)
    assert torch.equal(folder(tmp_path).to_pixels(deep), shallow)
    shallow, deep = (in_memory(folder(tmp_path, color=color, depth=depth, size=5)).images for depth in (8, 16))
    assert (normalize(shallow) - deep).abs().max() <= 2 / 255


def test_resized_16_bits_stay_in_range_and_are_not_rounded(tmp_path: Path) -> None:
    """Lanczos overshoots at an edge: the result is clamped to [-1, 1], as 8 bits are; slow ramps keep their steps."""
    edge = np.zeros((64, 64), dtype=np.uint16)
    edge[:, 32:] = 65535
    save(tmp_path / "edge" / "1.png", Image.fromarray(edge))
    images = in_memory(folder(tmp_path / "edge", depth=16, size=20)).images
    assert (float(images.min()), float(images.max())) == (-1, 1)
    ramp = np.linspace(1000, 1200, 64).astype(np.uint16)
    save(tmp_path / "ramp" / "1.png", Image.fromarray(np.tile(ramp, (64, 1))))
    row = in_memory(folder(tmp_path / "ramp", depth=16, size=16)).images[0, 0, 8]
    assert (row.diff() > 0).all(), "8 bits have one gray for all of them"
    as_rgb = in_memory(folder(tmp_path / "ramp", depth=16, size=16, color="rgb")).images[0]
    assert torch.equal(as_rgb, as_rgb[:1].expand(3, -1, -1))


def test_depth_is_a_number_on_the_command_line(tmp_path: Path) -> None:
    """`--data.depth 16` is read as a number; other depths are refused."""
    assert command_line_layer(["data.depth=16"]).values == {"data": {"depth": 16}}
    with pytest.raises(ValidationError, match="8 or 16"):
        folder(tmp_path, depth=12)

"""Laws of decoding against independent decoders, pypng and tifffile: every depth, transparency and orientation."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import png
import pytest
import tifffile
import torch
from PIL import Image

from ganforge.errors import DataError
from tests.helpers.image_folders import folder, in_memory, noise, save, streamed

Array = np.ndarray[Any, Any]
#: Height and width; no multiple of a byte at 1, 2 and 4 bits.
SHAPE = (5, 7)
#: Kinds of PNG and their depths.
PNG_DEPTHS = {"gray": (1, 2, 4, 8, 16), "rgb": (8, 16), "palette": (1, 2, 4, 8), "la": (8, 16), "rgba": (8, 16)}
PNG_CASES = [
    (kind, bits, transparent)
    for kind, depths in PNG_DEPTHS.items()
    for bits, transparent in product(depths, (False, True))
    if transparent or kind not in {"la", "rgba"}
]


def upright(values: Array, orientation: int) -> Array:
    """Return stored pixels `(H, W, …)` in the orientation of their EXIF tag."""
    turned = values.swapaxes(0, 1) if orientation >= 5 else values
    rows = slice(None, None, -1 if orientation in {3, 4, 7, 8} else 1)
    columns = slice(None, None, -1 if orientation in {2, 3, 6, 7} else 1)
    return turned[rows, columns]


def write_png(path: Path, kind: str, bits: int, *, transparent: bool, orientation: int = 1) -> Path:
    """Write random pixels with pypng, and the orientation as a chunk."""
    rng = np.random.default_rng(bits)
    channels = {"gray": 1, "palette": 1, "la": 2, "rgb": 3, "rgba": 4}[kind]
    values = rng.integers(0, 1 << bits, (*SHAPE, channels))
    options: dict[str, Any] = {"greyscale": kind in {"gray", "la"}, "alpha": kind in {"la", "rgba"}, "bitdepth": bits}
    if kind == "palette":
        colors = rng.integers(0, 256, (1 << bits, 4 if transparent else 3))
        options = {"palette": [tuple(map(int, color)) for color in colors], "bitdepth": bits}
    elif transparent and channels in {1, 3}:
        key = tuple(map(int, values[2, 3]))
        values[0, 0] = key
        values[1, 1] = [*key[:-1], key[-1] ^ 1]  # not the key, though its high byte is the same
        options["transparent"] = key if kind == "rgb" else key[0]
    buffer = io.BytesIO()
    png.Writer(width=SHAPE[1], height=SHAPE[0], **options).write(buffer, values.reshape(SHAPE[0], -1).tolist())
    content = buffer.getvalue()
    exif = b"eXIf" + b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1" + struct.pack(">HHI", orientation, 0, 0)
    chunk = struct.pack(">I", len(exif) - 4) + exif + struct.pack(">I", zlib.crc32(exif))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content[:33] + chunk + content[33:])  # behind IHDR
    return path


def read_png(path: Path) -> Array:
    """Return pypng's pixels on white, `(H, W, 1 or 3)` in [0, 255]."""
    width, height, rows, info = png.Reader(bytes=path.read_bytes()).asDirect()
    values = np.array([list(row) for row in rows]).reshape(height, width, -1) / ((1 << info["bitdepth"]) - 1)
    colors = values[..., :-1] if info["alpha"] else values
    alpha = values[..., -1:] if info["alpha"] else 1
    pixels: Array = (colors * alpha + 1 - alpha) * 255
    return pixels


def check(root: Path, expected: Array, *, tolerance: float, **options: Any) -> None:
    """Compare the one picture of a folder, in memory and streamed, with `(H, W, 1 or 3)` pixels."""
    images = in_memory(folder(root, **options)).images
    assert torch.equal(streamed(folder(root, stream="yes", **options))[0][0], images[0])
    pixels = images[0].permute(1, 2, 0).numpy().astype(np.float64)
    assert pixels.shape == expected.shape
    assert np.abs(pixels - expected).max() <= tolerance


@pytest.mark.parametrize(("kind", "bits", "transparent"), PNG_CASES)
def test_png_equals_pypng(tmp_path: Path, kind: str, bits: int, *, transparent: bool) -> None:
    """Every kind, depth, transparency and orientation of PNG; Pillow drops the low byte of 16-bit colors and alphas."""
    for orientation in range(1, 9):
        root = tmp_path / str(orientation)
        path = write_png(root / "1.png", kind, bits, transparent=transparent, orientation=orientation)
        check(root, upright(read_png(path), orientation), tolerance=2 if kind == "rgba" else 1.5)


@pytest.mark.parametrize("key", [None, 1000])
def test_gray_png_keeps_16_bits(tmp_path: Path, key: int | None) -> None:
    """With depth 16 no bit is lost, and pixels of the color key are white."""
    path = write_png(tmp_path / "1.png", "gray", 16, transparent=key is not None)
    expected = read_png(path) / 127.5 - 1
    check(tmp_path, expected, tolerance=1e-6, depth=16)


TIFF_CASES = [
    ("minisblack", np.uint8, 1),
    ("miniswhite", np.uint8, 1),
    ("minisblack", np.uint16, 1),
    ("miniswhite", np.uint16, 1),
    ("minisblack", np.uint8, 2),
    ("rgb", np.uint8, 3),
    ("rgb", np.uint16, 3),
    ("rgb", np.uint8, 4),
]


@pytest.mark.parametrize(
    ("photometric", "dtype", "channels", "byteorder"),
    [(*case, order) for case in TIFF_CASES for order in "<>"],
)
def test_tiff_equals_tifffile(tmp_path: Path, photometric: Any, dtype: Any, channels: int, byteorder: Any) -> None:
    """Gray from black or from white, colors and alpha, 8 and 16 bits, in both byte orders, turned in all ways."""
    white = np.iinfo(dtype).max
    shape = (*SHAPE, channels) if channels > 1 else SHAPE
    values = np.random.default_rng(0).integers(0, white, shape, endpoint=True).astype(dtype)
    for orientation in range(1, 9):
        root = tmp_path / str(orientation)
        root.mkdir()
        tifffile.imwrite(
            root / "1.tif",
            values,
            photometric=photometric,
            byteorder=byteorder,
            extrasamples=["unassalpha"] if channels in {2, 4} else None,
            extratags=[(274, 3, 1, orientation, True)],
            metadata=None,
        )
        expected = tifffile.imread(root / "1.tif").reshape(*SHAPE, channels) / white
        if photometric == "miniswhite":
            expected = 1 - expected
        if channels in {2, 4}:
            expected = expected[..., :-1] * expected[..., -1:] + 1 - expected[..., -1:]
        check(root, upright(expected, orientation) * 255, tolerance=1.5)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.full(SHAPE, -128, np.int8), "signed numbers without a defined white"),
        (np.full(SHAPE, 9000, np.int16), "signed numbers without a defined white"),
        (np.full(SHAPE, 9000, np.uint32), "32 bits without a defined white"),
        (np.full((3, *SHAPE), 9000, np.uint16), "stored in planes, which Pillow mixes up"),
    ],
)
def test_tiff_that_pillow_misreads_is_refused(tmp_path: Path, values: Array, reason: str) -> None:
    """Signed and 32-bit numbers have no white, and planes of 16 bits would be mixed; streams leave them out, too."""
    kind: dict[str, Any] = {"photometric": "minisblack"}
    if values.ndim > 2:
        kind = {"photometric": "rgb", "planarconfig": "separate"}
    tifffile.imwrite(tmp_path / "1.tif", values, metadata=None, **kind)
    with pytest.raises(DataError, match=reason):
        folder(tmp_path).open("train")
    save(tmp_path / "2.png", noise("L", SHAPE[::-1]))
    data = folder(tmp_path, stream="yes")
    assert len(streamed(data)) == data.info.sizes["train"] == 1
    assert f"1.tif (its {'16-bit colors' if values.ndim > 2 else 'pixels'}" in data.notices[1]
    assert reason in data.notices[1]


#: JPEG 2000 of 2×2 colors of 16 bits, written by OpenJPEG; the first is white.
DEEP_JP2 = (
    b"0000CYEU2`4GM<}0000KW^{RQYH%_j00000YH%_j0000jYH%`W0000MX=r3}000020000200R#P0000001sntY;pkr000005C8xGn`&?}WB*V8Q"
    b"2;Lh000000ssI20ssI200000000000ssI20ssI2000000009I0RayI0S^HI|55-9000010RRL900IA800cmQ|6~9q00BdCWnpw>WFTUBAWv{*Zc0"
    b"!^M<8}(a&u{KZXhx)H7+#&kN^q*00000BLD&ali&D|NDdgoifdZWv|oVV_>dS6#)ALZ"
)


def test_deep_colors_of_jpeg_2000_are_refused(tmp_path: Path) -> None:
    """Pillow makes black of the white of colors with more than 8 bits; gray, and 8 bits, are exact."""
    (tmp_path / "1.jp2").write_bytes(base64.b85decode(DEEP_JP2))
    with pytest.raises(DataError, match="its colors have 16 bits, of which Pillow makes white black"):
        folder(tmp_path).open("train")
    with pytest.raises(DataError, match=r"no picture .* colors have 16 bits"):
        folder(tmp_path, stream="yes").open("train")
    gray = np.array([[0, 32896, 65535]], np.uint16)
    save(tmp_path / "1.jp2", Image.fromarray(gray), irreversible=False)
    assert in_memory(folder(tmp_path)).images.flatten().tolist() == [0, 128, 255]


def _box(kind: bytes, content: bytes, *, long: bool = False) -> bytes:
    """Return a box of a JPEG 2000, with its length before or behind its type."""
    length = len(content) + (16 if long else 8)
    return struct.pack(">I4sQ", 1, kind, length) + content if long else struct.pack(">I4s", length, kind) + content


@pytest.mark.parametrize("deep", [False, True])
def test_the_depth_of_jpeg_2000_is_that_of_its_code_stream(tmp_path: Path, *, deep: bool) -> None:
    """Bytes of another box are not taken for the code stream, which may have a long box, one to the end, or none."""
    content = base64.b85decode(DEEP_JP2)
    if not deep:
        content = save(tmp_path / "1.jp2", noise("RGB", (8, 8)), irreversible=False).read_bytes()
    start = content.index(b"jp2c") - 4
    head, stream = content[:start], content[start + 8 :]
    decoy = _box(b"uuid", b"\xff\x4f\xff\x51" + bytes([7 if deep else 15]) * 60)
    for end, written in {
        "jp2": head + decoy + _box(b"jp2c", stream),
        "jpx": head + _box(b"xml ", decoy, long=True) + _box(b"jp2c", stream, long=True),
        "jpf": head + decoy + struct.pack(">I4s", 0, b"jp2c") + stream,
        "j2k": stream,
    }.items():
        path = tmp_path / end / f"1.{end}"
        path.parent.mkdir()
        path.write_bytes(written)
        if not deep:
            check(path.parent, np.asarray(noise("RGB", (8, 8))), tolerance=0)
            continue
        for streaming in ("no", "yes"):
            with pytest.raises(DataError, match="its colors have 16 bits"):
                folder(path.parent, stream=streaming).open("train")


def test_12_bit_tiff_is_scaled(tmp_path: Path) -> None:
    """The largest of 12 bits is white, not a dark gray."""
    packed = bytes.fromhex("fff000 800fff")  # two rows of two pixels: 4095, 0 and 2048, 4095
    tags = [(256, 2), (257, 2), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 2), (279, len(packed))]
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    content = struct.pack("<2sHI", b"II", 42, 14) + packed + struct.pack("<H", len(tags)) + directory + bytes(4)
    (tmp_path / "1.tif").write_bytes(content)
    assert in_memory(folder(tmp_path)).images.flatten().tolist() == [255, 0, 128, 255]


def test_lab_becomes_gray_as_it_becomes_rgb(tmp_path: Path) -> None:
    """LAB pictures are read in gray, too: the luma of their RGB."""
    values = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    save(tmp_path / "1.tif", Image.frombytes("LAB", (8, 8), values.tobytes()))
    rgb = in_memory(folder(tmp_path)).images[0].float()
    gray = in_memory(folder(tmp_path, color="gray")).images[0].float()
    luma = (rgb * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(dim=0, keepdim=True)
    assert (gray - luma).abs().max() <= 1
    assert in_memory(folder(tmp_path, color="gray", depth=16)).images.shape == (1, 1, 8, 8)


@pytest.mark.parametrize("end", ["gif", "png", "bmp", "tif"])
def test_palettes_of_grays_are_gray(tmp_path: Path, end: str) -> None:
    """A palette of grays, in any order, is one channel with its values; one color makes it RGB."""
    levels = np.random.default_rng(0).permutation(256).astype(np.uint8)
    picture = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    picture.putpalette(np.repeat(levels, 3).tobytes())
    save(tmp_path / f"1.{end}", picture)
    assert in_memory(folder(tmp_path)).images.flatten().tolist() == levels.tolist()
    colors = np.repeat(levels, 3)
    colors[0] ^= 128
    picture.putpalette(colors.tobytes())
    save(tmp_path / f"1.{end}", picture)
    assert in_memory(folder(tmp_path)).images.shape == (1, 3, 16, 16)


@pytest.mark.parametrize("side", [1025, 1023, 257, 1000])
def test_drafts_fill_the_square(tmp_path: Path, side: int) -> None:
    """A JPEG with sides that its draft's scale does not divide is resized like the same pixels in a PNG."""
    values = np.random.default_rng(0).integers(0, 256, (side, side + 6), dtype=np.uint8)
    upright_picture = Image.fromarray(values).resize((side + 6, side))
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        root = tmp_path / str(orientation)
        path = save(root / "jpg" / "1.jpg", upright_picture, quality=95, exif=exif)
        save(root / "png" / "1.png", Image.open(path), exif=exif)
        for size in (16, 64):
            jpg, as_png = in_memory(folder(root, size=size)).images.float()
            assert (jpg - as_png).abs().mean() < 1

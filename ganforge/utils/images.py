"""Pictures: images as bytes, grids, PNG files, and animations as GIF and MP4 files."""

from __future__ import annotations

import io
import math
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ganforge.errors import UsageError
from ganforge.utils.files import replacing

GRAY, GRAY_PAIR, RGB = 1, 2, 3
#: Shortest time that players show a frame of a GIF.
MIN_GIF_MILLISECONDS = 20


def normalize(values: Tensor) -> Tensor:
    """Return uint8 values as float32 in [-1, 1], and others unchanged.

    The textbook's (x/255 - 0.5)/0.5 has the same bits as x/127.5 - 1, since halves and doubles are exact.
    """
    return values.div(127.5).sub_(1) if values.dtype == torch.uint8 else values


def to_uint8(images: Tensor) -> Tensor:
    """Return images in [-1, 1] as bytes: (x + 1)·127.5, rounded to the nearest, clamped to 0…255; NaN becomes 0.

    For float32 this is the exact inverse of `normalize` for all 256 values.

    Args:
        images: `(N, C, H, W)`, any float type.

    Returns:
        `(N, C, H, W)` uint8, on the same device.
    """
    # Half precision cannot hold all of 0…255 after the scaling, so it is done in float32.
    scaled = images.detach().float().add(1).mul(127.5).nan_to_num(nan=0.0)
    return scaled.round().clamp(0, 255).byte()


def visible_channels(images: Tensor) -> Tensor:
    """Return images that a screen can show, `(…, 1 or 3, H, W')`.

    Two channels are shown side by side in gray; of more than three, the first three are shown.

    Args:
        images: `(…, C, H, W)`.
    """
    channels = images.shape[-3]
    if channels == GRAY_PAIR:
        return torch.cat([images[..., :1, :, :], images[..., 1:, :, :]], dim=-1)
    return images[..., :RGB, :, :] if channels >= RGB else images


def side_by_side(conditions: Tensor, images: Tensor) -> Tensor:
    """Return pictures of a condition to the left of each image, `(N, 1 or 3, H, W')` uint8.

    Args:
        conditions: `(N, C, h, w)` uint8, scaled to the images' height (nearest neighbor).
        images: `(N, C', H, W)` uint8.
    """
    left, right = visible_channels(conditions), visible_channels(images)
    height, width = right.shape[-2], max(1, round(left.shape[-1] * right.shape[-2] / left.shape[-2]))
    left = torch.nn.functional.interpolate(left, size=(height, width), mode="nearest-exact")
    channels = max(left.shape[1], right.shape[1])
    return torch.cat([part.expand(-1, channels, -1, -1) for part in (left, right)], dim=-1)


def grid(images: Tensor, columns: int | None = None, padding: int = 2) -> Tensor:
    """Return images in rows, `(1 or 3, H', W')` uint8, on a black ground.

    Args:
        images: `(N, C, H, W)` uint8; see `visible_channels`.
        columns: Images per row; by default the grid is nearly square.
        padding: Pixels around and between the images.

    Raises:
        ValueError: There are no images or no columns.
    """
    count = len(images)
    columns = math.ceil(math.sqrt(count)) if columns is None else min(columns, count)
    if columns < 1:
        raise ValueError(f"a grid needs at least one image and one column, not {count} and {columns}")
    images = visible_channels(images)
    _, channels, height, width = images.shape
    rows = math.ceil(count / columns)
    picture = images.new_zeros(channels, rows * (height + padding) + padding, columns * (width + padding) + padding)
    for index, image in enumerate(images):
        top = padding + index // columns * (height + padding)
        left = padding + index % columns * (width + padding)
        picture[:, top : top + height, left : left + width] = image
    return picture


def to_pil(picture: Tensor) -> Image.Image:
    """Return a picture, `(C, H, W)` uint8 on any device, for Pillow; see `visible_channels`."""
    pixels = visible_channels(picture).cpu()
    array = pixels.squeeze(0).numpy() if len(pixels) == GRAY else pixels.permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(array)


def enlarge(pictures: Tensor, scale: int) -> Tensor:
    """Return pictures, `(…, H, W)`, with `scale`² pixels for each."""
    return pictures.repeat_interleave(scale, dim=-2).repeat_interleave(scale, dim=-1)


def png_bytes(picture: Tensor) -> bytes:
    """Return the bytes of a picture's PNG file; the same picture gives the same bytes.

    Args:
        picture: `(C, H, W)` uint8 on any device; see `visible_channels`.
    """
    buffer = io.BytesIO()
    to_pil(picture).save(buffer, format="PNG")
    return buffer.getvalue()


def save_png(picture: Tensor, path: Path) -> None:
    """Write a PNG file, whole or not at all, into a folder that exists.

    Args:
        picture: `(C, H, W)` uint8.
        path: Target; replaced if it exists.

    Raises:
        OSError: The file cannot be written.
    """
    content = png_bytes(picture)
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def save_gif(frames: Tensor, path: Path, *, fps: int) -> None:
    """Write an endless GIF, whole or not at all.

    Args:
        frames: `(N, C, H, W)` uint8; see `visible_channels`.
        path: Target; replaced if it exists.
        fps: Frames per second; GIFs count time in hundredths of a second.

    Raises:
        OSError: The file cannot be written.
    """
    first, *rest = map(to_pil, frames)
    duration = max(MIN_GIF_MILLISECONDS, round(1000 / fps))
    with replacing(path) as temporary:
        first.save(temporary, format="GIF", save_all=True, append_images=rest, duration=duration, loop=0)


def save_mp4(frames: Tensor, path: Path, *, fps: int) -> None:
    """Write an H.264 video with imageio-ffmpeg, whole or not at all. A side of odd length gets another pixel.

    Args:
        frames: `(N, C, H, W)` uint8; see `visible_channels`.
        path: Target; replaced if it exists.
        fps: Frames per second.

    Raises:
        UsageError: imageio-ffmpeg or its program is not installed.
        OSError: The file cannot be written.
    """
    try:
        import imageio_ffmpeg  # noqa: PLC0415 - an extra

        imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        raise UsageError(
            f"{path}: videos need imageio-ffmpeg ({error})",
            fix="install it: python -m pip install 'imageio-ffmpeg>=0.5', or write a .gif file",
        ) from None
    frames = visible_channels(frames)
    frames = torch.cat([frames, frames[..., -1:, :]], dim=-2) if frames.shape[-2] % 2 else frames
    frames = torch.cat([frames, frames[..., -1:]], dim=-1) if frames.shape[-1] % 2 else frames
    pixels = frames.expand(-1, RGB, -1, -1).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    size = (pixels.shape[2], pixels.shape[1])
    with replacing(path) as temporary:
        temporary.touch()  # an unwritable folder is an error here, not a text of ffmpeg
        options = ["-f", "mp4", "-fflags", "+bitexact"]
        writer = imageio_ffmpeg.write_frames(
            str(temporary), size, fps=fps, codec="libx264", macro_block_size=2, output_params=options
        )
        try:
            writer.send(None)
            for frame in pixels:
                writer.send(frame)
        except OSError as error:  # with the whole log of ffmpeg
            raise OSError(f"ffmpeg fails: {str(error).strip().splitlines()[-1]}") from None
        finally:
            writer.close()
        if not temporary.stat().st_size:
            raise OSError("ffmpeg wrote nothing")

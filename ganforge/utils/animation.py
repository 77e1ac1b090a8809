"""Animations: GIF and MP4 files of pictures."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ganforge.errors import UsageError
from ganforge.utils.files import replacing
from ganforge.utils.images import RGB, to_pil, visible_channels

#: Shortest time that players show a frame of a GIF.
MIN_GIF_MILLISECONDS = 20


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

"""GIF and MP4 files of pictures."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from ganforge.errors import UsageError
from ganforge.utils.images import save_gif, save_mp4


def frames(channels: int = 1, height: int = 8, width: int = 6) -> torch.Tensor:
    """Return five frames that get brighter."""
    levels = torch.tensor([10, 60, 110, 160, 210], dtype=torch.uint8)
    return levels.view(5, 1, 1, 1).expand(5, channels, height, width)


@pytest.mark.parametrize("channels", [1, 3])
def test_gif_has_the_frames(channels: int, tmp_path: Path) -> None:
    """All frames, in their order, each for its time, endlessly; nothing else is in the folder."""
    save_gif(frames(channels), tmp_path / "a.gif", fps=20)
    with Image.open(tmp_path / "a.gif") as picture:
        assert (picture.size, picture.info["loop"], picture.info["duration"]) == ((6, 8), 0, 50)
        levels = [int(np.asarray(frame.convert("L")).max()) for frame in ImageSequence.Iterator(picture)]
    assert levels == [10, 60, 110, 160, 210]
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]


def test_mp4_has_the_frames(tmp_path: Path) -> None:
    """All frames at their rate, about as bright; odd sides get a pixel."""
    save_mp4(frames(1, 33, 64), tmp_path / "a.mp4", fps=20)
    program = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-i",
        str(tmp_path / "a.mp4"),
        "-f",
        "rawvideo",
        "-pix_fmt",
        "gray",
        "-",
    ]
    done = subprocess.run(program, capture_output=True, check=True)
    assert re.search(rb"Video: h264.*, 64x34.*, 20 fps", done.stderr)
    levels = np.frombuffer(done.stdout, np.uint8).reshape(-1, 34 * 64).mean(axis=1)
    assert np.allclose(levels, [10, 60, 110, 160, 210], atol=6)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_mp4_without_the_extra_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the extra and the alternative."""
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(UsageError, match="videos need imageio-ffmpeg") as caught:
        save_mp4(frames(), tmp_path / "a.mp4", fps=20)
    assert "imageio-ffmpeg>=0.5" in str(caught.value.fix)
    assert not list(tmp_path.iterdir())


def test_unwritable_files_are_os_errors(tmp_path: Path) -> None:
    """A missing folder fails as for any other file."""
    for save, name in ((save_gif, "a.gif"), (save_mp4, "a.mp4")):
        with pytest.raises(OSError, match="No such file"):
            save(frames(), tmp_path / "missing" / name, fps=20)

"""The sample of MNIST that ships with ganforge: `python docs/scripts/draw_mnist_sample.py FOLDER`.

FOLDER holds the four original files, or torchvision's `MNIST/raw`. The same files give the same sample, byte for byte
(with the same liblzma): digits are chosen by the SHA-256 of their position, not by a library's random numbers.
"""

from __future__ import annotations

import hashlib
import lzma
import sys
from pathlib import Path

import torch
from torch import Tensor

from ganforge.builtin.datasets.idx import header
from ganforge.builtin.datasets.mnist_files import FILES, REQUIRED, changed_files, read_split
from ganforge.components import Split
from ganforge.utils.downloads import find_folder

SEED = "ganforge MNIST sample"
COUNTS: dict[Split, int] = {"train": 10_000, "test": 2_000}
DESTINATION = Path(__file__).parents[2] / "ganforge" / "builtin" / "datasets" / "mnist_sample"
LIMIT_BYTES = 2_000_000


def shares(labels: Tensor, count: int) -> list[int]:
    """Split `count` over the classes in the proportions of `labels`, `(N,)`, by the largest remainder."""
    sizes = torch.bincount(labels, minlength=10).tolist()
    exact = [size * count / len(labels) for size in sizes]
    given = [int(share) for share in exact]
    by_remainder = sorted(range(10), key=lambda digit: (given[digit] - exact[digit], digit))
    for digit in by_remainder[: count - sum(given)]:
        given[digit] += 1
    return given


def choose(labels: Tensor, count: int, split: Split) -> Tensor:
    """Return the positions of the sample in the original file, `(count,)` int64, in the original's order."""
    chosen: list[int] = []
    for digit, share in enumerate(shares(labels, count)):
        positions = torch.nonzero(labels == digit).flatten().tolist()
        positions.sort(key=lambda position: hashlib.sha256(f"{SEED}/{split}/{position}".encode()).digest())
        chosen += positions[:share]
    return torch.tensor(sorted(chosen))


def main() -> None:
    """Check the source, draw both splits, and write four .xz files next to their README and license."""
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and one argument
        sys.exit(__doc__)
    folder = find_folder(Path(sys.argv[1]), REQUIRED, named=True)
    if folder is None:
        sys.exit(f"no MNIST files in {sys.argv[1]}")
    DESTINATION.mkdir(exist_ok=True)
    for split, names in FILES.items():
        images = read_split(folder, split)
        if changed := changed_files(images, split):
            sys.exit(f"not the original files: {', '.join(changed)}")
        assert images.condition is not None  # noqa: S101 - read_split returns classes
        positions = choose(images.condition, COUNTS[split], split)
        tensors = (images.images[positions].squeeze(1), images.condition[positions].byte())
        for name, tensor in zip(names, tensors, strict=True):
            content = header(tuple(tensor.shape)) + tensor.numpy().tobytes()
            packed = lzma.compress(content, preset=9 | lzma.PRESET_EXTREME)
            if len(packed) >= LIMIT_BYTES:
                sys.exit(f"{name}.xz would have {len(packed):,} bytes, over {LIMIT_BYTES:,}")
            (DESTINATION / f"{name}.xz").write_bytes(packed)
            print(f"{name}.xz  {len(packed):>9,} bytes  SHA-256 {hashlib.sha256(packed).hexdigest()}")
        print(split, "per digit:", torch.bincount(images.condition[positions]).tolist())


if __name__ == "__main__":
    main()

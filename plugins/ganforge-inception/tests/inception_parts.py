"""Random weights in files of both kinds, and helpers of several tests."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import torch
from ganforge_inception.features import Inception
from safetensors.torch import save_file
from torch import Tensor, nn
from torch_fidelity import FeatureExtractorInceptionV3

from ganforge import ImageSpec

LAYERS = ["2048", "logits_unbiased"]
COLOR = ImageSpec(3, 32, 32)


class Fresh(FeatureExtractorInceptionV3):  # type: ignore[misc]  # torch-fidelity has no types
    """torch-fidelity's network with the weights that torch draws."""

    def load_state_dict(self, *arguments: Any, **keywords: Any) -> None:
        """Load nothing."""


def fresh_state() -> dict[str, Tensor]:
    """Return random weights, and batch statistics of noise, so that maps stay as large from layer to layer."""
    nothing = io.BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        network = Fresh("fresh", LAYERS, feature_extractor_weights_path=nothing)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        network.train()(noise(4, COLOR))
    return {name: tensor for name, tensor in network.state_dict().items() if "num_batches" not in name}


def write(folder: Path, state: dict[str, Tensor]) -> tuple[Path, Path]:
    """Write weights as a pickle and as .safetensors; return both paths."""
    paths = folder / "random.pth", folder / "random.safetensors"
    torch.save(state, paths[0])
    save_file(state, paths[1])
    return paths


def sha256(path: Path) -> str:
    """Return a file's SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def built(weights: Path | None, image: ImageSpec = COLOR) -> Inception:
    """Return the extractor as an evaluation has it."""
    return Inception(Inception.Options(weights=weights), image).eval().requires_grad_(requires_grad=False)


def noise(count: int, image: ImageSpec) -> Tensor:
    """Return images of noise, uint8, `(N, C, H, W)`."""
    rng = torch.Generator().manual_seed(1)
    shape = (count, image.channels, image.height, image.width)
    return torch.randint(0, 256, shape, generator=rng, dtype=torch.uint8)

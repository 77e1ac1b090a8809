"""Local plugin of the sampling tests: data with vectors, pictures, float images and points, and networks for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

import ganforge
from ganforge import Component, hookimpl

COUNTS = {"train": 40, "test": 30}


class Synthetic(ganforge.Dataset):
    """Random images; each split needs its file in a folder, so that tests can take the data away."""

    class Options(ganforge.Dataset.Options):
        """Options."""

        path: Path
        """Folder with the files `train` and `test`."""

    options: Options

    def open(self, split: Any) -> ganforge.ImageTensors:
        if not (self.options.path / split).exists():
            raise ganforge.DataError(f"{self.options.path / split} is missing")
        rng = torch.Generator().manual_seed(len(split))
        return self.draw(COUNTS[split], rng)

    def draw(self, count: int, rng: torch.Generator) -> ganforge.ImageTensors:
        """Return a split."""
        raise NotImplementedError


def random_bytes(rng: torch.Generator, *shape: int) -> Tensor:
    """Return random pixels."""
    return torch.randint(0, 256, shape, generator=rng, dtype=torch.uint8)


class Vectors(Synthetic):
    """Pictures of 8×8 with two named numbers each."""

    condition_names = ("smile", "age")

    def draw(self, count: int, rng: torch.Generator) -> ganforge.ImageTensors:
        return ganforge.ImageTensors(random_bytes(rng, count, 1, 8, 8), torch.rand(count, 2, generator=rng))


class Sketches(Synthetic):
    """Colored pictures of 8×8 with a gray one each."""

    def draw(self, count: int, rng: torch.Generator) -> ganforge.ImageTensors:
        return ganforge.ImageTensors(random_bytes(rng, count, 3, 8, 8), random_bytes(rng, count, 1, 8, 8))


class Encoded(Synthetic):
    """Float images of 4×2×2 that are decoded to colored pictures of 4×4."""

    def draw(self, count: int, rng: torch.Generator) -> ganforge.ImageTensors:
        return ganforge.ImageTensors(3 * torch.randn(count, 4, 2, 2, generator=rng))

    def to_pixels(self, images: Tensor) -> Tensor:
        colors = images[:, :3].repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        return super().to_pixels(colors / 4)


class Points(Synthetic):
    """Points in the plane, which a histogram shows."""

    def draw(self, count: int, rng: torch.Generator) -> ganforge.ImageTensors:
        return ganforge.ImageTensors(torch.randn(count, 2, 1, 1, generator=rng))

    def render(self, images: Tensor) -> Tensor:
        cells = images.flatten(1).add(2).mul(4).long().clamp(0, 15)
        picture = torch.zeros(16, 16, dtype=torch.uint8)
        picture[cells[:, 1], cells[:, 0]] = 255
        return picture[None]


class Channels(Synthetic):
    """Pictures of 8×8 with any number of channels."""

    class Options(Synthetic.Options):
        """Options."""

        channels: int = 2

    options: Options

    def draw(self, count: int, rng: torch.Generator) -> ganforge.ImageTensors:
        return ganforge.ImageTensors(random_bytes(rng, count, self.options.channels, 8, 8))


def flat(condition: Tensor | None, count: int, num_classes: int | None) -> Tensor:
    """Return conditions of any kind as `(N, D)`."""
    if condition is None:
        return torch.empty(count, 0)
    if num_classes is not None:
        return nn.functional.one_hot(condition, num_classes).float()
    return condition.flatten(1)


def width(image: ganforge.ImageSpec) -> int:
    """Return the size of a flat condition."""
    condition = image.condition
    if condition is None:
        return 0
    return condition.num_classes or int(torch.Size(condition.shape).numel())


class AnyGenerator(ganforge.Generator):
    """Linear generator for conditions of every kind; its images are not bounded."""

    bounded = False

    class Options(ganforge.Generator.Options):
        """Options."""

        latent_dim: int = 6

    class SamplingOptions(ganforge.Generator.SamplingOptions):
        """Sampling options."""

        truncation: float = 1.0

    sampling: SamplingOptions

    def __init__(self, options: Options, image: ganforge.ImageSpec) -> None:
        super().__init__(options, image)
        self.layer = nn.Linear(6 + width(image), image.numel)

    @property
    def conditional(self) -> bool:
        return self.image.condition is not None

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        joint = torch.cat([z * self.sampling.truncation, flat(condition, len(z), self.image.num_classes)], 1)
        images: Tensor = 3 * self.layer(joint)
        return images.view(-1, *self.image.shape)


class Counting(AnyGenerator):
    """Generator whose images depend on how often it was called, in any mode; its layer is built in `setup`."""

    calls: Tensor

    def __init__(self, options: AnyGenerator.Options, image: ganforge.ImageSpec) -> None:
        super().__init__(options, image)
        del self.layer
        self.register_buffer("calls", torch.zeros(()))

    def setup(self, modules: Any) -> None:
        self.layer = nn.Linear(6, modules["discriminator"].layer.in_features)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        self.calls += 1
        return super().forward(z, condition) * (1 + 0.1 * self.calls)


class Pretrained(AnyGenerator):
    """Generator with a frozen layer that a file initializes."""

    frozen = ("backbone",)

    class Options(AnyGenerator.Options):
        """Options."""

        weights: Path

    options: Options

    def __init__(self, options: Options, image: ganforge.ImageSpec) -> None:
        super().__init__(options, image)
        self.backbone = nn.Linear(6, 6)

    def initialize(self) -> None:
        self.backbone.load_state_dict(torch.load(self.options.weights))

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        return super().forward(self.backbone(z), condition)


class Drifting(ganforge.LatentDistribution):
    """Normal latents whose mean moves with every draw."""

    draws: Tensor

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.register_buffer("draws", torch.zeros(()))

    def sample(self, count: int, dim: int, rng: torch.Generator) -> Tensor:
        self.draws += 1
        return torch.randn(count, dim, generator=rng) + 0.1 * self.draws.cpu()


class AnyDiscriminator(ganforge.Discriminator):
    """Linear discriminator for conditions of every kind."""

    batch_independent = True

    def __init__(self, options: Any, image: ganforge.ImageSpec) -> None:
        super().__init__(options, image)
        self.layer = nn.Linear(image.numel + width(image), 1)

    @property
    def conditional(self) -> bool:
        return self.image.condition is not None

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        joint = torch.cat([images.flatten(1), flat(condition, len(images), self.image.num_classes)], 1)
        logits: Tensor = self.layer(joint)
        return logits.squeeze(1)


class Inverse(ganforge.LossTerm):
    """Encoder that recovers the latents of fakes, trained in a further phase; its size is known in `setup`."""

    phases = ("encoder",)
    optimized_in: ClassVar[dict[str, str]] = {"encoder": "encoder"}

    def setup(self, modules: Any) -> None:
        generator = modules["generator"]
        self.encoder = nn.Linear(generator.image.numel, generator.latent_dim)

    def forward(self, step: ganforge.TrainStep) -> Tensor:
        z: Tensor = self.encoder(step.fake.detach().flatten(1))
        return (z - step.z).square().mean(1)


@hookimpl
def ganforge_components() -> list[Component]:
    """Return all components of this file."""
    datasets = {"vectors": Vectors, "sketches": Sketches, "encoded": Encoded, "points": Points, "channels": Channels}
    return [
        *(Component(kind="dataset", name=name, target=cls) for name, cls in datasets.items()),
        Component(kind="generator", name="any", target=AnyGenerator),
        Component(kind="generator", name="counting", target=Counting),
        Component(kind="generator", name="pretrained", target=Pretrained),
        Component(kind="latent", name="drifting", target=Drifting),
        Component(kind="discriminator", name="any", target=AnyDiscriminator),
        Component(kind="term", name="inverse", target=Inverse),
    ]

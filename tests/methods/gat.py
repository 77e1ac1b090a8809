"""GAT in a tiny size: transformers on latents, trained on several noisy levels that are judged together.

The encoder of the latents and that of the alignment term are stand-ins. Unlike in the authors' code, each update draws
latents of its own, and the mean style is computed when sampling begins.

References:
    Hyun et al. 2025, Scalable GANs with Transformers, arXiv:2509.24935.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as torch's own documentation has it

from ganforge import (
    Augmentation,
    Component,
    Dataset,
    Discriminator,
    DiscriminatorOutput,
    Generator,
    GeneratorOutput,
    ImageSpec,
    ImageTensors,
    IncompatibleError,
    Loss,
    LossTerm,
    OptimizerFactory,
    TrainStep,
    hookimpl,
)

SETTINGS = (
    *("gen=gat", "disc=gat", "data=glyph-latents", "loss=paired", "augment=shift-flip,level-noise"),
    *("term=finite-r1,finite-r2,alignment", "optimizer.gen=width-scaled", "optimizer.disc=width-scaled"),
    *("optimizer.gen.clip_norm=1.0", "optimizer.disc.clip_norm=1.0", "batch_size=8"),
)
LEVELS, DEPTH, WIDTH, HEADS, PATCH, FEATURES = 4, 4, 32, 2, 2, 16


class GlyphLatents(Dataset):
    """Latents, 4×8×8 float32, of pictures of squares, 3×32×32, which come as extras."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Color of the square."""
        return ("red", "green", "blue")

    def open(self, split: str) -> ImageTensors:
        """Return a split in memory."""
        rng = torch.Generator().manual_seed(len(split))
        color = torch.arange(96) % 3
        pictures = torch.randint(0, 40, (96, 3, 32, 32), generator=rng)
        for picture, channel, (row, column) in zip(
            pictures, color.tolist(), torch.randint(20, (96, 2), generator=rng).tolist(), strict=True
        ):
            picture[channel, row : row + 12, column : column + 12] = 230
        small = F.avg_pool2d(pictures / 64 - 1, 4)
        return ImageTensors(torch.cat([small, small.mean(1, keepdim=True)], 1), color, {"picture": pictures.byte()})

    def to_pixels(self, images: Tensor) -> Tensor:
        """Return decoded pictures, `(N, 3, 32, 32)` uint8."""
        return F.interpolate((images[:, :3] + 1) * 64, scale_factor=4.0).clamp(0, 255).to(torch.uint8)


def grid_angles(side: int, size: int) -> Tensor:
    """Return the angles of row and column of each token of a grid, `(side², size)`."""
    frequencies = 100.0 ** -torch.linspace(0, 1, size // 2)
    angles = torch.arange(side).view(-1, 1) * frequencies
    rows, columns = angles.repeat_interleave(side, 0), angles.repeat(side, 1)
    return torch.cat([rows, columns], 1)


class Block(nn.Module):
    """Attention with rotary positions, and SwiGLU; scales and gates come from a style, or are weights."""

    angles: Tensor

    def __init__(self, side: int, *, styled: bool) -> None:
        super().__init__()
        self.register_buffer("angles", grid_angles(side, WIDTH // HEADS // 2), persistent=False)
        self.scales = nn.Parameter(torch.tensor([0, 0.1, 0, 0.1]).repeat_interleave(WIDTH))
        self.modulation = nn.Linear(WIDTH, 4 * WIDTH) if styled else nn.Identity()
        self.norms = nn.ModuleList(nn.RMSNorm(WIDTH, elementwise_affine=False) for _ in range(2))
        self.qkv, self.project = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.head_norm = nn.RMSNorm(WIDTH // HEADS, elementwise_affine=False)
        self.widen, self.narrow = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

    def rotate(self, x: Tensor) -> Tensor:
        """Return queries or keys, `(N, heads, T, D)`; a class token in front of the grid stays."""
        begin = x.shape[2] - len(self.angles)
        front, grid = x[:, :, :begin], x[:, :, begin:]
        real, imaginary = grid.chunk(2, -1)
        cos, sin = self.angles.cos(), self.angles.sin()
        return torch.cat([front, torch.cat([real * cos - imaginary * sin, real * sin + imaginary * cos], -1)], 2)

    def attention(self, x: Tensor) -> Tensor:
        """Return the attention's output, `(N, T, width)`; torch's fused one has no second gradient on the CPU."""
        q, k, v = self.qkv(x).unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        q, k = self.rotate(self.head_norm(q)), self.rotate(self.head_norm(k))
        attention = (q @ k.mT / (WIDTH // HEADS) ** 0.5).softmax(-1)
        projected: Tensor = self.project((attention @ v).transpose(1, 2).flatten(2))
        return projected

    def forward(self, x: Tensor, w: Tensor | None = None) -> Tensor:
        """Return tokens, `(N, T, width)`, for a style, `(N, width)`, or None."""
        scales = self.scales if w is None else self.scales + self.modulation(F.silu(w)).unsqueeze(1)
        scale, gate, mlp_scale, mlp_gate = scales.chunk(4, -1)
        x = x + gate * self.attention(self.norms[0](x) * (1 + scale))
        hidden, opening = self.widen(self.norms[1](x) * (1 + mlp_scale)).chunk(2, -1)
        changed: Tensor = x + mlp_gate * self.narrow(F.silu(hidden) * opening)
        return changed


def check_patches(image: ImageSpec) -> None:
    """Raise IncompatibleError unless an image is a square of patches."""
    if image.height != image.width or image.height % PATCH:
        raise IncompatibleError(
            f"images of {image} are not squares of patches", fix="use a multiple of 2 for both sides"
        )


class GatGenerator(Generator):
    """Transformer from a table of positions to images; each block's head adds to the image of the one before."""

    bounded: ClassVar[bool] = False

    class Options(Generator.Options):
        """Options of the generator."""

        latent_dim: int = 16
        """Numbers in one latent."""

    class SamplingOptions(Generator.SamplingOptions):
        """Options of sampling."""

        truncation: float = 0.0
        """Share of the way from a style to the mean style of its class; 0 for none."""

    sampling: SamplingOptions
    mean_styles: Tensor
    positions: Tensor

    @property
    def conditional(self) -> bool:
        """Whether there are classes."""
        return self.image.num_classes is not None

    @classmethod
    def check_image(cls, options: Options, image: ImageSpec) -> None:
        """Raise IncompatibleError unless an image is a square of patches."""
        check_patches(image)

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.side, classes = image.height // PATCH, image.num_classes or 1
        self.embedding = nn.Embedding(classes, self.latent_dim)
        self.mapping = nn.Sequential(nn.Linear(2 * self.latent_dim, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH))
        angles = grid_angles(self.side, WIDTH // 2)
        self.register_buffer("positions", torch.cat([angles.sin(), angles.cos()], 1), persistent=False)
        self.register_buffer("mean_styles", torch.zeros(classes, WIDTH))
        self.blocks = nn.ModuleList(Block(self.side, styled=True) for _ in range(DEPTH))
        self.norms = nn.ModuleList(nn.RMSNorm(WIDTH, elementwise_affine=False) for _ in range(LEVELS))
        self.scales = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(LEVELS))
        self.heads = nn.ModuleList(nn.Linear(WIDTH, PATCH**2 * image.channels) for _ in range(LEVELS))

    def classes(self, z: Tensor, condition: Tensor | None) -> Tensor:
        """Return classes, `(N,)`; the first one for data without classes."""
        return torch.zeros(len(z), dtype=torch.long, device=z.device) if condition is None else condition

    def style(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return w, `(N, width)`, from normalized latents and class embeddings."""
        embedded = self.embedding(self.classes(z, condition))
        both = (values * (values.square().mean(1, keepdim=True) + 1e-8).rsqrt() for values in (z, embedded))
        w: Tensor = self.mapping(torch.cat(list(both), 1))
        return w

    def synthesis(self, w: Tensor, condition: Tensor | None = None) -> GeneratorOutput:
        """Return the last level as the image, and all levels for the discriminator."""
        x = self.positions.expand(len(w), -1, -1)
        image, levels = torch.zeros((), device=w.device), list[Tensor]()
        for number, block in enumerate(self.blocks):
            x = block(x, w)
            if (number + 1) % (DEPTH // LEVELS) == 0:
                level = len(levels)
                patches = self.heads[level](self.norms[level](x) * (1 + self.scales[level](F.silu(w)).unsqueeze(1)))
                image = image + F.pixel_shuffle(patches.mT.unflatten(2, (self.side, self.side)), PATCH)
                levels.append(image)
        return GeneratorOutput(image, discriminator_input=tuple(levels))

    def forward(self, z: Tensor, condition: Tensor | None = None) -> GeneratorOutput:
        """Return images, `(N, C, H, W)`, and levels, truncated by the sampling options."""
        w = self.style(z, condition)
        if self.sampling.truncation:
            w = w.lerp(self.mean_styles[self.classes(z, condition)], self.sampling.truncation)
        return self.synthesis(w)

    def prepare_sampling(self, rng: torch.Generator) -> None:
        """Compute the mean style of each class."""
        for number in range(len(self.mean_styles)):
            z = torch.randn(1024, self.latent_dim, generator=rng).to(self.mean_styles)
            self.mean_styles[number] = self.style(z, torch.full((len(z),), number, device=z.device)).mean(0)


class GatDiscriminator(Discriminator):
    """Transformer on all levels at once; a class token gives the logit, and all tokens give features."""

    batch_independent: ClassVar[bool] = True

    @property
    def conditional(self) -> bool:
        """Whether there are classes."""
        return self.image.num_classes is not None

    @classmethod
    def check_image(cls, options: Discriminator.Options, image: ImageSpec) -> None:
        """Raise IncompatibleError unless an image is a square of patches."""
        check_patches(image)

    def __init__(self, options: Discriminator.Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        side = image.height // PATCH
        self.patches = nn.Conv2d(LEVELS * image.channels, WIDTH, PATCH, PATCH)
        self.positions = nn.Parameter(torch.randn(side**2, WIDTH) * 0.02)
        self.class_token = nn.Parameter(torch.randn(1, 1, WIDTH) * 0.02)
        self.blocks = nn.ModuleList(Block(side, styled=False) for _ in range(DEPTH))
        self.head = nn.Sequential(nn.RMSNorm(WIDTH), nn.Linear(WIDTH, 2 * WIDTH))
        self.embedding = nn.Embedding(image.num_classes or 1, 2 * WIDTH)
        self.mapping = nn.Sequential(nn.Linear(2 * WIDTH, 2 * WIDTH), nn.SiLU(), nn.Linear(2 * WIDTH, 2 * WIDTH))
        self.projector = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.SiLU(), nn.Linear(2 * WIDTH, FEATURES))

    def forward(self, images: Tensor | Sequence[Tensor], condition: Tensor | None = None) -> DiscriminatorOutput:
        """Return logits, `(N,)`, and features of the picture and of its patches; one image stands for all levels."""
        levels = [images] * LEVELS if isinstance(images, Tensor) else images
        x = self.patches(torch.cat(list(levels), 1)).flatten(2).mT + self.positions
        x = torch.cat([self.class_token.expand(len(x), -1, -1), x], 1)
        for block in self.blocks:
            x = block(x)
        classes = torch.zeros(len(x), dtype=torch.long, device=x.device) if condition is None else condition
        logits = (self.head(x[:, 0]) * self.mapping(self.embedding(classes))).sum(1)
        features = self.projector(x)
        return DiscriminatorOutput(logits, features=(features[:, 0], features[:, 1:]))


class ShiftFlip(Augmentation):
    """Translation by up to an eighth, with zeros, and a flip; for images of any size with the same parameters."""

    def sample_parameters(self, images: Tensor, step: TrainStep, *, real: bool) -> tuple[Tensor, Tensor]:
        """Return shifts in eighths of the side, `(N, 2)`, and flips, `(N,)` bool."""
        shift = torch.randint(-1, 2, (len(images), 2), generator=step.rng)
        flip = torch.rand(len(images), generator=step.rng) < 0.4
        return shift.to(images.device), flip.to(images.device)

    def forward(self, images: Tensor, parameters: tuple[Tensor, Tensor]) -> Tensor:
        """Return changed images, `(N, C, H, W)`."""
        shift, flip = parameters
        for dim, steps in zip((2, 3), shift.unbind(1), strict=True):
            size = images.shape[dim]
            source = torch.arange(size, device=images.device) - (steps * (size // 8)).view(-1, 1)
            inside = ((source >= 0) & (source < size)).to(images.dtype)
            form = (len(images), 1, size, 1) if dim == len("NC") else (len(images), 1, 1, size)
            index = source.clamp(0, size - 1).view(form).expand_as(images)
            images = images.gather(dim, index) * inside.view(form)
        return torch.where(flip.view(-1, 1, 1, 1), images.flip(3), images)


class LevelNoise(Augmentation):
    """Noise of each level, the most for the first; the noises of one image are a Markov chain from clean to noisy."""

    def sample_parameters(self, images: Tensor, step: TrainStep, *, real: bool) -> Tensor:
        """Return normal numbers, `(N, K, C, H, W)`, from the clean end."""
        return torch.randn(len(images), LEVELS, *images.shape[1:], generator=step.rng).to(images.device)

    def forward(self, images: Tensor, parameters: Tensor) -> Tensor:
        """Return images with the noise of the last level, `(N, C, H, W)`."""
        return self.augment(images, parameters)[-1]

    def augment(self, images: Tensor | tuple[Tensor, ...], parameters: Tensor) -> tuple[Tensor, ...]:
        """Return noisy levels; a real image is every level of itself."""
        levels = (images,) * LEVELS if isinstance(images, Tensor) else images
        strengths = [1.01 - 0.125 ** (1 - number / (LEVELS - 1)) for number in range(LEVELS)]
        noise, kept, noisy = torch.zeros_like(levels[0]), 1.0, list[Tensor]()
        for level, strength, draw in zip(levels[::-1], strengths[::-1], parameters.unbind(1), strict=True):
            ratio = (1 - strength) / kept
            variance = strength**2 - (ratio * (1 - kept)) ** 2
            noise, kept = ratio * noise + variance**0.5 * draw, 1 - strength
            noisy.insert(0, kept * level + noise)
        return tuple(noisy)


class Paired(Loss):
    """Relativistic loss: a real image against the fake of the same class (Jolicoeur-Martineau 2019)."""

    def discriminator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Return softplus(D(G(z)) - D(x)), `(N,)`."""
        return F.softplus(fake.logits - real.logits)

    def generator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        """Return softplus(D(x) - D(G(z))), `(N,)`."""
        return F.softplus(real.logits - fake.logits)


class FiniteR1(LossTerm):
    """R1 by finite differences under the same augmentation and noise."""

    phases: ClassVar[tuple[str, ...]] = ("disc",)

    class Options(LossTerm.Options):
        """Options of both terms."""

        weight: float = 0.05
        """Factor of the term in the loss."""
        sigma: float = 0.01
        """Standard deviation of the change of an image."""

    options: Options

    def forward(self, step: TrainStep) -> Tensor:
        """Return ((D(x + σε) - D(x)) / σ)², `(N,)`."""
        change = self.options.sigma * torch.randn(step.real.shape, generator=step.rng).to(step.real)
        before, after = (
            step.discriminate(images, parameters=step.real_parameters).logits
            for images in (step.real, step.real + change)
        )
        return ((after - before) / self.options.sigma).square()


class FiniteR2(FiniteR1):
    """R2 by finite differences; each level changes on its own."""

    def forward(self, step: TrainStep) -> Tensor:
        """Return ((D(G(z) + σε) - D(G(z))) / σ)², `(N,)`."""
        levels = step.fake_input if isinstance(step.fake_input, tuple) else (step.fake_input,)
        changed = tuple(
            level + self.options.sigma * torch.randn(level.shape, generator=step.rng).to(level) for level in levels
        )
        before, after = (
            step.discriminate(images if len(levels) > 1 else images[0], parameters=step.fake_parameters).logits
            for images in (levels, changed)
        )
        return ((after - before) / self.options.sigma).square()


class Alignment(LossTerm):
    """Distance of the discriminator's features of a real image from those of a frozen encoder of its picture."""

    phases: ClassVar[tuple[str, ...]] = ("disc",)
    frozen: ClassVar[tuple[str, ...]] = ("encoder",)
    partners: ClassVar[Mapping[str, str]] = {"gen": "gat", "disc": "gat", "data": "glyph-latents"}

    def __init__(self, options: LossTerm.Options) -> None:
        super().__init__(options)
        self.encoder = nn.Sequential(nn.Conv2d(3, FEATURES, 8, 8), nn.Tanh())

    @torch.no_grad()
    def initialize(self) -> None:
        """Load the encoder's weights: fixed random numbers, in place of a pretrained network."""
        rng = torch.Generator().manual_seed(0)
        for weight in self.encoder.parameters():
            weight.copy_(torch.randn(weight.shape, generator=rng) / weight[0].numel() ** 0.5)

    def forward(self, step: TrainStep) -> Tensor:
        """Return 1 - cos of the picture's features plus the mean of that of the patches' features, `(N,)`."""
        picture = step.extras["picture"].to(step.real.dtype) / 127.5 - 1
        for name, parameters in step.real_parameters.items():
            augmentation = step.modules[name]
            if isinstance(augmentation, ShiftFlip):  # the picture moves as its latent does
                picture = augmentation(picture, parameters)
        with torch.no_grad():
            patches = self.encoder(picture).flatten(2).mT
        seen, seen_patches = step.real_output.features
        global_distance = 1 - F.cosine_similarity(seen, patches.mean(1), dim=1)
        return global_distance + (1 - F.cosine_similarity(seen_patches, patches, dim=2)).mean(1)


class WidthScaled(OptimizerFactory):
    """AdamW whose learning rate falls with the width; that of mapping networks is a hundredth."""

    needs_closure: ClassVar[bool] = False

    class Options(OptimizerFactory.Options):
        """Options of the optimizer."""

        width: int = WIDTH
        """Width of the network; `lr` is that of a network of width 768."""

    options: Options

    def create(self, parameters: Iterable[tuple[str, nn.Parameter]]) -> torch.optim.Optimizer:
        """Return the optimizer of named parameters."""
        groups: dict[bool, list[nn.Parameter]] = {False: [], True: []}
        for name, parameter in parameters:
            groups["mapping" in name].append(parameter)
        lr = self.options.lr * 768 / self.options.width
        rates = {False: lr, True: lr / 100}
        chosen: list[dict[str, Any]] = [{"params": group, "lr": rates[key]} for key, group in groups.items()]
        return torch.optim.AdamW(chosen, lr=lr, betas=(0.0, 0.99), weight_decay=0.0)


@hookimpl
def ganforge_components() -> list[Component]:
    """Provide GAT's networks, augmentations, loss, terms and optimizer, and a dataset of latents."""
    return [
        Component(kind="dataset", name="glyph-latents", target=GlyphLatents, summary="Latents of pictures of squares."),
        Component(kind="generator", name="gat", target=GatGenerator, summary="Transformer.", paper="arXiv:2509.24935"),
        Component(
            kind="discriminator", name="gat", target=GatDiscriminator, summary="Transformer.", paper="arXiv:2509.24935"
        ),
        Component(kind="augmentation", name="shift-flip", target=ShiftFlip, summary="Translation and flip."),
        Component(kind="augmentation", name="level-noise", target=LevelNoise, summary="Noise for each level."),
        Component(kind="loss", name="paired", target=Paired, summary="Relativistic.", paper="arXiv:1807.00734"),
        Component(kind="term", name="finite-r1", target=FiniteR1, summary="R1 by finite differences."),
        Component(kind="term", name="finite-r2", target=FiniteR2, summary="R2 by finite differences."),
        Component(kind="term", name="alignment", target=Alignment, summary="Features of a frozen encoder."),
        Component(kind="optimizer", name="width-scaled", target=WidthScaled, summary="AdamW scaled by width."),
    ]

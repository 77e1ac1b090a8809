"""Images drawn from a generator, without effects on its training."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import chain
from typing import Any, NamedTuple, TypeVar

import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ganforge.components.latents import LatentDistribution, Space
from ganforge.components.networks import Generator
from ganforge.components.outputs import GeneratorOutput
from ganforge.errors import ConfigError, IncompatibleError
from ganforge.utils.images import normalize
from ganforge.utils.process import kept_process
from ganforge.utils.rng import Stream, derive_generator, fork_torch_rng
from ganforge.utils.suggest import did_you_mean

#: Functions that draw noise, and those that draw it for one image.
NOISE = {torch.randn: torch.randn, torch.rand: torch.rand, torch.randn_like: torch.randn, torch.rand_like: torch.rand}
Module = TypeVar("Module", bound=nn.Module)

#: Limits of a batch: images, and pixels of one channel, since activations grow with both.
MAX_BATCH_SIZE = 250
MAX_BATCH_PIXELS = 2**20
#: Latents that are drawn at once.
LATENT_BLOCK = 64
#: Most classes of a grid with a row for each class.
MAX_CLASS_ROWS = 16


class _Batch(NamedTuple):
    """Latents `(B, …)` and condition of a batch, both on the device, with its number and that of its first image."""

    latents: Tensor
    condition: Tensor | None
    number: int
    first: int


class Sampler:
    """Copy of a generator that draws images in evaluation mode.

    The copy has its own buffers and attributes, so that sampling leaves the training unchanged. It shares the weights,
    unless the generator overrides `prepare_sampling`, which may change them.

    Attributes:
        generator: The copy, with its sampling options set, prepared for sampling.
        batch_size: Images in a batch.
    """

    def __init__(
        self,
        generator: Generator,
        *,
        seed: int,
        sampling: Mapping[str, Any] | None = None,
        noise_period: int | None = None,
    ) -> None:
        """Copy and prepare a generator in any mode, on any device. Raises ConfigError for an unknown sampling option.

        Args:
            generator: The generator.
            seed: Seed of the random numbers that layers draw, such as noise.
            sampling: Sampling options that differ from the generator's own, such as `{"truncation": 0.7}`.
            noise_period: Number of images after which the noise repeats, so that with 1 images differ by their latents
                alone, and in a grid with a row for each class a column by the class alone; never by default.
        """
        image = generator.image
        own_preparation = type(generator).prepare_sampling is not Generator.prepare_sampling
        self.batch_size = min(MAX_BATCH_SIZE, max(1, MAX_BATCH_PIXELS // (image.height * image.width)))
        self.generator = copy_module(generator, share_weights=not own_preparation).eval()
        if sampling:
            self.generator.sampling = sampling_options(generator, sampling)
        self._seed = seed
        self._noise_period = noise_period
        tensors = chain(generator.parameters(), generator.buffers())
        self._device = next((tensor.device for tensor in tensors), torch.device("cpu"))
        if own_preparation:
            with torch.no_grad(), self._seeded_layers("samples/prepare"):
                self.generator.prepare_sampling(derive_generator(seed, "samples/prepare"))
            self.generator.eval()

    def batches(
        self, latents: Tensor, condition: Tensor | Iterable[Tensor] | None = None, *, space: Space = "z"
    ) -> Iterator[Tensor]:
        """Yield images as the generator returns them, `(B, C, H, W)` float32, on its device.

        Raises IncompatibleError if the condition does not fit the generator.

        Args:
            latents: `(N, Z)` in z, or `(N, …)` in w.
            condition: `(N, …)`, as the dataset stores it or as networks see it, or an iterable of its parts, whose
                lengths are those of the batches. Classes take turns by default.
            space: Space of the latents.
        """
        network = self.generator if space == "z" else self.generator.synthesis
        for batch in self._batches(latents, condition):
            yield GeneratorOutput.of(self._compute(network, batch)).images.float()

    def images(self, latents: Tensor, condition: Tensor | None = None, *, space: Space = "z") -> Tensor:
        """Return images as the generator returns them, `(N, C, H, W)` float32, on the CPU; see `batches`."""
        return torch.cat([images.cpu() for images in self.batches(latents, condition, space=space)])

    def styles(self, latents: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return intermediate latents w, `(N, …)` float32 on the CPU, of latents, `(N, Z)`; see `batches`."""
        batches = self._batches(latents, condition)
        return torch.cat([self._compute(self.generator.style, batch).float().cpu() for batch in batches])

    def _batches(self, latents: Tensor, condition: Tensor | Iterable[Tensor] | None) -> Iterator[_Batch]:
        done = 0
        for number, part in enumerate(self._parts(condition, len(latents))):
            z = latents[done : done + (self.batch_size if part is None else len(part))]
            if part is not None:
                check_condition(self.generator, part, len(z))
            conditions = None if part is None else normalize(part.to(self._device))
            yield _Batch(z.to(self._device), conditions, number, done)
            done += len(z)
        if done != len(latents):
            raise IncompatibleError(f"{done:,} conditions for {len(latents):,} images")

    def _parts(self, condition: Tensor | Iterable[Tensor] | None, count: int) -> Iterable[Tensor | None]:
        """Return the condition of each batch."""
        if condition is None:
            condition = default_condition(self.generator, count)
        if condition is None:
            return [None] * -(-count // self.batch_size)
        if not self.generator.conditional:
            raise IncompatibleError("this generator takes no condition", fix="leave the condition out")
        if not isinstance(condition, Tensor):
            return condition
        if len(condition) != count:
            raise IncompatibleError(f"{len(condition):,} conditions for {count:,} images")
        return torch.split(condition, self.batch_size)

    def differentiable_images(self, latents: Tensor, condition: Tensor | None = None, *, space: Space = "z") -> Tensor:
        """Return the images of one batch with their graph, `(N, C, H, W)` float32, on the generator's device."""
        network = self.generator if space == "z" else self.generator.synthesis
        parts = [GeneratorOutput.of(self._seeded(network, batch)).images for batch in self._batches(latents, condition)]
        return torch.cat(parts).float()

    @torch.no_grad()
    def _compute(self, network: Callable[[Tensor, Tensor | None], Any], batch: _Batch) -> Any:  # noqa: ANN401 - as below
        """Return a network's output for a batch without a graph."""
        return self._seeded(network, batch)

    @kept_process()
    def _seeded(self, network: Callable[[Tensor, Tensor | None], Any], batch: _Batch) -> Any:  # noqa: ANN401 - a network's output
        """Return a network's output for a batch; what it draws is the same for every size of the batches."""
        indices = range(batch.first, batch.first + len(batch.latents))
        period = self._noise_period or indices.stop
        rngs = [derive_generator(self._seed, "samples/noise", index % period) for index in indices]
        with self._seeded_layers("samples", batch.number), ImageNoise(rngs, self._device):
            return network(batch.latents, batch.condition)

    def _seeded_layers(self, stream: Stream, *indices: int) -> AbstractContextManager[None]:
        return fork_torch_rng(self._seed, stream, *indices, device=self._device)


class ImageNoise(TorchFunctionMode):
    """Mode in which noise with a row per image comes from a generator per image, for any size of the batch."""

    def __init__(self, rngs: Sequence[torch.Generator], device: torch.device) -> None:
        super().__init__()
        self.rngs = rngs
        self.device = device

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        kwargs = dict(kwargs or {})
        if func not in NOISE or kwargs.get("generator") is not None:
            return func(*args, **kwargs)
        like = args[0] if args and isinstance(args[0], Tensor) else None
        if like is not None:
            size = tuple(like.shape)
        else:
            size = tuple(kwargs.get("size") or (args if args and isinstance(args[0], int) else args[0]))
        if not size or size[0] != len(self.rngs):
            return func(*args, **kwargs)
        noise = torch.stack([NOISE[func](size[1:], generator=rng) for rng in self.rngs])
        dtype = kwargs.get("dtype") or (torch.get_default_dtype() if like is None else like.dtype)
        return noise.to(kwargs.get("device") or (self.device if like is None else like.device), dtype)


def draw_latents(
    latent: LatentDistribution, generator: Generator, count: int, *, seed: int, stream: Stream = "samples"
) -> Tensor:
    """Return latents for a generator, `(N, Z)` on the CPU, that the seed and the stream alone decide.

    The first latents are the same for every count: they are drawn in blocks of one size, each from a generator of its
    own, since torch's numbers depend on the size of a draw.
    """
    blocks = []
    with torch.no_grad(), fork_torch_rng(seed, stream):
        distribution = copy_module(latent, share_weights=False).cpu().eval()
        for block in range(-(-count // LATENT_BLOCK)):
            rng = derive_generator(seed, stream, *((block,) if block else ()))
            blocks.append(distribution.sample(LATENT_BLOCK, generator.latent_dim, rng))
    return torch.cat(blocks)[:count]


def default_condition(generator: Generator, count: int) -> Tensor | None:
    """Return classes in turn, `(N,)`, or None for a generator that is not conditional.

    Raises IncompatibleError if the conditions are not classes, so that real ones are needed.
    """
    if not generator.conditional:
        return None
    if generator.image.num_classes is None:
        raise IncompatibleError(f"this generator needs a condition for each image ({generator.image.condition})")
    return torch.arange(count) % generator.image.num_classes


def class_rows(generator: Generator, columns: int) -> Tensor | None:
    """Return the condition of a grid with a row for each class, `(K · columns,)`.

    None for a generator without classes, and for more classes than `MAX_CLASS_ROWS`.
    """
    classes = generator.image.num_classes if generator.conditional else None
    if classes is None or classes > MAX_CLASS_ROWS:
        return None
    return torch.arange(classes).repeat_interleave(columns)


def check_condition(generator: Generator, condition: Tensor, count: int) -> None:
    """Raise IncompatibleError unless a conditional generator takes a condition, `(N, …)`, for `count` images."""
    spec = generator.image.condition
    assert spec is not None, "conditional networks are refused for data without conditions"  # noqa: S101
    if len(condition) != count:
        raise IncompatibleError(f"{len(condition):,} conditions for {count:,} images")
    dtypes = {spec.dtype, "float32"} if spec.kind == "tensor" else {spec.dtype}
    dtype, shape = str(condition.dtype).removeprefix("torch."), tuple(condition.shape[1:])
    if dtype not in dtypes or shape != spec.shape:
        described = f"one class (int64, {spec})" if spec.kind == "classes" else f"{spec.dtype} of shape {spec.shape}"
        raise IncompatibleError(f"conditions are {described} for each image, not {dtype} of shape {shape}")
    if spec.kind != "classes":
        if not bool(condition.isfinite().all()):
            raise IncompatibleError("a condition has numbers that are not finite")
        return
    classes = spec.num_classes or 0
    invalid = condition[(condition < 0) | (condition >= classes)]
    if len(invalid):
        raise IncompatibleError(f"invalid class {int(invalid[0])}; there are {classes} classes, 0 to {classes - 1}")


def sampling_options(generator: Generator, values: Mapping[str, Any]) -> Generator.SamplingOptions:
    """Return a generator's sampling options with some values replaced. Raises ConfigError for unknown options."""
    model = generator.SamplingOptions
    try:
        return model.model_validate({**generator.sampling.model_dump(), **values})
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        name = ".".join(map(str, problem["loc"]))
        if problem["type"] != "extra_forbidden":
            raise ConfigError(f"sampling.{name} = {problem['input']!r}: {problem['msg']}") from None
        options = did_you_mean(name, model.model_fields) or "; this generator has none"
        raise ConfigError(f"invalid sampling option {name!r}{options}") from None


def copy_module(module: Module, *, share_weights: bool) -> Module:
    """Return a deep copy of a module, with copied or shared parameters."""
    shared: dict[int, Any] = {id(weight): weight for weight in module.parameters()} if share_weights else {}
    with _DetachedCopies():
        return copy.deepcopy(module, shared)


class _DetachedCopies(TorchFunctionMode):
    """Deep copies of tensors without their graph, which a module may keep between calls, as `spectral_norm` does."""

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        if func is Tensor.__deepcopy__ and not args[0].is_leaf:
            args = (args[0].detach(), *args[1:])
        return func(*args, **(kwargs or {}))

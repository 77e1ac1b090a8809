"""Random draws of a training step: made for the whole batch and cut, and repeatable in CUDA graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ganforge.training.build import GANComponents
from ganforge.training.distributed import DistContext
from ganforge.training.stats import long_name
from ganforge.utils.rng import derive_generator, seed_torch

#: Functions whose positional arguments are a size.
SIZED = frozenset({torch.rand, torch.randn})


class NotRecordableError(RuntimeError):
    """Error for code that a recorded update cannot repeat."""


@dataclass(frozen=True, slots=True)
class BatchSlice:
    """Position of a `TrainStep`'s images in the whole batch.

    Attributes:
        begin: Number of the first image.
        count: Number of images.
        whole: Number of images of all ranks and parts.
    """

    begin: int
    count: int
    whole: int

    def cut(self, draw: Callable[[int], Tensor]) -> Tensor:
        """Return this part of a draw for a number of images."""
        return draw(self.whole)[self.begin : self.begin + self.count]


class Draw(NamedTuple):
    """Random draw of a recorded update: the name of its generator, and the tensor that the recording reads."""

    rng_name: str
    function: Callable[[torch.Generator], Tensor]
    buffer: Tensor


@dataclass(slots=True)
class DrawTape:
    """Random draws of an update, in order, so that each replay gets new ones.

    The first pass collects them into buffers on the device, which the recording reads.

    Attributes:
        position: Number of draws that the recording has read; None while draws are collected.
        conflict: Reason why the draws cannot be repeated, or None.
    """

    device: torch.device
    draws: list[Draw] = field(default_factory=list)
    position: int | None = None
    conflict: str | None = None

    def add(self, rng_name: str, function: Callable[[torch.Generator], Tensor], rng: torch.Generator) -> Tensor:
        """Return the buffer of the next draw."""
        if self.position is None:
            self.draws.append(Draw(rng_name, function, function(rng).to(self.device)))
            return self.draws[-1].buffer
        if self.position >= len(self.draws):
            raise NotRecordableError("its random draws differ between two updates")
        self.position += 1
        return self.draws[self.position - 1].buffer

    def check(self, numbers_read: Sequence[str]) -> None:
        """Raise NotRecordableError if the update cannot be repeated, such as after it read numbers of the step."""
        if numbers_read:
            raise NotRecordableError(f"a component reads step.{numbers_read[0]}, a Python number")
        if self.conflict is not None:
            raise NotRecordableError(self.conflict)

    def redraw(self, derive_rng: Callable[[str], torch.Generator]) -> None:
        """Fill the buffers with the draws of another update."""
        generators: dict[str, torch.Generator] = {}
        for draw in self.draws:
            if draw.rng_name not in generators:
                generators[draw.rng_name] = derive_rng(draw.rng_name)
            values = draw.function(generators[draw.rng_name])
            if self.device.type == "cuda":
                values = values.pin_memory()
            draw.buffer.copy_(values, non_blocking=True)


class StepRandomness(TorchFunctionMode):
    """Mode in which draws from a step's generators follow the whole batch.

    A draw by `torch.rand` or `torch.randn`, or in place, whose first dimension is this part's number of images is made
    for the whole batch and cut. With a tape, draws are collected for a recorded update.
    """

    def __init__(self, batch_slice: BatchSlice, tape: DrawTape | None = None) -> None:
        super().__init__()
        self.batch_slice = batch_slice
        self.tape = tape
        self._names: dict[int, tuple[str, torch.Generator]] = {}

    def track(self, derive_rng: Callable[[str], torch.Generator]) -> Callable[[str], torch.Generator]:
        """Return `derive_rng`, with its generators known to the mode."""

        def derive(name: str) -> torch.Generator:
            rng = derive_rng(name)
            self._names[id(rng)] = (name, rng)
            return rng

        return derive

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - any torch function
        kwargs = dict(kwargs or {})
        rng = kwargs.get("generator")
        if not isinstance(rng, torch.Generator) or id(rng) not in self._names:
            return func(*args, **kwargs)
        name = self._names[id(rng)][0]
        if args and isinstance(args[0], Tensor) and getattr(func, "__name__", "").endswith("_"):
            if self.tape is not None:
                self.tape.conflict = f"{func.__name__} draws in place"
            return self._in_place(func, args, kwargs)
        if func not in SIZED and any(isinstance(value, Tensor) for value in args):
            if self.tape is not None:
                self.tape.conflict = f"{getattr(func, '__name__', func)} draws from tensors"
            return func(*args, **kwargs)
        draw = self._draw(func, args, kwargs)
        return draw(rng) if self.tape is None else self.tape.add(name, draw, rng)

    def _draw(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Callable[[torch.Generator], Tensor]:
        """Return a function that draws N numbers as a part of those of the whole batch, and others as they are."""
        bounds, size = args, kwargs.get("size")
        if size is None and func in SIZED:
            bounds, size = (), args[0] if len(args) == 1 and not isinstance(args[0], int) else args
        elif size is None and func is torch.randint and isinstance(args[-1], tuple | list | torch.Size):
            bounds, size = args[:-1], args[-1]
        if func not in {*SIZED, torch.randint} or not size or size[0] != self.batch_slice.count:
            return lambda rng: func(*args, **{**kwargs, "generator": rng})

        def draw(rng: torch.Generator) -> Tensor:
            options = {**kwargs, "generator": rng}
            return self.batch_slice.cut(lambda count: func(*bounds, **{**options, "size": (count, *size[1:])}))

        return draw

    def _in_place(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        values: Tensor = args[0]
        if values.ndim == 0 or len(values) != self.batch_slice.count:
            return func(*args, **kwargs)  # type: ignore[no-any-return]

        def draw(count: int) -> Tensor:
            whole = values.new_empty((count, *values.shape[1:]))
            func(whole, *args[1:], **kwargs)
            return whole

        with torch.no_grad():
            return values.copy_(self.batch_slice.cut(draw))


@dataclass(slots=True)
class StepRandom:
    """Random numbers of a training step: functions of the seed, the phase, and the number of its update.

    Ranks and parts get their share of what is drawn for the whole batch, so that their number changes nothing.
    """

    gan: GANComponents
    device: torch.device
    dist: DistContext

    def latents(self, phase: str, index: int, count: int) -> Tensor:
        """Return this rank's latents, `(N, Z)`, of those of the whole batch."""
        rng = derive_generator(self.gan.resolved.experiment.seed, f"latents/{long_name(phase)}", index)
        drawn = self.gan.latent.sample(self.dist.world_size * count, self.gan.generator.latent_dim, rng)
        z = drawn[self.dist.rank * count : (self.dist.rank + 1) * count]
        return z.pin_memory() if self.device.type == "cuda" and not z.requires_grad else z

    def derive(self, phase: str, index: int) -> Callable[[str], torch.Generator]:
        """Return the function that derives the random generators of an update by name."""
        seed = self.gan.resolved.experiment.seed
        return lambda name: derive_generator(seed, f"{long_name(phase)}/{name}", index)

    def seed_layers(self, phase: str, index: int, part_index: int) -> None:
        """Seed the global generators, from which layers such as dropout draw, for one part of an update."""
        seed, stream = self.gan.resolved.experiment.seed, f"dropout/{long_name(phase)}"
        seed_torch(seed, stream, index, self._global_part_index(part_index), device=self.device)

    def mode(self, count: int, part_index: int, tape: DrawTape | None) -> StepRandomness | None:
        """Return the mode that cuts draws from those of the whole batch; None if the part is the whole batch."""
        parts = self.dist.world_size * self.gan.resolved.experiment.gradient_accumulation
        if parts == 1 and tape is None:
            return None
        return StepRandomness(BatchSlice(self._global_part_index(part_index) * count, count, parts * count), tape)

    def _global_part_index(self, part_index: int) -> int:
        """Return the index of one of this rank's parts among the parts of all ranks."""
        return self.dist.rank * self.gan.resolved.experiment.gradient_accumulation + part_index

"""The engine beside the textbook's loop, in turns: ratios, their spread, and the share of the machine's roofline."""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ganforge.bench import reference_loop as yardstick
from ganforge.config import command_line_layer, from_document, to_document
from ganforge.config.reload import reload
from ganforge.config.resolve import resolve
from ganforge.data.loader import ResidentFeed
from ganforge.data.streaming import make_feed
from ganforge.errors import ConfigError, DataError
from ganforge.plugins.registry import Registry
from ganforge.runs.provenance import hardware, versions
from ganforge.runs.setup import Prepared, prepare
from ganforge.training.build import GANComponents, build
from ganforge.training.precision import Precision, matrix_products
from ganforge.training.run_directory import RunDirectory
from ganforge.training.services import Services
from ganforge.training.setup import prepare_steps
from ganforge.training.signals import Interruption
from ganforge.training.trainer import Trainer
from ganforge.utils.rng import stream_rng

MATRIX = 2048
NEVER = 10**9
HUNDRED = 100
#: What may be set without the two loops becoming different ones.
FREE = ("precision", "device", "seed", "compile", "cuda_graphs", "data.root", "data.source")


@dataclass(frozen=True, slots=True)
class Options:
    """Say what is measured: the model, settings as for `run`, steps of each turn, steps not counted, and turns."""

    model: str
    settings: Sequence[str]
    steps: int
    warm_up: int
    turns: int


def measure_model(options: Options, registry: Registry, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure the yardstick, a bare loop over the engine's step functions, and the engine, in turns.

    Returns what `bench --json` prints. Raises what `prepare` raises, and DataError where there is no MNIST.
    """
    for setting in options.settings:
        key = setting.partition("=")[0].strip()
        if key not in FREE:
            raise ConfigError(
                f"bench cannot set {key}: both loops train the textbook's way", fix=f"free: {', '.join(FREE)}"
            )
    settings = [f"gen={options.model}", f"disc={options.model}", f"steps={options.warm_up + options.steps}"]
    settings += ["batch_size=60", *options.settings]
    settings += [f"sample_every={NEVER}", f"checkpoint_every={NEVER}"]
    prepared = prepare(resolve([command_line_layer(settings)], registry), registry)
    contenders: dict[str, Callable[[Path], list[float]]] = {
        "yardstick": lambda folder: _yardstick(prepared, options, folder),
        "bare": lambda _: _bare(prepared, options),
        "engine": lambda folder: _engine(prepared, folder),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    rate = 0.0
    for turn in range(options.turns):
        for name, measure in contenders.items():
            with tempfile.TemporaryDirectory() as folder:
                seconds[name].append(statistics.median(measure(Path(folder))))
            say(f"turn {turn + 1}/{options.turns}: {name} {seconds[name][-1] * 1000:.1f} ms a step")
        rate = max(rate, matrix_rate(prepared.device, prepared.precision))
    flops = step_flops(prepared)
    return {
        "model": options.model,
        "device": str(prepared.device),
        "precision": prepared.precision,
        "milliseconds_per_step": {name: _spread([1000 * each for each in values]) for name, values in seconds.items()},
        "ratio": _spread(_ratios(seconds["yardstick"], seconds["engine"])),
        "engine_over_bare": _spread(_ratios(seconds["engine"], seconds["bare"])),
        "roofline": {
            "step_gflop": flops / 1e9,
            "matrix_product_gflop_per_second": rate / 1e9,
            "share": flops / statistics.median(seconds["engine"]) / rate,
        },
        "data_share": data_seconds(prepared) / statistics.median(seconds["engine"]),
        "data": prepared.gan.info.source,
        "versions": versions(),
        "hardware": hardware(prepared.device),
    }


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def _ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Return the ratio of each turn: what disturbs the machine for longer than a turn disturbs both."""
    return [mine / other for mine, other in zip(ours, theirs, strict=True)]


def _yardstick(prepared: Prepared, options: Options, folder: Path) -> list[float]:
    """Time the textbook's loop in a process of its own: the engine changes how memory is kept in this one."""
    lay_out_mnist(prepared.gan, folder)
    experiment = to_document(prepared.resolved.experiment)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_by_itself, experiment, folder, str(prepared.device), options).result()


def _by_itself(experiment: dict[str, Any], folder: Path, device: str, options: Options) -> list[float]:
    gan = build(reload(from_document(experiment), Registry.discover(no_plugins=True), {}))
    return yardstick.seconds_per_step(
        gan.generator,
        gan.discriminator,
        root=folder,
        device=torch.device(device),
        steps=options.steps,
        warm_up=options.warm_up,
    )


def lay_out_mnist(gan: GANComponents, root: Path) -> None:
    """Write the images that the engine trains on as torchvision's MNIST wants to find them."""
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for split, name in (("train", "train"), ("test", "t10k")):
        images = gan.images("train" if split == "train" else "test")
        if images is None or images.labels is None:
            raise DataError("the yardstick trains on MNIST; pass none but its settings")
        for kind, content in (("images-idx3", images.pixels.squeeze(1)), ("labels-idx1", images.labels.byte())):
            header = bytes([0, 0, 8, content.ndim]) + b"".join(size.to_bytes(4, "big") for size in content.shape)
            (raw / f"{name}-{kind}-ubyte").write_bytes(header + content.contiguous().numpy().tobytes())


def _bare(prepared: Prepared, options: Options) -> list[float]:
    """Time the engine's own step functions, called by hand."""
    gan = build(prepared.resolved)
    images = gan.images("train")
    assert images is not None, "the yardstick has refused data that is streamed"  # noqa: S101
    seed, device = prepared.resolved.experiment.seed, prepared.device
    with matrix_products(prepared.precision), torch.random.fork_rng([device] if device.type == "cuda" else []):
        steps, _ = prepare_steps(gan, device=device, precision=prepared.precision)
        feed = ResidentFeed(images, batch_size=60, seed=seed, device=device)
        seconds: list[float] = []
        for index in range(options.warm_up + options.steps):
            begun = time.perf_counter()
            batch = feed.batch(index)
            steps.discriminator(batch, index)
            _wait(steps.generator_step(batch, index), every=10, index=index)
            seconds.append(time.perf_counter() - begun)
    return _windows(seconds[options.warm_up :])


def _wait(values: Tensor, *, every: int, index: int) -> None:
    """Wait for the device as often as the engine does."""
    if index % every == every - 1:
        values.tolist()


def _windows(seconds: list[float]) -> list[float]:
    """Return the mean of each ten steps: on a GPU the tenth waits for the nine before."""
    return [statistics.mean(seconds[begin : begin + 10]) for begin in range(0, len(seconds) - 9, 10)] or seconds


def _engine(prepared: Prepared, folder: Path) -> list[float]:
    """Time a whole training, as the run itself measures its speed: checkpoints and grids are not counted."""
    gan = build(prepared.resolved)
    run = RunDirectory.create(folder / "run", "bench")
    trainer = Trainer(gan, run, device=prepared.device, precision=prepared.precision, services=Services())
    with Interruption() as interruption:
        trainer.train(interruption)
    if interruption.received is not None:
        raise KeyboardInterrupt
    rate = trainer.stopwatch.images_per_second
    assert rate is not None, "there is at least one window"  # noqa: S101
    return [60 / rate]


def step_flops(prepared: Prepared) -> int:
    """Count the floating-point operations of one step's convolutions and matrix products, backward passes included."""
    gan = build(prepared.resolved)
    steps, _ = prepare_steps(gan, device=prepared.device, precision=prepared.precision)
    images = gan.images("train")
    assert images is not None, "the yardstick has refused data that is streamed"  # noqa: S101
    feed = ResidentFeed(images, batch_size=60, seed=0, device=prepared.device)
    with torch.random.fork_rng(), FlopCounterMode(display=False) as counter:
        steps.discriminator(feed.batch(0), 0)
        steps.generator_step(feed.batch(0), 0)
    return int(counter.get_total_flops())


def data_seconds(prepared: Prepared) -> float:
    """Return the seconds that a batch of real images and its latents take: the median of a hundred."""
    gan = build(prepared.resolved)
    feed, device = make_feed(gan, prepared.device), prepared.device
    seconds = []
    for index in range(HUNDRED):
        begun = time.perf_counter()
        batch = feed.batch(index)
        rng = stream_rng(0, "latents/generator", index)
        gan.generator.sample_latents(len(batch.images), rng).to(device)[0, 0].item()
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


def matrix_rate(device: torch.device, precision: Precision) -> float:
    """Return the operations per second of a large matrix product on this machine, the best of ten."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = (torch.randn(MATRIX, MATRIX, device=device).to(dtype) for _ in range(2))
    seconds = []
    with matrix_products(precision):
        for _ in range(13):
            begun = time.perf_counter()
            (left @ right)[0, 0].item()
            seconds.append(time.perf_counter() - begun)
    return float(2 * MATRIX**3 / min(seconds[3:]))

"""Benchmark of the training step against a reference loop: ratios, their spread, and the share of the roofline."""

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

from ganforge.bench import reference_loop
from ganforge.config import command_line_layer, from_document, to_document
from ganforge.config.reload import reload
from ganforge.config.resolve import resolve
from ganforge.data.loader import EpochSampler, InMemoryLoader
from ganforge.data.streaming import make_loader
from ganforge.errors import ConfigError, DataError
from ganforge.plugins.registry import Registry
from ganforge.runs.provenance import hardware, versions
from ganforge.runs.setup import Prepared, prepare
from ganforge.training.build import GANComponents, build, set_training_mode
from ganforge.training.callbacks import TrainerContext
from ganforge.training.precision import LOW_PRECISION, Precision
from ganforge.training.run_directory import RunDirectory
from ganforge.training.setup import setup_training
from ganforge.training.trainer import Trainer
from ganforge.utils.devices import float32_matmul
from ganforge.utils.rng import derive_generator
from ganforge.utils.signals import Interruption

BATCH_SIZE = 60
#: Steps between waits for the device, in the engine as well.
WINDOW = 10
#: Size and repeats of the matrix product that measures the roofline.
MATRIX_SIZE, MATRIX_WARM_UP, MATRIX_REPEATS = 2048, 3, 10
#: Batches that are timed for the share of data loading.
NUM_BATCHES = 100
#: Settings that change both loops alike.
ALLOWED_SETTINGS = ("precision", "device", "seed", "compile", "cuda_graphs", "data.root", "data.source")


@dataclass(frozen=True, slots=True)
class BenchConfig:
    """Configuration of a benchmark: model of both networks, settings as for `run`, steps and warm-up of a turn."""

    model: str
    settings: Sequence[str]
    steps: int
    warm_up: int
    turns: int

    @property
    def total_steps(self) -> int:
        """Steps of a turn."""
        return self.warm_up + self.steps


def run_benchmark(config: BenchConfig, registry: Registry, notice: Callable[[str], None]) -> dict[str, Any]:
    """Measure the reference loop, a bare loop over the engine's updates, and the engine, in turns.

    Returns:
        The document that `bench --json` prints.

    Raises:
        ConfigError: A setting would change only one of the loops.
        DataError: MNIST is missing.
    """
    for setting in config.settings:
        key = setting.partition("=")[0].strip()
        if key not in ALLOWED_SETTINGS:
            raise ConfigError(
                f"bench cannot set {key}: the loops would differ",
                fix=f"settings of bench: {', '.join(ALLOWED_SETTINGS)}",
            )
    settings = [f"gen={config.model}", f"disc={config.model}", f"steps={config.total_steps}"]
    settings += [f"batch_size={BATCH_SIZE}", *config.settings]
    settings += [f"{key}={config.total_steps + 1}" for key in ("sample_every", "checkpoint_every")]
    prepared = prepare(resolve([command_line_layer(settings)], registry), registry)
    loops: dict[str, Callable[[Path], list[float]]] = {
        "reference": lambda folder: _time_reference(prepared, config, folder),
        "bare": lambda _: _time_bare_steps(prepared, config),
        "engine": lambda folder: _time_engine(prepared, folder),
    }
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    rate = 0.0
    for turn in range(config.turns):
        for name, measure in loops.items():
            with tempfile.TemporaryDirectory() as folder:
                seconds[name].append(statistics.median(measure(Path(folder))))
            notice(f"turn {turn + 1}/{config.turns}: {name} {seconds[name][-1] * 1000:.1f} ms per step")
        rate = max(rate, matrix_rate(prepared.device, prepared.precision))
    flops = prepared.flops.total
    return {
        "model": config.model,
        "device": str(prepared.device),
        "precision": prepared.precision,
        "milliseconds_per_step": {
            name: _spread([1000 * value for value in values]) for name, values in seconds.items()
        },
        "ratio": _spread(_ratios(seconds["reference"], seconds["engine"])),
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


def _ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Return the ratio of each turn; longer disturbances of the machine affect both loops."""
    return [first / second for first, second in zip(numerators, denominators, strict=True)]


def _time_reference(prepared: Prepared, config: BenchConfig, folder: Path) -> list[float]:
    """Time the reference loop in a separate process; the engine changes the memory allocator of this one."""
    write_mnist(prepared.gan, folder)
    experiment = to_document(prepared.resolved.experiment)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_run_reference, experiment, folder, str(prepared.device), config).result()


def _run_reference(experiment: dict[str, Any], folder: Path, device: str, config: BenchConfig) -> list[float]:
    gan = build(reload(from_document(experiment), Registry.discover(no_plugins=True), None))
    return reference_loop.seconds_per_step(
        gan.generator,
        gan.discriminator,
        root=folder,
        device=torch.device(device),
        steps=config.steps,
        warm_up=config.warm_up,
        batch_size=BATCH_SIZE,
    )


def write_mnist(gan: GANComponents, root: Path) -> None:
    """Write the engine's images in the folder layout of torchvision's MNIST."""
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for split, name in (("train", "train"), ("test", "t10k")):
        images = gan.images("train" if split == "train" else "test")
        if images is None or images.condition is None:
            raise DataError("the reference loop trains on MNIST; choose only settings of data.mnist")
        for kind, content in (("images-idx3", images.images.squeeze(1)), ("labels-idx1", images.condition.byte())):
            header = bytes([0, 0, 8, content.ndim]) + b"".join(size.to_bytes(4, "big") for size in content.shape)
            (raw / f"{name}-{kind}-ubyte").write_bytes(header + content.contiguous().numpy().tobytes())


def _time_bare_steps(prepared: Prepared, config: BenchConfig) -> list[float]:
    """Time the engine's updates, without its trainer."""
    gan = build(prepared.resolved)
    images = gan.images("train")
    assert images is not None, "the reference loop refuses streamed data"  # noqa: S101
    seed, device = prepared.resolved.experiment.seed, prepared.device
    with (
        float32_matmul(tf32=prepared.precision == "tf32"),
        torch.random.fork_rng([device] if device.type == "cuda" else []),
    ):
        gan_step, _ = setup_training(gan, device=device, precision=prepared.precision)
        set_training_mode(gan.modules())
        loader = InMemoryLoader(images, EpochSampler(len(images), batch_size=BATCH_SIZE, seed=seed), device)
        seconds: list[float] = []
        for index in range(config.total_steps):
            start = time.perf_counter()
            batch = loader.batch(index)
            gan_step.update("disc", batch, index, index)
            loss = gan_step.update("gen", batch, index, index)["loss/generator"]
            if index % WINDOW == WINDOW - 1:
                loss.tolist()  # waits for the device
            seconds.append(time.perf_counter() - start)
    return _window_means(seconds[config.warm_up :])


def _window_means(seconds: list[float]) -> list[float]:
    """Return the mean of each window; on a GPU its last step waits for the others."""
    starts = range(0, len(seconds) - WINDOW + 1, WINDOW)
    return [statistics.mean(seconds[start : start + WINDOW]) for start in starts] or seconds


def _time_engine(prepared: Prepared, folder: Path) -> list[float]:
    """Time a training by the throughput of the run, without checkpoints and grids."""
    gan = build(prepared.resolved)
    run = RunDirectory.create(folder / "run", "bench")
    trainer = Trainer(gan, run, device=prepared.device, precision=prepared.precision, context=TrainerContext())
    with Interruption() as interruption:
        trainer.train(interruption)
    if interruption.received is not None:
        raise KeyboardInterrupt
    rate = trainer.meter.images_per_second
    assert rate is not None, "a turn has at least one window"  # noqa: S101
    return [BATCH_SIZE / rate]


def data_seconds(prepared: Prepared) -> float:
    """Return the median time of a batch of real images and its latents."""
    gan = build(prepared.resolved)
    loader, device = make_loader(gan, prepared.device), prepared.device
    seconds = []
    for index in range(NUM_BATCHES):
        start = time.perf_counter()
        batch = loader.batch(index)
        rng = derive_generator(0, "latents/generator", index)
        gan.latent.sample(len(batch.images), gan.generator.latent_dim, rng).to(device)[0, 0].item()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def matrix_rate(device: torch.device, precision: Precision) -> float:
    """Return the operations per second of a large matrix product, the best of several."""
    dtype = LOW_PRECISION.get(precision, torch.float32)
    left, right = (torch.randn(MATRIX_SIZE, MATRIX_SIZE, device=device).to(dtype) for _ in range(2))
    seconds = []
    with float32_matmul(tf32=precision == "tf32"):
        for _ in range(MATRIX_WARM_UP + MATRIX_REPEATS):
            start = time.perf_counter()
            (left @ right)[0, 0].item()
            seconds.append(time.perf_counter() - start)
    return float(2 * MATRIX_SIZE**3 / min(seconds[MATRIX_WARM_UP:]))

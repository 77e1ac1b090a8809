"""Automatic precision: a function of configuration, hardware and versions alone."""

from __future__ import annotations

import ast
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

import ganforge
from ganforge import Component, LossTerm, TrainStep
from ganforge.plugins import Plugins, Source
from ganforge.plugins.registry import Registry
from ganforge.runs.setup import Prepared, prepare
from ganforge.training.build import GANComponents, build
from ganforge.training.flops import FlopCounter, Flops
from ganforge.training.precision import choose_precision
from ganforge.training.trial_steps import TrialSteps
from tests.helpers.runs import tiny

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
AUTO = ("gen=mlp", "disc=mlp", "gen.hidden=[512]", "disc.hidden=[512]", "batch_size=240", "precision=auto", "steps=5")
#: Modules of the training that read a clock: for times in rows, previews and messages.
WITH_CLOCK = {"run_directory.py", "timing.py", "writer.py"}


class Float32Only(LossTerm):
    """Term that fails on the bfloat16 images of `generate` under autocast."""

    phases: ClassVar[tuple[str, ...]] = ("gen",)

    def forward(self, step: TrainStep) -> Tensor:
        """Return a multiple of the mean brightness, `(N,)`."""
        with step._low_precision():
            product = step.z @ step.z.T
        if product.dtype != torch.float32:
            raise RuntimeError("no kernel for\nBFloat16")
        return step.fake.flatten(1).mean(1)


@pytest.fixture
def with_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate a CPU with bfloat16 instructions and without AMX."""
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)


def decisions(prepared: Prepared) -> dict[str, Any]:
    """Return the decisions of a run and their origins."""
    resolved = prepared.resolved
    keys = ("precision", "compile", "cuda_graphs", "device")
    return {key: (getattr(resolved.experiment, key), resolved.origin(key)) for key in keys}


@pytest.mark.usefixtures("with_bfloat16")
def test_the_clock_and_the_load_decide_nothing(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decisions are the same while the clock jumps and other threads use the CPU."""
    expected = decisions(prepare(tiny(registry, *AUTO), registry))
    assert expected["precision"] == ("bf16", "AVX-512 bfloat16, 2 GFLOPs a step")
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            sum(range(1000))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for name in ("time", "perf_counter", "monotonic", "process_time"):
            monkeypatch.setattr(time, name, lambda: random.uniform(-1e6, 1e6))  # noqa: S311 - no secret
        found = [decisions(prepare(tiny(registry, *AUTO, f"seed={seed}"), registry)) for seed in range(3)]
    finally:
        monkeypatch.undo()
        stop.set()
        for thread in threads:
            thread.join()
    assert found == [expected] * 3


def test_modules_that_decide_bits_read_no_clock() -> None:
    """Modules of `ganforge.training` import `time` only if they write times."""
    folder = Path(ganforge.__file__).parent / "training"
    reading = set()
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if {"time", "timeit"} & set(names):
                reading.add(path.name)
    assert reading == WITH_CLOCK


@pytest.mark.parametrize(
    ("gigaflops", "grouped", "avx512", "expected"),
    [
        (29, 0, True, "bf16"),
        (29, 0, False, "fp32"),
        (0.5, 0, True, "fp32"),
        (29, 10, True, "fp32"),
    ],
    ids=["large", "no instructions", "small", "grouped convolutions"],
)
def test_the_precision_of_a_processor(
    *, gigaflops: float, grouped: float, avx512: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bfloat16 needs the instructions, enough products, and few grouped convolutions."""
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    assert choose_precision(CPU, Flops(gigaflops * 1e9, grouped * 1e9))[0] == expected


@pytest.mark.parametrize(
    ("gigaflops", "capability", "expected"),
    [
        (0.5, (9, 0), "fp32"),
        (29, (9, 0), "tf32"),
        (500, (8, 0), "bf16"),
        (29, (7, 5), "fp32"),
        (500, (7, 5), "fp16"),
        (500, (7, 0), "fp16"),
        (500, (6, 1), "fp32"),
    ],
)
def test_the_precision_of_a_gpu(
    gigaflops: float, capability: tuple[int, int], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TF32 and bfloat16 came with compute capability 8.0, float16 products with 7.0; larger steps gain from them."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    precision, reason = choose_precision(CUDA, Flops(gigaflops * 1e9))
    assert precision == expected
    assert ("without" in reason) == (capability < (7, 0))


@pytest.mark.usefixtures("with_bfloat16")
def test_a_precision_that_fails_is_left_out_with_one_line(registry: Registry) -> None:
    """An operation without a bfloat16 kernel makes the automatic choice float32, with the reason in one line."""
    plugins = Plugins()
    plugins.components = list(registry.plugins.components)
    component = Component(kind="term", name="float32-only", target=Float32Only)
    plugins.components.append((component, Source("ganforge-parts", "1.0")))
    parts = Registry(plugins)
    prepared = prepare(tiny(parts, *AUTO, "term=float32-only"), parts)
    assert prepared.precision == prepared.resolved.experiment.precision == "fp32"
    assert prepared.resolved.origin("precision") == "bf16 fails"
    assert prepared.resolved.notices == ["precision bf16 is skipped: no kernel for BFloat16"]


def test_flops_of_a_step_are_those_of_a_real_one(assemble: Callable[..., GANComponents], registry: Registry) -> None:
    """Preflight's count from two images is that of a whole step on the batch, critic steps included."""
    settings = ("gen=dcgan", "disc=dcgan", "gen.base_channels=4", "disc.base_channels=4", "critic_steps=2", "steps=2")
    prepared = prepare(tiny(registry, *settings), registry)
    with FlopCounter() as counter:
        TrialSteps(build(prepared.resolved), CPU, "fp32").run()
    assert prepared.flops.total == pytest.approx(counter.flops.total, rel=1e-6)
    assert prepared.flops.grouped == 0


def test_grouped_convolutions_are_counted() -> None:
    """A convolution in groups needs the operations of its kernels, and is marked."""
    images = torch.randn(2, 8, 4, 4)
    with FlopCounter() as counter:
        nn.Conv2d(8, 8, 3, padding=1, groups=4, bias=False)(images)
        nn.Conv2d(8, 4, 1, bias=False)(images)
    grouped, plain = 2 * 2 * 16 * 8 * 2 * 9, 2 * 2 * 16 * 8 * 4
    assert counter.flops == Flops(grouped + plain, grouped)


def test_compiled_code_runs_while_operations_are_counted() -> None:
    """A network may compile a part of itself, as `flex_attention` does: the counter does not make it fail."""
    square = torch.compile(lambda x: (x @ x).relu(), backend="eager")
    x = torch.randn(4, 4, requires_grad=True)
    with FlopCounter():
        (gradient,) = torch.autograd.grad(square(x).sum(), [x])
    assert gradient.shape == x.shape

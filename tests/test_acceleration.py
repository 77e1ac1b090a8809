"""Compiling and recording, on a machine without a GPU: everything but the speed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import tiny
from test_updates import CPU, MLP, Assemble, difference, feed_of, stepped

from ganforge.plugins.registry import Registry
from ganforge.runs.setup import prepare
from ganforge.training.choosing import acceleration
from ganforge.training.compile import (
    WARM_UP,
    Recording,
    compile_hindrance,
    compile_networks,
    graph_hindrance,
    record_updates,
)
from ganforge.training.distributed import Processes
from ganforge.training.optim import make_optimizer
from ganforge.training.setup import prepare_steps
from ganforge.training.step import Steps

CUDA = torch.device("cuda", 0)
DCGAN = ("gen=dcgan", "disc=dcgan", "gen.base_channels=4", "disc.base_channels=4", "batch_size=12")


class Tape:
    """Record as a GPU does: nothing happens while recording; a replay works on the arguments as they are then."""

    def __init__(self, parts: Callable[[], list[torch.Tensor]]) -> None:
        self.parts = parts
        self.recordings = 0
        self.replays = 0

    def __call__(self, function: Callable[[], Any]) -> Recording:
        """Run once to learn what comes out, undo it, and run again in each replay."""
        self.recordings += 1
        before = [part.clone() for part in self.parts()]
        results = function()
        with torch.no_grad():
            for part, value in zip(self.parts(), before, strict=True):
                part.copy_(value)

        def replay() -> None:
            self.replays += 1
            found = function()
            for kept, new in zip(results or (), found or (), strict=True):
                kept.copy_(new)

        return replay, results


@pytest.mark.parametrize("settings", [MLP, DCGAN], ids=["mlp", "dcgan"])
def test_replayed_updates_are_the_updates(settings: tuple[str, ...], assemble: Assemble) -> None:
    """Every update is recorded once and then replayed on new batches and latents: the same bits after 12 steps."""
    plain, recorded = assemble(*settings), assemble(*settings)
    stepped(plain, 12)
    notices: list[str] = []

    def parts() -> list[torch.Tensor]:
        modules = (recorded.generator, recorded.discriminator)
        states = [
            value
            for optimizer in steps_box[0].optimizers.values()
            for state in optimizer.state.values()
            for value in state.values()
        ]
        return [*(tensor.data for module in modules for tensor in module.state_dict().values()), *states]

    steps_box: list[Steps] = []
    tape = Tape(parts)

    def change(steps: Steps) -> None:
        steps_box.append(steps)
        record_updates(steps, notices.append, tape)

    stepped(recorded, 12, change)
    assert difference(plain, recorded) == 0
    assert tape.recordings == 2  # an update of each network
    assert tape.replays == 2 * (12 - WARM_UP)
    assert notices == []


def test_what_cannot_be_recorded_goes_on_unrecorded(assemble: Assemble) -> None:
    """A recording that fails is told once, and training goes on to the same bits."""
    plain, failing = assemble(*MLP), assemble(*MLP)
    stepped(plain, 8)
    notices: list[str] = []

    def refuse(function: Callable[[], Any]) -> Recording:
        raise RuntimeError("operation not permitted\nwhen stream is capturing")

    stepped(failing, 8, lambda steps: record_updates(steps, notices.append, refuse))
    assert difference(plain, failing) == 0
    assert notices == [
        "updates are not recorded as CUDA graphs: operation not permitted when stream is capturing"
    ]  # fmt: skip


def test_restoring_records_anew(assemble: Assemble) -> None:
    """A recording works on the optimiser's state as it lay then; what was restored lies elsewhere."""
    recorded: list[object] = []

    def record(function: Callable[[], Any]) -> Recording:
        recorded.append(function)
        return (lambda: None), function()

    gan = assemble(*MLP)
    steps = stepped(gan, WARM_UP + 1, lambda steps: record_updates(steps, pytest.fail, record))
    assert len(recorded) == 2
    for forget in steps.when_restored:
        forget()
    feed = feed_of(gan)
    for index in range(WARM_UP + 1):
        steps.discriminator(feed.batch(index), index)
        steps.generator_step(feed.batch(index), index)
    assert len(recorded) == 4


def test_one_update_that_cannot_be_recorded_stops_all_recording(assemble: Assemble) -> None:
    """A recorded optimiser would go on reading the gradients of a pass that is no longer recorded."""
    plain, failing = assemble(*MLP), assemble(*MLP)
    stepped(plain, WARM_UP)
    asked: list[object] = []

    def only_the_first(function: Callable[[], Any]) -> Recording:
        asked.append(function)
        if len(asked) > 1:
            raise RuntimeError("not this one")
        return (lambda: None), (torch.zeros(()), torch.zeros(4))

    notices: list[str] = []
    steps = stepped(failing, WARM_UP, lambda steps: record_updates(steps, notices.append, only_the_first))
    assert difference(plain, failing) == 0
    feed = feed_of(failing)
    for index in range(WARM_UP, WARM_UP + 3):
        steps.discriminator(feed.batch(index), index)
        steps.generator_step(feed.batch(index), index)
    assert len(asked) == 2
    assert notices == ["updates are not recorded as CUDA graphs: not this one"]


def test_of_several_processes_passes_and_optimisers_are_recorded_apart(assemble: Assemble) -> None:
    """Gradients are averaged between a recorded pass and a recorded optimiser's step, in every update."""
    averaged: list[int] = []

    class Two(Processes):
        """Two processes whose gradients are the same."""

        def average_gradients(self, weights: list[torch.nn.Parameter]) -> None:
            averaged.append(len(weights))

    recorded: list[object] = []

    def record(function: Callable[[], Any]) -> Recording:
        recorded.append(function)
        return (lambda: None), function()

    gan = assemble(*MLP)
    steps, _ = prepare_steps(gan, device=CPU, precision="fp32")
    steps.processes = Two(rank=0, count=2)
    record_updates(steps, pytest.fail, record)
    feed = feed_of(gan)
    for index in range(WARM_UP + 2):
        steps.discriminator(feed.batch(index), index)
        steps.generator_step(feed.batch(index), index)
    assert len(recorded) == 4
    assert len(averaged) == 2 * (WARM_UP + 2)


@pytest.mark.parametrize("settings", [MLP, DCGAN], ids=["mlp", "dcgan"])
def test_compiled_networks_compute_the_same(settings: tuple[str, ...], assemble: Assemble) -> None:
    """Traced as a whole and run operation by operation, the losses and their gradients are the same: 6 steps, 1e-5."""
    plain, compiled = assemble(*settings), assemble(*settings)
    stepped(plain, 6)
    stepped(compiled, 6, lambda steps: compile_networks(steps, backend="aot_eager"))
    assert difference(plain, compiled) < 1e-5


def test_compiling_on_the_processor_is_possible_where_asked_for(registry: Registry) -> None:
    """`--compile on` compiles for the CPU too, or says in one line why it did not; `auto` does not."""
    asked = prepare(tiny(registry, *MLP, "compile=on", "steps=5"), registry)
    notices = [line for line in asked.resolved.notices if line.startswith("compile is off")]
    assert asked.resolved.experiment.compile == ("off" if notices else "on")
    assert len(notices) <= 1
    left = prepare(tiny(registry, *MLP, "steps=5"), registry)
    assert left.resolved.experiment.compile == left.resolved.experiment.cuda_graphs == "off"


def test_a_compiler_that_fails_is_left_out_with_one_line(assemble: Assemble, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the compiler says is passed on, and the networks run uncompiled."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no C++ compiler\nwas found")

    monkeypatch.setattr(torch, "compile", broken)
    notices: list[str] = []
    decided = acceleration(assemble(*MLP, "compile=on"), CPU, "fp32", None, notices.append)
    assert decided == {"compile": "off", "cuda_graphs": "off"}
    assert notices == ["compile is off: no C++ compiler was found"]


@pytest.mark.parametrize(
    ("settings", "seconds", "expected"),
    [
        (("steps=100",), 0.01, {"compile": "off", "cuda_graphs": "on"}),
        (("steps=100000",), 0.01, {"compile": "on", "cuda_graphs": "on"}),
        (("steps=100000", "compile=off", "cuda_graphs=off"), 0.01, {"compile": "off", "cuda_graphs": "off"}),
        (("steps=100000", "reuse_fakes=true"), 0.01, {"compile": "off", "cuda_graphs": "off"}),
        (("steps=100000", "sync_batch_norm=true"), 0.01, {"compile": "off", "cuda_graphs": "off"}),
        (("steps=100000", "gradient_accumulation=2"), 0.01, {"compile": "on", "cuda_graphs": "off"}),
    ],
)
def test_what_is_decided_on_a_gpu(
    settings: tuple[str, ...],
    seconds: float,
    expected: dict[str, str],
    assemble: Assemble,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Graphs are recorded wherever that is possible; compiling must pay for itself."""
    monkeypatch.setattr("ganforge.training.autotune.why_not_compiled", lambda *_: None)
    assert acceleration(assemble(*MLP, *settings), CUDA, "fp32", seconds, lambda _: None) == expected


def test_penalties_are_neither_compiled_nor_recorded(assemble: Assemble) -> None:
    """Compiled code has no second derivative, and a recorded penalty would draw the same numbers for ever."""
    gan = assemble(*MLP)
    gan.penalties["r1"] = None  # type: ignore[assignment]
    assert "'r1' takes gradients of gradients" in str(compile_hindrance(gan))
    assert "'r1' draws random numbers" in str(graph_hindrance(gan, CUDA))


def test_a_recorded_optimiser_keeps_its_rate_where_the_graph_reads_it() -> None:
    """The learning rate is a tensor that schedules fill; Adam counts its steps on the device."""
    from ganforge.config.optimizers import Adam, Sgd  # noqa: PLC0415
    from ganforge.training.schedule import set_learning_rate  # noqa: PLC0415

    weight = torch.nn.Parameter(torch.ones(2))
    for options in (Adam(), Sgd()):
        optimizer = make_optimizer(options, [weight], CPU, recorded=True)
        rate = optimizer.param_groups[0]["lr"]
        set_learning_rate(optimizer, 0.5)
        assert optimizer.param_groups[0]["lr"] is rate
        assert float(rate) == 0.5

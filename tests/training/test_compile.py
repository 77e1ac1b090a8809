"""Compiling and recording, on a machine without a GPU: everything but the speed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from ganforge import Augmentation, Component, LossTerm, TrainStep
from ganforge.builtin.optimizers import Adam, Sgd
from ganforge.plugins import Plugins, Source
from ganforge.plugins.registry import Registry
from ganforge.runs.setup import prepare
from ganforge.training.build import GANComponents, build
from ganforge.training.compile import (
    WARMUP_UPDATES,
    Recording,
    compile_conflict,
    compile_losses,
    graph_conflict,
    record_updates,
)
from ganforge.training.distributed import DistContext
from ganforge.training.flops import Flops
from ganforge.training.optim import make_capturable, set_learning_rate
from ganforge.training.setup import setup_training
from ganforge.training.step import GANStep
from ganforge.training.trial_steps import choose_acceleration
from ganforge.utils.devices import float32_matmul
from tests.helpers.runs import tiny
from tests.helpers.updates import CPU, MLP, Assemble, difference, loader_of, stepped

CUDA = torch.device("cuda", 0)
DCGAN = ("gen=dcgan", "disc=dcgan", "gen.base_channels=4", "disc.base_channels=4", "batch_size=12")


DROPOUT = ("gen=mlp", "disc=mlp", "gen.hidden=[32]", "disc.hidden=[32]", "disc.dropout=0.5")


class Noisy(LossTerm):
    """Consistency under noise: draws from `step.rng`."""

    phases: ClassVar[tuple[str, ...]] = ("disc",)

    def forward(self, step: TrainStep) -> Tensor:
        """Return the squared change of the logits, `(N,)`."""
        noise = torch.randn(step.real.shape, generator=step.rng).to(step.real)
        return (step.real_output.logits - step.discriminate(step.real + 0.1 * noise).logits).square()


class Warming(LossTerm):
    """Term that grows with the progress of the training."""

    def forward(self, step: TrainStep) -> Tensor:
        """Return the mean brightness, weighted by the progress, `(N,)`."""
        return step.progress * step.fake.flatten(1).mean(1)


class Staged(LossTerm):
    """Term whose Python code changes at step 8."""

    late = False

    def stage(self, step: int) -> Hashable:
        """Return whether the second half has begun."""
        self.late = step >= 8
        return self.late

    def forward(self, step: TrainStep) -> Tensor:
        """Return brightness, and its negative in the second half, `(N,)`."""
        brightness = step.fake.flatten(1).mean(1)
        return -brightness if self.late else brightness


class Counting(LossTerm):
    """Term that reads its place in the training, and draws, after the update."""

    def forward(self, step: TrainStep) -> Tensor:
        """Return brightness, `(N,)`."""
        return step.fake.flatten(1).mean(1)

    def after_step(self, step: TrainStep) -> None:
        """Log the place, a random number, and an output that the generator's update does not compute."""
        step.log(f"counting/{step.phase}", float(step.step + step.progress + step.images_seen))
        step.log(f"drawing/{step.phase}", float(torch.rand((), generator=step.rng)))
        if step.phase == "gen":
            step.log("judging", float(step.real_output.logits.mean()))


class Jitter(Augmentation):
    """Brightness noise."""

    def sample_parameters(self, images: Tensor, step: TrainStep, *, real: bool) -> Tensor:
        """Return a shift for each image, `(N, 1, 1, 1)`."""
        return torch.rand(len(images), 1, 1, 1, generator=step.rng).to(images)

    def forward(self, images: Tensor, parameters: Tensor) -> Tensor:
        """Return shifted images."""
        return images + 0.1 * parameters


@pytest.fixture
def methods(registry: Registry) -> Registry:
    """Return a registry with the components above."""
    parts: list[tuple[Any, str, type]] = [
        ("term", "noisy", Noisy),
        ("term", "warming", Warming),
        ("term", "staged", Staged),
        ("term", "counting", Counting),
        ("augmentation", "jitter", Jitter),
    ]
    plugins, source = Plugins(), Source("ganforge-methods", "1.0")
    plugins.components = list(registry.plugins.components)
    plugins.components += [(Component(kind=kind, name=name, target=cls), source) for kind, name, cls in parts]
    return Registry(plugins)


Results = list[tuple[dict[str, torch.Tensor], TrainStep]]


class Recorder:
    """Recording as on a GPU: nothing happens while recording; a replay works on the inputs as they are then."""

    def __init__(self, gan_step: GANStep) -> None:
        self.gan_step = gan_step
        self.recordings = 0
        self.replays = 0

    def state(self) -> list[torch.Tensor]:
        """Return everything that an update changes."""
        modules = (value for component in self.gan_step.modules.values() for value in component.state_dict().values())
        states = (state for phase in self.gan_step.phases.values() for state in phase.optimizer.state.values())
        return [*(tensor.data for tensor in modules), *(value for state in states for value in state.values())]

    def __call__(self, function: Callable[[], Any]) -> Recording:
        """Run once to get the results, undo it, and run again in each replay."""
        self.recordings += 1
        tape = self.gan_step.tape
        assert tape is not None
        before = [value.clone() for value in self.state()]
        results: Results = function()
        with torch.no_grad():
            for target, value in zip(self.state(), before, strict=True):
                target.copy_(value)

        def replay() -> None:
            self.replays += 1
            self.gan_step.tape, tape.position = tape, 0
            computed: Results = function()
            self.gan_step.tape = None
            for (kept, _), (new, _) in zip(results, computed, strict=True):
                for name, value in kept.items():
                    value.copy_(new[name])

        return replay, results


def recorded_step(gan: GANComponents, notices: list[str]) -> tuple[GANStep, Recorder]:
    """Return the step of components with recorded updates, and what records them."""
    gan_step, _ = setup_training(gan, device=CPU, precision="fp32")
    recorder = Recorder(gan_step)
    record_updates(gan_step, notices.append, recorder)
    return gan_step, recorder


def train(gan_step: GANStep, gan: GANComponents, steps: range) -> list[dict[str, float]]:
    """Take steps and return their numbers."""
    loader = loader_of(gan)
    rows = []
    with float32_matmul(), torch.random.fork_rng(devices=[]):
        for index in steps:
            row: dict[str, float] = {}
            for phase in ("disc", "gen"):
                stats = gan_step.update(phase, loader.batch(index), index, index)
                row |= {name: float(value) for name, value in stats.items()}
            rows.append(row)
    return rows


@pytest.mark.parametrize("settings", [MLP, DCGAN, DROPOUT], ids=["mlp", "dcgan", "dropout"])
def test_replayed_updates_are_the_updates(settings: tuple[str, ...], assemble: Assemble) -> None:
    """Each update is recorded once, then replayed on new batches and latents: the same bits and rows, 12 steps."""
    plain, replayed = assemble(*settings), assemble(*settings)
    notices: list[str] = []
    gan_step, recorder = recorded_step(replayed, notices)
    rows = train(setup_training(plain, device=CPU, precision="fp32")[0], plain, range(12))
    assert train(gan_step, replayed, range(12)) == rows
    assert difference(plain, replayed) == 0
    assert recorder.recordings == 2  # one per phase
    assert recorder.replays == 2 * (12 - WARMUP_UPDATES - 1)
    assert notices == []


def test_replayed_draws_are_new_draws(methods: Registry) -> None:
    """A term and an augmentation that draw from `step.rng` are recorded too: the same bits as without recording.

    A lazy term makes two recordings of its phase, one with it and one without.
    """
    settings = (*MLP, "term=noisy", "term.noisy.every=2", "augment=jitter")
    plain, replayed = build(tiny(methods, *settings)), build(tiny(methods, *settings))
    notices: list[str] = []
    gan_step, recorder = recorded_step(replayed, notices)
    rows = train(setup_training(plain, device=CPU, precision="fp32")[0], plain, range(16))
    assert train(gan_step, replayed, range(16)) == rows
    assert difference(plain, replayed) == 0
    assert notices == []
    assert recorder.recordings == 3
    assert recorder.replays > 10


def test_a_step_of_a_term_alone_is_recorded_alone(methods: Registry) -> None:
    """A recorded `own_step` of a term computes nothing else: the generator's batch norm sees as many batches."""
    settings = (*DCGAN, "term=noisy", "term.noisy.own_step=true")
    plain, replayed = build(tiny(methods, *settings)), build(tiny(methods, *settings))
    gan_step, recorder = recorded_step(replayed, [])
    rows = train(setup_training(plain, device=CPU, precision="fp32")[0], plain, range(8))
    assert train(gan_step, replayed, range(8)) == rows
    assert recorder.recordings == 3
    for expected, actual in zip(plain.generator.buffers(), replayed.generator.buffers(), strict=True):
        assert torch.equal(expected, actual)


def test_after_step_of_a_replay_is_at_its_own_place(methods: Registry) -> None:
    """Step, progress, random numbers and outputs are those of the replayed update, not of the recorded one."""
    plain, replayed = (build(tiny(methods, *MLP, "term=counting")) for _ in range(2))
    gan_step, recorder = recorded_step(replayed, [])
    rows = train(setup_training(plain, device=CPU, precision="fp32")[0], plain, range(12))
    assert train(gan_step, replayed, range(12)) == rows
    assert len({row["drawing/gen"] for row in rows}) == len({row["counting/gen"] for row in rows}) == 12
    assert len({row["judging"] for row in rows}) == 12
    assert recorder.replays > 10


def test_a_term_that_reads_the_step_is_not_recorded(methods: Registry) -> None:
    """A recording would keep the first value of a Python number: one line names it, and the bits are the same."""
    settings = (*MLP, "term=warming")
    plain, refused = build(tiny(methods, *settings)), build(tiny(methods, *settings))
    notices: list[str] = []
    gan_step, recorder = recorded_step(refused, notices)
    train(setup_training(plain, device=CPU, precision="fp32")[0], plain, range(8))
    train(gan_step, refused, range(8))
    assert difference(plain, refused) == 0
    assert recorder.replays < 5  # only those of the discriminator, until the term was seen
    assert notices == [
        "updates are not recorded as CUDA graphs: a component reads step.progress, a Python number"
    ]  # fmt: skip


def test_a_new_stage_is_recorded_again(methods: Registry) -> None:
    """When `stage(step)` changes, updates are recorded again: the same bits as without recording."""
    settings = (*MLP, "term=staged")
    plain, replayed = build(tiny(methods, *settings)), build(tiny(methods, *settings))
    notices: list[str] = []
    gan_step, recorder = recorded_step(replayed, notices)
    train(setup_training(plain, device=CPU, precision="fp32")[0], plain, range(16))
    train(gan_step, replayed, range(16))
    assert difference(plain, replayed) == 0
    assert recorder.recordings == 4  # both phases, in both stages
    assert notices == []


def test_unrecordable_updates_stay_plain(assemble: Assemble) -> None:
    """A recording that fails is reported once, and training continues to the same bits."""
    plain, failing = assemble(*MLP), assemble(*MLP)
    stepped(plain, 8)
    notices: list[str] = []

    def refuse(function: Callable[[], Any]) -> Recording:
        raise RuntimeError("operation not permitted\nwhen stream is capturing")

    gan_step, _ = setup_training(failing, device=CPU, precision="fp32")
    record_updates(gan_step, notices.append, refuse)
    train(gan_step, failing, range(8))
    assert difference(plain, failing) == 0
    assert notices == [
        "updates are not recorded as CUDA graphs: operation not permitted when stream is capturing"
    ]  # fmt: skip


def test_restoring_records_again(assemble: Assemble) -> None:
    """A recording reads the optimizer's state where it lay; restored state lies elsewhere."""
    gan = assemble(*MLP)
    gan_step, recorder = recorded_step(gan, [])
    train(gan_step, gan, range(WARMUP_UPDATES + 1))
    assert recorder.recordings == 2
    for rebuild in gan_step.on_restore:
        rebuild()
    train(gan_step, gan, range(WARMUP_UPDATES + 1))
    assert recorder.recordings == 4


def test_one_unrecordable_update_stops_all_recording(assemble: Assemble) -> None:
    """A recorded optimizer would read the gradients of an update that is no longer recorded."""
    plain, failing = assemble(*MLP), assemble(*MLP)
    stepped(plain, 8)
    notices: list[str] = []
    gan_step, recorder = recorded_step(failing, notices)
    original = recorder.__class__.__call__

    def only_the_first(self: Recorder, function: Callable[[], Any]) -> Recording:
        if self.recordings:
            raise RuntimeError("not this one")
        return original(self, function)

    for phase in gan_step.phases.values():
        phase.update_fn.record = lambda function: only_the_first(recorder, function)  # type: ignore[attr-defined]
    train(gan_step, failing, range(8))
    assert difference(plain, failing) == 0
    assert recorder.recordings == 1
    assert notices == ["updates are not recorded as CUDA graphs: not this one"]


def test_ranks_average_between_two_recordings(assemble: Assemble) -> None:
    """With several ranks gradients and the optimizer's step are recorded apart, and averaged in between."""
    averaged: list[int] = []

    class TwoRanks(DistContext):
        """Two ranks with the same gradients."""

        def all_reduce_gradients(self, weights: Iterable[torch.nn.Parameter]) -> None:
            averaged.append(len(list(weights)))

    recorded: list[object] = []

    def record(function: Callable[[], Any]) -> Recording:
        recorded.append(function)
        return (lambda: None), function()

    gan = assemble(*MLP)
    gan_step, _ = setup_training(gan, device=CPU, precision="fp32")
    gan_step.dist = gan_step.random.dist = TwoRanks(rank=0, world_size=2)
    record_updates(gan_step, pytest.fail, record)
    loader = loader_of(gan)
    for index in range(WARMUP_UPDATES + 2):
        for phase in ("disc", "gen"):
            gan_step.update(phase, loader.batch(index), index, index)
    assert len(recorded) == 4
    assert len(averaged) == 2 * (WARMUP_UPDATES + 2)


@pytest.mark.parametrize("settings", [MLP, DCGAN], ids=["mlp", "dcgan"])
def test_compiled_networks_compute_the_same(settings: tuple[str, ...], assemble: Assemble) -> None:
    """Traced as a whole and run operation by operation, the losses and their gradients are the same: 6 steps, 1e-5."""
    plain, compiled = assemble(*settings), assemble(*settings)
    stepped(plain, 6)
    gan_step, _ = setup_training(compiled, device=CPU, precision="fp32")
    compile_losses(gan_step, backend="aot_eager")
    train(gan_step, compiled, range(6))
    assert difference(plain, compiled) < 1e-5


def test_compile_on_cpu_is_opt_in(registry: Registry) -> None:
    """`--compile on` compiles for the CPU too, or prints the reason in one line; `auto` does not compile."""
    asked = prepare(tiny(registry, *MLP, "compile=on", "steps=5"), registry)
    notices = [line for line in asked.resolved.notices if line.startswith("compile is off")]
    assert asked.resolved.experiment.compile == ("off" if notices else "on")
    assert len(notices) <= 1
    left = prepare(tiny(registry, *MLP, "steps=5"), registry)
    assert left.resolved.experiment.compile == left.resolved.experiment.cuda_graphs == "off"


def test_a_compiler_that_fails_is_left_out_with_one_line(assemble: Assemble, monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler's message is passed on, and the networks run uncompiled."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no C++ compiler\nwas found")

    monkeypatch.setattr(torch, "compile", broken)
    notices: list[str] = []
    decided = choose_acceleration(assemble(*MLP, "compile=on"), CPU, "fp32", Flops(), notices.append)
    assert decided == {"compile": "off", "cuda_graphs": "off"}
    assert notices == ["compile is off: no C++ compiler was found"]


@pytest.mark.parametrize(
    ("settings", "gigaflops", "expected"),
    [
        (("steps=100",), 200, {"compile": "off", "cuda_graphs": "on"}),
        (("steps=100000",), 200, {"compile": "on", "cuda_graphs": "on"}),
        (("steps=100000", "compile=off", "cuda_graphs=off"), 200, {"compile": "off", "cuda_graphs": "off"}),
        (("steps=100000", "reuse_fakes=true"), 200, {"compile": "off", "cuda_graphs": "off"}),
        (("steps=100000", "sync_batch_norm=true"), 200, {"compile": "off", "cuda_graphs": "off"}),
        (("steps=100000", "gradient_accumulation=2"), 200, {"compile": "on", "cuda_graphs": "off"}),
    ],
)
def test_what_is_decided_on_a_gpu(
    settings: tuple[str, ...],
    gigaflops: float,
    expected: dict[str, str],
    assemble: Assemble,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Graphs are recorded wherever that is possible; compiling must pay for itself."""
    monkeypatch.setattr("ganforge.training.trial_steps.trial_error", lambda *_, **__: None)
    flops = Flops(gigaflops * 1e9)
    assert choose_acceleration(assemble(*MLP, *settings), CUDA, "fp32", flops, lambda _: None) == expected


def test_terms_are_not_compiled_but_recorded(methods: Registry) -> None:
    """Compiled code has no second derivative; a recording has, and gets new draws."""
    gan = build(tiny(methods, *MLP, "term=noisy"))
    assert "'noisy' may take second derivatives" in str(compile_conflict(gan))
    assert graph_conflict(gan, CUDA, "bf16") is None
    assert "float16 skips updates" in str(graph_conflict(gan, CUDA, "fp16"))


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("schedules.optimizer.gen.lr=cosine", "None"),
        ("schedules.ema_halflife_images=linear", "None"),
        ("schedules.optimizer.gen.betas.1=linear", "is scheduled, and a recording would keep its first value"),
    ],
)
def test_schedules_of_options_that_a_recording_keeps(setting: str, reason: str, assemble: Assemble) -> None:
    """Learning rates and the moving average follow their schedules in recorded updates; other options would not."""
    gan = assemble(*MLP, "ema_halflife_images=1000", setting)
    assert reason in str(graph_conflict(gan, CUDA, "fp32"))


def test_a_recorded_optimizer_reads_its_rate_from_the_device() -> None:
    """The learning rate is a tensor that schedules fill; Adam counts its steps on the device."""
    weight = torch.nn.Parameter(torch.ones(2))
    for factory in (Adam, Sgd):
        options = factory.Options()
        optimizer = factory(options).create([("weight", weight)])
        make_capturable(optimizer, CPU)
        rate = optimizer.param_groups[0]["lr"]
        set_learning_rate(optimizer, 0.5)
        assert optimizer.param_groups[0]["lr"] is rate
        assert float(rate) == 0.5

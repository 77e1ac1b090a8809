"""Float16: the loss is scaled, and an update whose gradients overflow is skipped."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from torch import nn

from ganforge.errors import CheckpointError, DivergedError
from ganforge.plugins.registry import Registry
from ganforge.runs import launch
from ganforge.runs.setup import prepare
from ganforge.training import checkpoint as checkpoints
from ganforge.training.build import GANComponents, build
from ganforge.training.callbacks import Callback, TrainerContext
from ganforge.training.checkpoint import Checkpoint
from ganforge.training.distributed import DistContext
from ganforge.training.precision import MIN_SCALE, Precision
from ganforge.training.resume import load_checkpoint
from ganforge.training.run_directory import RunDirectory
from ganforge.training.setup import setup_training
from ganforge.training.step import GANStep
from ganforge.training.trainer import Trainer
from ganforge.utils.signals import Interruption
from tests.helpers.runs import ROOT, read_rows, tiny
from tests.helpers.updates import CPU, MLP, Assemble, difference, stepped, take_steps

#: Scale at which every gradient overflows.
HUGE = 2.0**120


@pytest.fixture
def r1() -> Registry:
    """Return a registry with a gradient penalty."""
    return Registry.discover([ROOT / "tests" / "methods" / "r1.py"], no_plugins=True)


def set_scale(gan_step: GANStep, phase: str, scale: float) -> None:
    """Set the scale of a phase's loss."""
    scaler = gan_step.phases[phase].scaler
    scaler.load_state_dict({**scaler.state_dict(), "scale": scale})


def scaled(gan: GANComponents, scale: float, **phases: float) -> GANStep:
    """Return the training step in float16 with a scale."""
    gan_step, _ = setup_training(gan, device=CPU, precision="fp16")
    for phase in gan_step.phases:
        set_scale(gan_step, phase, phases.get(phase, scale))
    return gan_step


def weights(module: nn.Module) -> list[torch.Tensor]:
    """Return copies of the weights."""
    return [weight.detach().clone() for weight in module.parameters()]


def trainer_of(gan: GANComponents, run: RunDirectory, precision: Precision = "fp16") -> Trainer:
    """Return a trainer in a run directory."""
    return Trainer(gan, run, device=CPU, precision=precision, context=TrainerContext(Callback()))


def test_networks_are_in_float16_and_the_scale_changes_nothing_but_rounding(assemble: Assemble) -> None:
    """The loss is near that in float32, not equal; scales of 2⁸ and 2¹⁶ give the same weights within rounding."""
    plain, half, larger = (assemble(*MLP, "optimizer=sgd") for _ in range(3))
    exact = stepped(plain, 10).last_stats["loss/discriminator"]
    gan_step = scaled(half, 2.0**8)
    take_steps(gan_step, 10)
    assert 0 < abs(float(gan_step.last_stats["loss/discriminator"] - exact)) < 1e-3
    take_steps(scaled(larger, 2.0**16), 10)
    assert difference(half, larger) < 1e-6


def test_a_batch_in_parts_gives_the_same_weights_in_float16(assemble: Assemble) -> None:
    """All parts of a batch are scaled alike, and divided by the scale once."""
    whole, parts = (assemble(*MLP, "optimizer=sgd", f"gradient_accumulation={parts}") for parts in (1, 4))
    stepped(whole, 10, "fp16")
    stepped(parts, 10, "fp16")
    assert difference(whole, parts) < 1e-5


@pytest.mark.parametrize("clip", [(), ("optimizer.disc.clip_norm=0.1",)], ids=["plain", "clipped"])
def test_an_overflow_skips_the_update_of_that_network_alone(clip: tuple[str, ...], assemble: Assemble) -> None:
    """The discriminator keeps its weights and moments and halves its scale; the generator is updated, and keeps its."""
    gan = assemble(*MLP, *clip)
    gan_step = scaled(gan, 2.0**10, disc=HUGE)
    before = weights(gan.discriminator), weights(gan.generator)
    take_steps(gan_step, 1)
    stats = {name: float(value) for name, value in gan_step.last_stats.items()}
    assert all(math.isfinite(value) for value in stats.values())
    assert (stats["loss_scale/disc"], stats["overflows/disc"]) == (HUGE / 2, 1)
    assert (stats["loss_scale/gen"], stats["overflows/gen"]) == (2.0**10, 0)
    assert all(map(torch.equal, before[0], weights(gan.discriminator)))
    assert not any(map(torch.equal, before[1], weights(gan.generator)))
    moments = [state["exp_avg"] for state in gan_step.phases["disc"].optimizer.state.values()]
    assert not any(bool(moment.any()) for moment in moments)


def test_each_step_of_an_update_is_checked(r1: Registry) -> None:
    """The loss overflows in float16; the step that R1 has of its own, in float32, does not, and is taken."""
    gan = build(tiny(r1, *MLP, "term=plain-r1", "term.own_step=true"))
    gan_step = scaled(gan, 2.0**10, disc=HUGE)
    before = weights(gan.discriminator)
    take_steps(gan_step, 1)
    assert float(gan_step.last_stats["overflows/disc"]) == 1
    assert not all(map(torch.equal, before, weights(gan.discriminator)))
    assert max(float(state["step"]) for state in gan_step.phases["disc"].optimizer.state.values()) == 1


def test_terms_are_in_float32(r1: Registry) -> None:
    """The first value of a gradient penalty has the same bits in float16 and in float32."""
    settings = (*MLP, "term=plain-r1")
    precisions: tuple[Precision, ...] = ("fp32", "fp16")
    values = [stepped(build(tiny(r1, *settings)), 1, precision).last_stats for precision in precisions]
    assert torch.equal(values[0]["term/plain-r1"], values[1]["term/plain-r1"])
    assert not torch.equal(values[0]["loss/discriminator"], values[1]["loss/discriminator"])


def test_an_optimizer_that_evaluates_the_gradient_repeats_instead_of_skipping() -> None:
    """Extragradient evaluates again at half the scale until nothing overflows: the bits of a start at that scale."""
    parts = Registry.discover([ROOT / "tests" / "methods" / "extragradient.py"], no_plugins=True)
    settings = (*MLP, "optimizer.gen=extragradient", "optimizer.disc=extragradient")
    overflowing, fitting = (build(tiny(parts, *settings)) for _ in range(2))
    gan_step = scaled(overflowing, 2.0**24)
    take_steps(gan_step, 1)
    scales = {phase: float(gan_step.last_stats[f"loss_scale/{phase}"]) for phase in gan_step.phases}
    assert max(scales.values()) < 2.0**24
    assert float(gan_step.last_stats["overflows/disc"]) == math.log2(2.0**24 / scales["disc"])
    take_steps(scaled(fitting, 1.0, **scales), 1)
    assert difference(overflowing, fitting) == 0


def test_ranks_skip_together(assemble: Assemble) -> None:
    """Averaged gradients are checked: an overflow of another rank skips the update of this one."""

    class Overflowing(DistContext):
        """Two ranks, of which the other's gradients overflow."""

        def all_reduce_gradients(self, weights: Iterable[nn.Parameter]) -> None:
            for weight in weights:
                assert weight.grad is not None
                weight.grad += math.inf

    gan = assemble(*MLP)
    gan_step = scaled(gan, 2.0**10)
    gan_step.dist = gan_step.random.dist = Overflowing(rank=0, world_size=2)
    before = weights(gan.discriminator)
    take_steps(gan_step, 1)
    assert all(map(torch.equal, before, weights(gan.discriminator)))
    assert float(gan_step.last_stats["overflows/disc"]) == 1


def test_an_update_without_gradients_is_no_overflow(assemble: Assemble) -> None:
    """A loss that depends on no weight leaves weights and scale as they are."""
    gan = assemble(*MLP)
    gan_step = scaled(gan, 2.0**10)
    phase = gan_step.phases["gen"]
    phase.loss_fn = lambda part, update, index: (
        torch.zeros(()),
        {"loss/generator": torch.zeros(())},
        gan_step.train_step("gen", part, update),
    )
    before = weights(gan.generator)
    take_steps(gan_step, 2)
    assert all(map(torch.equal, before, weights(gan.generator)))
    assert float(gan_step.last_stats["loss_scale/gen"]) == 2.0**10


def test_gradients_that_never_fit_have_diverged(
    assemble: Assemble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An overflow does not end the run; gradients that are infinite at the smallest scale do, and name the network."""
    trainer = trainer_of(assemble(*MLP, "steps=20", "log_every=1"), RunDirectory.create(tmp_path / "run", "run"))
    gradients = GANStep.gradients

    def infinite(self: GANStep, *arguments: object, **options: object) -> object:
        result = gradients(self, *arguments, **options)  # type: ignore[arg-type]  # passed on
        for weight in self.gan.discriminator.parameters():
            if weight.grad is not None:
                weight.grad += math.inf
        return result

    monkeypatch.setattr(GANStep, "gradients", infinite)
    set_scale(trainer.gan_step, "disc", MIN_SCALE * 8)
    with Interruption() as interruption, pytest.raises(DivergedError, match="step 4: gradients of disc are not finite"):
        trainer.train(interruption)
    rows = read_rows(trainer.run.metrics)
    assert [row["overflows/disc"] for row in rows] == [1, 2, 3]
    assert [row["overflows/gen"] for row in rows] == [0, 0, 0]


def test_scale_and_overflows_are_resumed(registry: Registry, tmp_path: Path) -> None:
    """state.json holds each network's scaler; a run that continues in float32 ignores them and drops their columns."""
    run = RunDirectory(tmp_path / "run")
    launch.start_run(prepare(tiny(registry, *MLP, "steps=3", "precision=fp16"), registry), out=run.path)
    checkpoint = checkpoints.load(run.checkpoint_path(3))
    moved = {"scale": 32.0, "growth_tracker": 1999, "overflows": 7}
    state = {**checkpoint.state, "scalers": {"disc": moved, "gen": moved}}
    resumed = trainer_of(build(tiny(registry, *MLP, "steps=9")), run)
    load_checkpoint(resumed, Checkpoint(checkpoint.tensors, state))
    assert resumed.state()["scalers"] == state["scalers"]
    take_steps(resumed.gan_step, 1)
    assert resumed.state()["scalers"]["gen"] == {"scale": 64.0, "growth_tracker": 0, "overflows": 7}
    plain = trainer_of(build(tiny(registry, *MLP, "steps=9")), run, "fp32")
    load_checkpoint(plain, Checkpoint(checkpoint.tensors, state))
    assert plain.state()["scalers"] == {}
    assert not any(name.startswith(("loss_scale", "overflows")) for name in plain.gan_step.last_stats)


@pytest.mark.parametrize(
    ("scalers", "message"),
    [
        ({"disc": {"scale": 1.0, "growth_tracker": 0, "overflows": 0}}, "scalers: disc; required: disc, gen"),
        ({"disc": {"scale": 0.0, "growth_tracker": 0, "overflows": 0}}, "scalers.disc.scale"),
        ({"disc": {"scale": 1.0, "growth_tracker": 2**31, "overflows": 0}}, "scalers.disc.growth_tracker"),
    ],
    ids=["missing", "zero", "large"],
)
def test_impossible_scalers_are_refused(
    scalers: dict[str, object], message: str, registry: Registry, tmp_path: Path
) -> None:
    """A state.json with other networks or impossible numbers is one error that names them."""
    run = RunDirectory(tmp_path / "run")
    launch.start_run(prepare(tiny(registry, *MLP, "steps=1", "precision=fp16"), registry), out=run.path)
    checkpoint = checkpoints.load(run.checkpoint_path(1))
    run.checkpoint_path(1).rename(tmp_path / "old")
    trainer = trainer_of(build(tiny(registry, *MLP, "steps=9")), run)
    checkpoints.save(run, Checkpoint(checkpoint.tensors, {**checkpoint.state, "scalers": scalers}))
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(trainer, checkpoints.load(run.checkpoint_path(1)))

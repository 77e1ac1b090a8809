"""Parts of an update (accumulation, clipping, schedules, reused fakes) against loops written by hand."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

from ganforge.builtin.models.mlp import Dropout, MlpDiscriminator
from ganforge.data.loader import Batch
from ganforge.errors import CheckpointError, ConfigError, DivergedError, UsageError
from ganforge.plugins.registry import Registry
from ganforge.runs import launch
from ganforge.runs.setup import prepare
from ganforge.schemas.rows import EvaluationRow
from ganforge.training import checkpoint as checkpoints
from ganforge.training.build import GANComponents
from ganforge.training.callbacks import Callback, TrainerContext
from ganforge.training.ema import GeneratorEma
from ganforge.training.optim import Schedules
from ganforge.training.precision import Precision
from ganforge.training.random_draws import BatchSlice, StepRandomness
from ganforge.training.resume import load_checkpoint, restore_counters, roll_back
from ganforge.training.run_directory import RunDirectory
from ganforge.training.setup import setup_training
from ganforge.training.step import GANStep
from ganforge.training.timing import ThroughputMeter
from ganforge.training.trainer import Trainer
from ganforge.utils.devices import float32_matmul
from ganforge.utils.rng import derive_generator
from ganforge.utils.signals import Interruption
from tests.helpers.checkpoints import digests
from tests.helpers.run_directories import evaluation
from tests.helpers.runs import read_rows, read_rows_without_times, tiny
from tests.helpers.updates import CPU, MLP, Assemble, difference, loader_of, stepped


def test_a_batch_in_parts_gives_the_same_weights(assemble: Assemble) -> None:
    """Gradients accumulated over four parts are those of the whole batch: 20 steps, 1e-6."""
    whole, parts = assemble(*MLP), assemble(*MLP, "gradient_accumulation=4")
    stepped(whole, 20)
    stepped(parts, 20)
    assert 0 < difference(whole, parts) < 1e-6


@pytest.mark.parametrize(
    "draw", [lambda rng: torch.normal(torch.zeros(2), 1.0, generator=rng), lambda rng: torch.rand(3, generator=rng)]
)
def test_draws_of_other_sizes_are_those_of_torch(draw: Callable[[torch.Generator], Tensor]) -> None:
    """A draw from tensors, or of another size than the part of a batch, is not cut from one of the whole batch."""
    randomness = StepRandomness(BatchSlice(2, 2, 4), None)
    rng = randomness.track(lambda _: torch.Generator().manual_seed(3))("term/x")
    with randomness:
        drawn = draw(rng)
    assert torch.equal(drawn, draw(torch.Generator().manual_seed(3)))


def test_diversity_is_a_ratio_of_mean_squared_distances(assemble: Assemble) -> None:
    """`health/diversity` is the mean squared pairwise distance of fakes over that of real images."""
    gan = assemble(*MLP)
    gan_step, _ = setup_training(gan, device=CPU, precision="fp32")
    real = loader_of(gan).batch(0).images
    with torch.no_grad():
        fake = gan.generator(gan.latent.sample(len(real), 100, derive_generator(0, "latents/discriminator", 0)))
    row = gan_step.update("disc", loader_of(gan).batch(0), 0, 0)
    among_fakes, among_real = (
        torch.cdist(images.flatten(1), images.flatten(1)).square().mean() for images in (fake, real)
    )
    assert float(row["health/diversity"]) == pytest.approx(float(among_fakes / among_real), rel=1e-4)


@pytest.mark.parametrize(("images_seen", "halflife"), [(1_000, 50), (100_000, 500)])
def test_moving_average_follows_weights_and_copies_statistics(
    images_seen: int, halflife: int, assemble: Assemble
) -> None:
    """Weights count half after the half-life, at most a twentieth of the images; batch norm's buffers are copied."""
    generator = assemble("gen=dcgan", "gen.base_channels=2", *MLP[1:2]).generator
    average = GeneratorEma(generator, halflife_images=500)
    before = {name: value.clone() for name, value in average.generator.state_dict().items()}
    with torch.no_grad():
        for value in generator.state_dict().values():
            value.add_(1)
    average.update(generator, images_seen=images_seen, new_images=60)
    for name, value in average.generator.named_parameters():
        torch.testing.assert_close(value.detach(), before[name] + 1 - 0.5 ** (60 / halflife))
    buffers = dict(average.generator.named_buffers())
    assert len(buffers) > 2
    assert all(torch.equal(value, before[name] + 1) for name, value in buffers.items())


def test_judging_in_one_call_gives_the_same_weights(assemble: Assemble, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `batch_independent` discriminator may process real and fake images in one call: 20 steps, 1e-6."""
    together = assemble(*MLP)
    stepped(together, 20)
    monkeypatch.setattr(MlpDiscriminator, "batch_independent", False)
    apart = assemble(*MLP)
    stepped(apart, 20)
    assert difference(together, apart) < 1e-6


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_gradients_are_clipped_to_their_norm(precision: Precision, assemble: Assemble) -> None:
    """An update of plain SGD is the learning rate times the gradient, whose norm is exactly `clip_norm`."""
    settings = ("optimizer=sgd", "optimizer.lr=1.0", "optimizer.disc.clip_norm=0.01", "optimizer.gen.clip_norm=0.001")
    gan, before = assemble(*MLP, *settings), assemble(*MLP, *settings)
    stepped(gan, 1, precision)
    for network, length in (("discriminator", 0.01), ("generator", 0.001)):
        changes = zip(getattr(gan, network).parameters(), getattr(before, network).parameters(), strict=True)
        moved = torch.cat([(new - old).detach().flatten() for new, old in changes])
        assert float(moved.norm()) == pytest.approx(length, rel=1e-3)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ((), [1, 1, 1, 1, 1]),
        (("optimizer.warmup_steps=4",), [0.25, 0.5, 0.75, 1, 1]),
        (("optimizer.schedule=linear",), [1, 0.99, 0.98, 0.97, 0.96]),
        (("optimizer.schedule=linear", "optimizer.schedule.start=0.5"), [1, 1, 1, 1, 1]),
        (("optimizer.schedule=linear", "optimizer.schedule.final=0.5"), [1, 0.995, 0.99, 0.985, 0.98]),
        (("optimizer.schedule=cosine",), [(1 + math.cos(math.pi * step / 100)) / 2 for step in range(5)]),
    ],
)
def test_learning_rates_are_functions_of_the_step(
    settings: tuple[str, ...], expected: list[float], registry: Registry
) -> None:
    """Warm-up, linear and cosine decay have their formulas' values."""
    schedules = Schedules(tiny(registry, "optimizer.lr=2.0", *settings), 100)
    for phase in ("gen", "disc"):
        rates = [schedules.learning_rate(phase, step) for step in range(5)]
        assert rates == pytest.approx([2 * share for share in expected])


def test_decay_starts_late_and_ends_at_zero(registry: Registry) -> None:
    """Linear decay that starts at 3/4 of the steps is 0.5 at 7/8, and 0 at the end and after it."""
    resolved = tiny(registry, "optimizer.lr=1.0", "optimizer.schedule=linear", "optimizer.schedule.start=0.75")
    rates = [Schedules(resolved, 800).learning_rate("gen", step) for step in (600, 700, 800, 900)]
    assert rates == pytest.approx([1, 0.5, 0, 0])


def test_optimizer_options_and_weights_are_scheduled(assemble: Assemble) -> None:
    """A schedule of betas reaches the optimizer of its phase alone; one of the EMA's half-life is its factor."""
    settings = ("schedules.optimizer.disc.betas.1=linear", "schedules.optimizer.disc.betas.1.final=0.5")
    average = ("schedules.ema_halflife_images=linear", "ema_halflife_images=1000", "steps=10")
    gan = assemble(*MLP, *settings, *average)
    gan_step = stepped(gan, 6)
    second = gan_step.phases["disc"].optimizer.param_groups[0]["betas"][1]
    assert second == pytest.approx(0.999 * (1 - 0.5 * 5 / 10))
    assert gan_step.phases["gen"].optimizer.param_groups[0]["betas"] == (0.5, 0.999)
    assert gan_step.schedules.factor("ema_halflife_images", 4) == pytest.approx(0.6)


def test_a_term_of_weight_zero_changes_no_weight(assemble: Assemble) -> None:
    """With a weight of 0 both networks stay as they are."""
    gan, untrained = assemble(*MLP, "loss.weight=0"), assemble(*MLP)
    stepped(gan, 2)
    assert difference(gan, untrained) == 0


def test_schedules_scale_each_group(registry: Registry) -> None:
    """Groups with values of their own keep their ratios, and clipping is scheduled too."""
    settings = ("schedules.optimizer.gen.weight_decay=linear", "optimizer.gen.weight_decay=0.1")
    clipping = ("optimizer.gen.clip_norm=2.0", "schedules.optimizer.gen.clip_norm=linear")
    schedules = Schedules(tiny(registry, *settings, *clipping), 10)
    weights = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    groups: list[dict[str, Any]] = [{"params": weights[:1]}, {"params": weights[1:], "weight_decay": 0.0, "lr": 1e-4}]
    optimizer = torch.optim.Adam(groups, lr=2e-4, weight_decay=0.1)
    schedules.register("gen", optimizer)
    schedules.apply("gen", optimizer, 5)
    assert [group["weight_decay"] for group in optimizer.param_groups] == pytest.approx([0.05, 0])
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([2e-4, 1e-4])
    assert schedules.clip_norm("gen", 5) == pytest.approx(1.0)


def test_the_engine_applies_the_schedule(assemble: Assemble) -> None:
    """SGD's first update under a warm-up of four steps is a quarter of that without warm-up."""
    plain, warming = (
        assemble(*MLP, "steps=8", "optimizer=sgd", f"optimizer.disc.warmup_steps={count}") for count in (0, 4)
    )
    start = assemble(*MLP)
    for gan in (plain, warming):
        stepped(gan, 1)
    for full, quarter, old in zip(
        plain.discriminator.parameters(), warming.discriminator.parameters(), start.discriminator.parameters(),
        strict=True,
    ):  # fmt: skip
        torch.testing.assert_close(quarter - old, (full - old) / 4, rtol=1e-3, atol=1e-8)


def test_fakes_may_be_used_by_both_networks(assemble: Assemble) -> None:
    """With `reuse_fakes` the generator is updated on the discriminator's fakes, as in a plain loop."""
    gan, hand = assemble(*MLP, "reuse_fakes=true"), assemble(*MLP)
    stepped(gan, 5)
    generator, discriminator, loader = hand.generator, hand.discriminator, loader_of(hand)
    optimizers = [
        torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999)) for network in (discriminator, generator)
    ]
    for index in range(5):
        fake = generator(hand.latent.sample(60, 100, derive_generator(0, "latents/discriminator", index)))
        real_logits = discriminator(loader.batch(index).images).logits
        fake_logits = discriminator(fake.detach()).logits
        optimizers[0].zero_grad()
        (softplus(-real_logits).mean() + softplus(fake_logits).mean()).backward()
        optimizers[0].step()
        optimizers[1].zero_grad()
        softplus(-discriminator(fake).logits).mean().backward()
        optimizers[1].step()
    assert difference(gan, hand) < 1e-6


def test_several_generator_steps_for_each_of_the_discriminator(registry: Registry, tmp_path: Path) -> None:
    """With three generator steps the discriminator is updated every third step, and images are counted accordingly."""
    settings = (*MLP, "steps=7", "generator_steps=3", "log_every=1", "checkpoint_every=1", "keep_checkpoints=9")
    run = RunDirectory(tmp_path / "run")
    outcome = launch.start_run(prepare(tiny(registry, *settings), registry), out=run.path)
    assert outcome.images_seen == 3 * 60
    rows = read_rows(run.metrics)
    assert [row["images_seen"] for row in rows] == [60, 60, 60, 120, 120, 120, 180]
    losses = [row["loss/discriminator"] for row in rows]
    assert losses[0] == losses[1] == losses[2] != losses[3] == losses[4] == losses[5] != losses[6]
    assert len({row["loss/generator"] for row in rows}) == 7


def test_schedules_count_steps_in_every_phase(assemble: Assemble, tmp_path: Path) -> None:
    """With three generator steps the discriminator's rate is that of the step, not of its third as many updates."""
    settings = ("steps=7", "generator_steps=3", "optimizer=sgd", "optimizer.lr=0.7", "optimizer.schedule=linear")
    trainer = trainer_of(assemble(*MLP, *settings), tmp_path / "run")
    with Interruption() as interruption:
        trainer.train(interruption)
    rates = {name: phase.optimizer.param_groups[0]["lr"] for name, phase in trainer.gan_step.phases.items()}
    assert rates == pytest.approx({"disc": 0.1, "gen": 0.1})


def test_metrics_are_read_every_ten_steps(assemble: Assemble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device is waited for at every tenth step, at those where something is due, and at the end."""
    trainer = trainer_of(assemble(*MLP, "steps=25", "batch_size=8", "checkpoint_every=13"), tmp_path / "run")
    flush, steps = trainer.metrics.flush, list[int]()

    def record() -> dict[int, dict[str, float]]:
        steps.append(trainer.step)
        return flush()

    monkeypatch.setattr(trainer.metrics, "flush", record)
    with Interruption() as interruption:
        trainer.train(interruption)
    assert list(dict.fromkeys(steps)) == [10, 13, 20, 25]


def test_speed_is_that_of_training_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window has its own images and time, without pauses; the run's speed is their median, without the first two."""
    now = 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    meter = ThroughputMeter(elapsed_before=100.0)
    before = meter.images_per_second
    assert before is None
    now = 2.0
    assert meter.window(20) == 10
    now = 3.0
    with meter.paused():
        now = 7.0
    now = 8.0
    assert meter.window(40) == 20
    assert (meter.images_per_second, meter.elapsed_seconds) == (15, 108)
    for end in (9.0, 10.0, 11.0):
        now = end
        meter.window(30)
    assert meter.images_per_second == 30


@pytest.mark.parametrize(("step", "seconds"), [(9, 5.0), (10, 7.0), (12, 7.0)])
def test_evaluations_after_the_last_row_count_as_elapsed(
    step: int, seconds: float, assemble: Assemble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row has the time before the evaluation of its step; that of `ganforge evaluate` never counts."""
    trainer = trainer_of(assemble(*MLP), tmp_path / "run")
    rows = [EvaluationRow(**evaluation(step, 1.0, seconds=2.0, source=name)) for name in ("training", "evaluate")]
    monkeypatch.setattr(trainer.writer, "rows", lambda: ([{"step": 10, "elapsed_seconds": 5.0}], rows))
    restore_counters(trainer)
    assert trainer.meter.elapsed_seconds == pytest.approx(seconds, abs=0.5)
    assert trainer.budget.seconds == 2.0


def test_stopping_between_two_discriminator_updates_changes_no_bit(registry: Registry, tmp_path: Path) -> None:
    """With lazy statistics and a kept batch, resuming after any step gives the same files and rows."""
    settings = (*MLP, "generator_steps=3", "log_every=1", "checkpoint_every=100")
    straight, resumed = RunDirectory(tmp_path / "straight"), RunDirectory(tmp_path / "resumed")
    launch.start_run(prepare(tiny(registry, *settings, "steps=8"), registry), out=straight.path)
    launch.start_run(prepare(tiny(registry, *settings, "steps=2"), registry), out=resumed.path)
    launch.resume_run(resumed, registry, launch.ResumeOverrides(steps=5))
    launch.resume_run(resumed, registry, launch.ResumeOverrides(steps=8))
    assert digests(resumed) == digests(straight)
    assert read_rows_without_times(resumed.metrics) == read_rows_without_times(straight.metrics)


def test_extending_a_schedule_warns(registry: Registry, tmp_path: Path) -> None:
    """Extending a run with a schedule warns that its learning rates change."""
    run = RunDirectory(tmp_path / "run")
    launch.start_run(prepare(tiny(registry, *MLP, "steps=2", "optimizer.gen.schedule=cosine"), registry), out=run.path)
    with pytest.warns(UserWarning, match="schedules now end at the new last step"):
        launch.resume_run(run, registry, launch.ResumeOverrides(steps=3))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (("reuse_fakes=true", "generator_steps=2"), "generator_steps must be 1"),
        (("reuse_fakes=true", "gradient_accumulation=2"), "gradient_accumulation must be 1"),
        (("gradient_accumulation=7",), "batch_size 60 cannot be divided into 7 equal parts"),
        (("optimizer.clip_norm=-1",), "clip_norm"),
        (("optimizer.schedule=cosin",), "did you mean 'cosine'"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    settings: tuple[str, ...], reason: str, registry: Registry
) -> None:
    """The message names the setting to change."""
    with pytest.raises(UsageError, match=reason):
        tiny(registry, *settings)


def explode(trainer: Trainer, monkeypatch: pytest.MonkeyPatch, at: set[int]) -> list[float]:
    """Let the generator's loss be infinite at some steps; return the factors of the learning rate there."""
    factors: list[float] = []
    original = GANStep.update

    def update(self: GANStep, name: str, batch: Batch, index: int, step: int) -> dict[str, Tensor]:
        stats = original(self, name, batch, index, step)
        if name == "gen" and self is trainer.gan_step and step + 1 in at:
            factors.append(self.schedules.lr_scale)
            stats["loss/generator"] = stats["loss/generator"] * math.inf
        return stats

    monkeypatch.setattr(GANStep, "update", update)
    return factors


def trainer_of(gan: GANComponents, path: Path) -> Trainer:
    """Return a trainer in a fresh run directory."""
    return trainer_in(gan, RunDirectory.create(path, "run"))


def trainer_in(gan: GANComponents, run: RunDirectory, callback: Callback | None = None) -> Trainer:
    """Return a trainer in a run directory."""
    return Trainer(gan, run, device=CPU, precision="fp32", context=TrainerContext(callback or Callback()))


def test_numbers_are_read_every_ten_steps(assemble: Assemble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a number waits for the device, so it happens at multiples of ten and at the end alone."""
    settings = (*MLP, "steps=25", "checkpoint_every=100", "sample_every=100", "log_every=100")
    trainer = trainer_of(assemble(*settings), tmp_path / "run")
    steps: list[int] = []
    flush = trainer.metrics.flush

    def noted() -> Any:
        steps.append(trainer.step)
        return flush()

    monkeypatch.setattr(trainer.metrics, "flush", noted)
    with Interruption() as interruption:
        trainer.train(interruption)
    assert sorted(set(steps)) == [10, 20, 25]


def test_rolling_back_halves_the_learning_rate_and_gives_up_in_the_end(
    assemble: Assemble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`on_nan=rollback` restores the last checkpoint and halves the rate, three times, then raises DivergedError.

    Alerts are reported after each rollback. Without a checkpoint it is one error.
    """
    settings = (*MLP, "steps=30", "checkpoint_every=10", "log_every=1", "on_nan=rollback")
    trainer = trainer_of(assemble(*settings), tmp_path / "run")
    alerts: list[Any] = []
    monkeypatch.setattr(trainer.context.callback, "on_alert", alerts.append)
    factors = explode(trainer, monkeypatch, {15})
    with Interruption() as interruption, pytest.raises(DivergedError, match=r"step 15: .* after 3 rollbacks"):
        trainer.train(interruption)
    assert factors == [1, 0.5, 0.25, 0.125]
    assert alerts == [[]] * 4
    assert [row["step"] for row in read_rows(trainer.run.metrics)] == list(range(1, 15))
    trainer.rollbacks = 0
    shutil.rmtree(trainer.run.checkpoints)
    with pytest.raises(CheckpointError, match="has no checkpoint for a rollback"):
        roll_back(trainer, DivergedError("step 15"))


def test_run_finishes_after_one_rollback(assemble: Assemble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that is infinite once is trained again, no row is repeated, and a resumed run has the same state."""
    settings = (*MLP, "steps=30", "checkpoint_every=10", "log_every=1", "on_nan=rollback")
    trainer = trainer_of(assemble(*settings), tmp_path / "run")
    at = {5}
    factors = explode(trainer, monkeypatch, at)
    reset = trainer.metrics.reset

    def reset_once() -> None:
        at.clear()
        reset()

    monkeypatch.setattr(trainer.metrics, "reset", reset_once)
    with Interruption() as interruption:
        trainer.train(interruption)
    assert factors == [1]
    assert [row["step"] for row in read_rows(trainer.run.metrics)] == list(range(1, 31))
    assert trainer.state()["rollbacks"] == 1
    resumed = trainer_in(assemble(*settings), trainer.run)
    load_checkpoint(resumed, checkpoints.load(trainer.run.checkpoint_path(30)))
    restore_counters(resumed)
    assert resumed.state() == trainer.state()
    assert resumed.gan_step.schedules.lr_scale == 0.5
    assert resumed.losses == trainer.losses != {}


def test_rolling_back_between_two_discriminator_updates_restores_the_batch(
    assemble: Assemble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps that are trained again have the same real images, also those of a discriminator's earlier update."""
    settings = (*MLP, "steps=12", "generator_steps=3", "checkpoint_every=4", "on_nan=rollback")
    trainer = trainer_of(assemble(*settings), tmp_path / "run")
    real: dict[int, list[Tensor]] = {}
    original = GANStep.update

    def update(self: GANStep, name: str, batch: Batch, index: int, step: int) -> dict[str, Tensor]:
        stats = original(self, name, batch, index, step)
        real.setdefault(step, []).append(batch.images)
        if step == 7 and trainer.rollbacks == 0:
            stats["loss/generator"] = stats["loss/generator"] * math.inf
        return stats

    monkeypatch.setattr(GANStep, "update", update)
    with Interruption() as interruption:
        trainer.train(interruption)
    assert [len(real[step]) for step in (3, 4, 5, 7)] == [
        2,
        2,
        2,
        2,
    ]  # both networks at step 3, then twice the generator
    assert trainer.rollbacks == 1
    assert all(torch.equal(*real[step]) for step in (4, 5, 7))


def test_every_saved_grid_is_previewed_and_networks_train(assemble: Assemble, tmp_path: Path) -> None:
    """Grids reach a callback that wants no further previews; batch norm of a generator in eval mode trains anyway.

    Products are in float32, whatever the process has set.
    """
    samples: list[Tensor] = []

    class Watcher(Callback):
        def on_sample(self, images: Tensor) -> None:
            assert torch.get_float32_matmul_precision() == "highest"
            samples.append(images)

    gan = assemble("gen=dcgan", "gen.base_channels=2", *MLP[1:2], MLP[3], "steps=4", "batch_size=8", "sample_every=2")
    gan.generator.eval()
    with Interruption() as interruption, float32_matmul(tf32=True):
        trainer_in(gan, RunDirectory.create(tmp_path / "run", "run"), Watcher()).train(interruption)
    assert [images.shape for images in samples] == [(10, 1, 28, 28)] * 3
    counts = [value.item() for name, value in gan.generator.named_buffers() if name.endswith("num_batches_tracked")]
    assert counts
    assert set(counts) == {8}  # the fakes of both networks' updates


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    """A share of 0.3 is dropped within five standard deviations; the others are scaled; evaluation changes nothing."""
    layer, values = Dropout(0.3), torch.ones(400, 500)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        dropped = layer(values)
        again = layer(values)
    share = float((dropped == 0).float().mean())
    assert abs(share - 0.3) < 5 * math.sqrt(0.3 * 0.7 / values.numel())
    torch.testing.assert_close(
        dropped[dropped != 0], torch.full_like(dropped[dropped != 0], 1 / 0.7), rtol=1e-4, atol=0
    )
    both = float(((dropped == 0) & (again == 0)).float().mean())
    assert abs(both - 0.09) < 5 * math.sqrt(0.09 * 0.91 / values.numel())
    for axis in (0, 1):  # no row or column is special
        spread = (dropped == 0).float().mean(axis)
        assert float((spread - 0.3).abs().max()) < 6 * math.sqrt(0.21 / dropped.shape[axis])
    assert layer.eval()(values) is values
    assert Dropout(0.0)(values) is values


def test_dropout_passes_gradients_where_it_passes_values() -> None:
    """The gradient of the sum is the scale where a number was kept and 0 where it was dropped; odd sizes work."""
    values = torch.ones(3, 7, requires_grad=True)
    with torch.random.fork_rng(devices=[]):
        dropped = Dropout(0.5)(values)
    dropped.sum().backward()
    assert values.grad is not None
    torch.testing.assert_close(values.grad, dropped.detach())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("optimizer=sgd", "optimizer.nesterov=true"), "nesterov needs a momentum above 0"),
        (("optimizer.lr=inf",), "optimizer.disc.lr = inf (command line): input should be a finite number"),
        (("optimizer.lr=fast",), "optimizer.disc.lr = 'fast'"),
        (("optimizer.schedule.start=0.5",), "start"),
        (("optimizer.disc=rmsprop", "optimizer.betas=[0.0, 0.9]"), "optimizer.disc is 'rmsprop'"),
        (("critic_steps=1001",), "critic_steps = 1001"),
        (("gradient_accumulation=7",), "into 6 it can"),
    ],
)
def test_values_that_cannot_be_are_named_once(settings: tuple[str, ...], message: str, registry: Registry) -> None:
    """Values that would fail within torch, or train nothing, are refused once, by the setting's name."""
    with pytest.raises(ConfigError) as caught:
        tiny(registry, *settings)
    assert str(caught.value).count(message) == 1, caught.value


def test_invalid_resume_overrides_are_refused(registry: Registry, tmp_path: Path) -> None:
    """Overrides are validated like any setting, and a refused one leaves the run unchanged."""
    run = RunDirectory(tmp_path / "run")
    launch.start_run(prepare(tiny(registry, *MLP, "steps=2"), registry), out=run.path)
    before = run.config.read_text()
    for changes in (
        launch.ResumeOverrides(workers=-1),
        launch.ResumeOverrides(steps=-5),
        launch.ResumeOverrides(steps=2.5),  # type: ignore[arg-type]
    ):
        with pytest.raises(ConfigError, match=r"workers = -1|steps = -5|steps = 2.5"):
            launch.resume_run(run, registry, changes)
    assert run.config.read_text() == before

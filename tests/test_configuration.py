"""Layers of settings: what wins, where it came from, and what is refused."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import tiny

from ganforge.components import DiscriminatorOutput, Loss, Penalty
from ganforge.components.spec import Component
from ganforge.config import Experiment, Layer, command_line_layer, from_document, preset_layer, to_document
from ganforge.config.layers import experiment_layer
from ganforge.config.resolve import resolve
from ganforge.config.resolved import ResolvedConfig
from ganforge.errors import ConfigError, UnknownComponentError
from ganforge.plugins import Plugins, Source
from ganforge.plugins.registry import Registry

Ganforge = Callable[..., subprocess.CompletedProcess[str]]


class Critic(Loss):
    """A loss that recommends, as WGAN-GP does."""

    recommended = {"critic_steps": 5, "optimizer.betas": (0.0, 0.9), "penalty": ["slope"]}  # noqa: RUF012

    def discriminator(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Any:
        return fake.logits - real.logits

    def generator(self, *, real: DiscriminatorOutput | None, fake: DiscriminatorOutput) -> Any:
        return -fake.logits


class Slope(Penalty):
    """A penalty with an option of its own."""

    class Options(Penalty.Options):
        """One option beside those of every penalty."""

        target: float = 1.0

    def measure(self, discriminator: Any, *, real: Any, fake: Any, labels: Any, rng: Any) -> Any:
        return real.flatten(1).square().sum(1) * 0


@pytest.fixture
def richer(registry: Registry) -> Registry:
    """Return a registry with a loss that recommends and a penalty."""
    source = Source("ganforge-critic", "1.0")
    plugins = Plugins()
    plugins.components = [
        *registry.plugins.components,
        (Component(kind="loss", name="critic", target=Critic), source),
        (Component(kind="penalty", name="slope", target=Slope), source),
        (Component(kind="penalty", name="other", target=Slope), source),
    ]
    return Registry(plugins)


def line(*settings: str) -> Layer:
    """Return settings as the command line gives them."""
    return command_line_layer(settings)


def test_later_layers_win_and_every_value_knows_its_origin(richer: Registry) -> None:
    """Defaults < recommended < preset < files, left to right < command line, left to right."""
    file, other = Layer("a.toml", {"seed": 1, "batch_size": 8}), Layer("b.toml", {"batch_size": 16})
    found = resolve([preset_layer("textbook"), file, other, line("batch_size=32", "batch_size=64")], richer)
    experiment = found.experiment
    assert (experiment.epochs, experiment.seed, experiment.batch_size) == (100, 1, 64)
    origins = {key: found.origin(key) for key in ("epochs", "seed", "batch_size", "keep_checkpoints")}
    assert origins == {
        "epochs": "preset textbook",
        "seed": "a.toml",
        "batch_size": "command line",
        "keep_checkpoints": "default",
    }


def test_what_a_component_recommends_applies_unless_it_was_set(richer: Registry) -> None:
    """A recommended value beats the default and nothing else; its origin names the component."""
    found = resolve([line("loss=critic", "optimizer.disc.betas=[0.5, 0.9]")], richer)
    experiment = found.experiment
    assert experiment.critic_steps == 5
    assert experiment.optimizer.gen.betas == (0.0, 0.9)  # type: ignore[union-attr]
    assert experiment.optimizer.disc.betas == (0.5, 0.9)  # type: ignore[union-attr]
    assert [penalty.name for penalty in experiment.penalty] == ["slope"]
    assert found.origin("critic_steps") == "recommended by loss critic"
    assert resolve([line("loss=critic", "critic_steps=2")], richer).experiment.critic_steps == 2
    assert resolve([line("loss=critic", "penalty=none")], richer).experiment.penalty == ()
    found = resolve([preset_layer("textbook"), line("loss=critic")], richer)
    assert (found.experiment.critic_steps, found.experiment.penalty) == (1, ())
    assert found.notices == [
        "preset textbook leaves out penalty slope, recommended by loss critic; to have it all the same: --penalty slope"
    ]
    assert resolve([preset_layer("textbook")], richer).notices == []


def test_recommended_betas_are_left_out_for_an_optimizer_without_them(richer: Registry) -> None:
    """What is recommended and does not apply is dropped; what a person sets and does not apply is an error."""
    experiment = resolve([line("loss=critic", "optimizer.name=sgd")], richer).experiment
    assert experiment.optimizer.gen.name == "sgd"
    with pytest.raises(ConfigError, match=r"optimizer\.gen is 'sgd', which has no option 'betas'"):
        resolve([line("optimizer.name=sgd", "optimizer.betas=[0, 0.9]")], richer)


def test_a_recommended_penalty_brings_its_options(richer: Registry) -> None:
    """A name and options of the same section may both be recommended, in any order, as WGAN-GP needs."""
    for keys in (("penalty", "penalty.slope.weight"), ("penalty.slope.weight", "penalty")):
        values = {"penalty": "slope", "penalty.slope.weight": 10}
        Critic.recommended, before = {key: values[key] for key in keys}, Critic.recommended
        try:
            (chosen,) = resolve([line("loss=critic")], richer).experiment.penalty
        finally:
            Critic.recommended = before
        assert (chosen.name, chosen.options["weight"]) == ("slope", 10.0)


def test_naming_another_optimizer_forgets_the_one_before(registry: Registry) -> None:
    """Adam's learning rate and betas, from wherever, do not become SGD's; its own defaults apply."""
    whole = to_document(resolve([], registry).experiment)
    for below in (preset_layer("textbook"), Layer("run.toml", whole)):
        found = resolve([below, line("optimizer=sgd")], registry).experiment.optimizer
        assert (found.gen.name, found.gen.lr) == ("sgd", 1e-2)
    python = experiment_layer(Experiment(optimizer={"gen": {"lr": 1e-3}}))  # type: ignore[arg-type]
    found = resolve(
        [Layer("recommended", {"optimizer": "rmsprop"}, advisory=True), python], registry
    ).experiment.optimizer
    assert (found.gen.name, found.gen.lr, found.disc.name) == ("rmsprop", 1e-3, "rmsprop")


def test_nothing_is_written_down_too(richer: Registry) -> None:
    """A setting that is switched off against a recommendation stays off when run.toml is repeated."""
    Critic.recommended, before = {"ema_halflife_images": 500}, Critic.recommended
    try:
        experiment = resolve([line("loss=critic", "ema_halflife_images=none")], richer).experiment
        again = resolve([Layer("run.toml", to_document(experiment))], richer).experiment
    finally:
        Critic.recommended = before
    assert experiment.ema_halflife_images is None
    assert again == experiment


def test_options_stand_in_their_component_s_own_table(registry: Registry) -> None:
    """A file's table for another component survives naming another one, and that is said."""
    file = Layer("a.toml", {"gen": {"name": "dcgan", "dcgan": {"base_channels": 8}, "mlp": {"hidden": [5]}}})
    found = resolve([file], registry)
    assert found.experiment.gen.options["base_channels"] == 8
    assert found.notices == ["[gen.mlp] (a.toml) is kept but not used: gen is dcgan"]
    found = resolve([file, line("gen=mlp")], registry)
    assert found.experiment.gen.options["hidden"] == [5]
    with pytest.raises(ConfigError, match=r"write it under \[gen.dcgan\]"):
        resolve([Layer("a.toml", {"gen": {"name": "dcgan", "base_channels": 8}})], registry)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("gen=dcgam",), "no generator 'dcgam'; did you mean 'dcgan'"),
        (("gen.base_chanels=4",), "no option 'base_chanels' .command line.; did you mean 'base_channels'"),
        (("gen.base_channels=many",), "gen.base_channels = 'many' .command line.: input should be a valid integer"),
        (("gen.base_channels=-1",), "greater than 0"),
        (("gen.dcgn.base_channels=4",), "no generator 'dcgn'; did you mean 'dcgan'"),
        (("batchsize=4",), "no setting 'batchsize' .command line.; did you mean 'batch_size'"),
        (("precision=fp16",), "precision = 'fp16' .command line.: input should be 'auto', 'fp32'"),
        (("optimizer=adan",), "no optimizer 'adan' .command line.; did you mean 'adam'"),
        (("optimizer.learning_rate=1",), "no option 'learning_rate'"),
        (("penalty.weight=2",), "no penalty is chosen"),
        (("seed=-1",), "greater than or equal to 0"),
        (("gen=5",), "is no component's name"),
        (("metric=sliced-wasserstein,sliced-wasserstein",), "twice"),
        (("nonsense",), "is no setting"),
    ],
)
def test_a_wrong_setting_is_one_clear_message(settings: tuple[str, ...], message: str, registry: Registry) -> None:
    """It names the key, where it came from, what is wrong, and the nearest right one."""
    with pytest.raises((ConfigError, UnknownComponentError), match=message):
        resolve([line(*settings)], registry)


def test_of_epochs_and_steps_the_later_counts(registry: Registry) -> None:
    """Naming steps above epochs replaces them, and the other way round; both in one file is an error."""
    found = resolve([preset_layer("textbook"), line("steps=10")], registry).experiment
    assert (found.epochs, found.steps) == (None, 10)
    found = resolve([Layer("a.toml", {"steps": 5}), line("epochs=2")], registry).experiment
    assert (found.epochs, found.steps) == (2, None)
    assert resolve([line("steps=3", "epochs=2")], registry).experiment.epochs == 2
    with pytest.raises(ConfigError, match=r"a.toml gives both"):
        resolve([Layer("a.toml", {"steps": 5, "epochs": 1})], registry)


def test_values_are_toml_literals_else_text() -> None:
    """Numbers, lists, truth and quoted text are read as TOML; the rest is text as it stands; dashes are underscores."""
    values = line("a=1e-4", "b=[1, 2]", "c=true", 'd="7"', "e=a b", "f-g=x=y", "h=2024-01-01").values
    assert values == {"a": 1e-4, "b": [1, 2], "c": True, "d": "7", "e": "a b", "f_g": "x=y", "h": "2024-01-01"}


def test_several_penalties_add_up_and_each_has_its_options(richer: Registry) -> None:
    """`--penalty slope --penalty other` chooses both; an option must then say whose it is."""
    settings = ("penalty=slope", "penalty=other", "penalty.slope.weight=3", "penalty.other.every=4")
    chosen = resolve([line(*settings)], richer).experiment.penalty
    assert [(item.name, item.options["weight"], item.options["every"]) for item in chosen] == [
        ("slope", 3.0, 1),
        ("other", 1.0, 4),
    ]
    with pytest.raises(ConfigError, match=r"could belong to any of several"):
        resolve([line("penalty=slope,other", "penalty.weight=3")], richer)
    alone = resolve([line("penalty=slope", "penalty.weight=3")], richer).experiment.penalty
    assert alone[0].options["weight"] == 3.0


def test_a_document_gives_its_experiment_back(richer: Registry) -> None:
    """What run.toml holds resolves to the same experiment, with every option written out."""
    experiment = resolve([line("loss=critic", "gen=mlp", "steps=4", "evaluate_every=2")], richer).experiment
    document = to_document(experiment)
    assert from_document(document) == experiment
    assert resolve([Layer("run.toml", document)], richer).experiment == experiment


def test_the_preset_is_the_textbook_s_training(registry: Registry) -> None:
    """Adam 0.0002 with betas (0.5, 0.999) for both, batch 60, 100 epochs, one critic step, float32, latents of 100."""
    experiment = resolve([preset_layer("textbook")], registry).experiment
    for options in (experiment.optimizer.gen, experiment.optimizer.disc):
        assert (options.name, options.lr, options.betas) == ("adam", 2e-4, (0.5, 0.999))  # type: ignore[union-attr]
    assert (experiment.epochs, experiment.batch_size, experiment.critic_steps) == (100, 60, 1)
    assert (experiment.precision, experiment.ema_halflife_images) == ("fp32", None)
    assert experiment.gen.options["latent_dim"] == 100
    assert resolve([], registry).experiment.epochs == 20
    with pytest.raises(ConfigError, match="did you mean 'textbook'"):
        preset_layer("text-book")


def test_an_experiment_from_python_sets_only_what_it_names(registry: Registry) -> None:
    """What was left out of it takes the defaults, as on the command line."""
    python = Experiment(gen="mlp", data={"name": "mnist", "options": {"source": "sample"}}, steps=3)  # type: ignore[arg-type]
    found: ResolvedConfig = resolve([experiment_layer(python)], registry)
    assert found.experiment == resolve([line("gen=mlp", "data.source=sample", "steps=3")], registry).experiment
    assert found.origin("disc") == "default"


def test_an_optimizer_setting_for_both_networks(registry: Registry) -> None:
    """In Python as in TOML, what stands beside `gen` and `disc` means both, and a name alone is an optimiser."""
    python = Experiment(optimizer={"lr": 1e-3, "disc": {"name": "sgd", "momentum": 0.5}})  # type: ignore[arg-type]
    found = resolve([experiment_layer(python)], registry).experiment.optimizer
    assert (found.gen.name, found.gen.lr, found.disc.name, found.disc.lr) == ("adam", 1e-3, "sgd", 1e-3)
    assert (
        found
        == resolve(
            [line("optimizer.lr=1e-3", "optimizer.disc=sgd", "optimizer.disc.momentum=0.5")], registry
        ).experiment.optimizer
    )
    assert Experiment(optimizer="adamw").optimizer.disc.name == "adamw"  # type: ignore[arg-type]


def test_flags_are_settings_from_left_to_right(ganforge: Ganforge, tmp_path: Path) -> None:
    """Of flags and --set the last one counts; dashes equal underscores; every setting is a flag."""
    flags = ("--batch-size", "9", "--set", "batch_size=10", "--batch_size=11", "--gen.latent-dim", "7", "--gen", "mlp")
    more = ("--critic-steps", "2", "--data.source", "sample", "--steps", "1", "--quiet", "--out", "r")
    done = ganforge("run", *flags, *more)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "r" / "run.toml").read_text()
    assert "batch_size = 11" in text
    assert "latent_dim = 7" in text
    assert "critic_steps = 2" in text


def test_the_resolution_of_a_run_is_in_its_directory(registry: Registry) -> None:
    """Resolving twice gives the same experiment: nothing of it depends on chance or order."""
    assert tiny(registry, "gen=mlp").experiment == tiny(registry, "gen=mlp").experiment

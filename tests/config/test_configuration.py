"""Layers of settings: precedence, origins, and errors."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ganforge.components import DiscriminatorOutput, Loss, LossTerm, OptimizerFactory, TrainStep
from ganforge.components.spec import Component
from ganforge.config import Experiment, Layer, command_line_layer, from_document, preset_layer, to_document
from ganforge.config.layers import experiment_layer
from ganforge.config.reload import reload
from ganforge.config.resolve import resolve
from ganforge.config.resolved import ResolvedConfig
from ganforge.errors import ConfigError, UnknownComponentError
from ganforge.plugins import Plugins, Source
from ganforge.plugins.registry import Registry
from tests.helpers.plugins import command
from tests.helpers.runs import tiny


class Critic(Loss):
    """Loss with recommendations, as WGAN-GP has them."""

    recommended = {"critic_steps": 5, "optimizer.betas": (0.0, 0.9), "term": ["slope"]}  # noqa: RUF012

    def discriminator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        return fake.logits - real.logits

    def generator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        return -fake.logits


class Slope(LossTerm):
    """Term with an option of its own."""

    phases = ("disc",)

    class Options(LossTerm.Options):
        """One option in addition to those of every term."""

        target: float = 1.0

    options: Options

    def forward(self, step: TrainStep) -> Tensor:
        return step.real.flatten(1).square().sum(1) * 0


class Encoding(LossTerm):
    """Term with a network that has a phase of its own."""

    optimized_in = {"network": "encoder"}  # noqa: RUF012
    phases = ("encoder", "gen")
    recommended = {"optimizer.encoder.lr": 1e-3, "latent": "uniform"}  # noqa: RUF012

    def forward(self, step: TrainStep) -> Tensor:
        return step.real.flatten(1).sum(1)


class Averaging(OptimizerFactory):
    """Optimizer that recommends a setting."""

    recommended = {"ema_halflife_images": 700}  # noqa: RUF012

    def create(self, parameters: Iterable[tuple[str, nn.Parameter]]) -> Optimizer:
        return torch.optim.SGD([weight for _, weight in parameters], lr=self.options.lr)


@pytest.fixture
def richer(registry: Registry) -> Registry:
    """Return a registry with a loss that recommends, and terms."""
    source = Source("ganforge-critic", "1.0")
    plugins = Plugins()
    plugins.components = [
        *registry.plugins.components,
        (Component(kind="loss", name="critic", target=Critic), source),
        (Component(kind="term", name="slope", target=Slope), source),
        (Component(kind="term", name="other", target=Slope), source),
        (Component(kind="term", name="encoding-term", target=Encoding), source),
        (Component(kind="optimizer", name="averaging", target=Averaging), source),
    ]
    return Registry(plugins)


def line(*settings: str) -> Layer:
    """Return settings as the command line gives them."""
    return command_line_layer(settings)


def test_later_layers_win_and_every_value_knows_its_origin(richer: Registry, registry: Registry) -> None:
    """Defaults < recommended < preset < files, left to right < command line, left to right."""
    file, other = Layer("a.toml", {"seed": 1, "batch_size": 8}), Layer("b.toml", {"batch_size": 16})
    found = resolve([preset_layer("textbook", registry), file, other, line("batch_size=32", "batch_size=64")], richer)
    experiment = found.experiment
    assert (experiment.epochs, experiment.seed, experiment.batch_size) == (100, 1, 64)
    origins = {key: found.origin(key) for key in ("epochs", "seed", "batch_size", "keep_checkpoints")}
    assert origins == {
        "epochs": "preset textbook",
        "seed": "a.toml",
        "batch_size": "command line",
        "keep_checkpoints": "default",
    }


def test_what_a_component_recommends_applies_unless_it_was_set(richer: Registry, registry: Registry) -> None:
    """A recommended value beats the default and nothing else; its origin names the component."""
    found = resolve([line("loss=critic", "optimizer.disc.betas=[0.5, 0.9]")], richer)
    experiment = found.experiment
    assert experiment.critic_steps == 5
    assert experiment.optimizer["gen"].options["betas"] == [0.0, 0.9]
    assert experiment.optimizer["disc"].options["betas"] == [0.5, 0.9]
    assert [term.name for term in experiment.term] == ["slope"]
    assert found.origin("critic_steps") == "recommended by loss critic"
    assert resolve([line("loss=critic", "critic_steps=2")], richer).experiment.critic_steps == 2
    assert resolve([line("loss=critic", "term=none")], richer).experiment.term == ()
    found = resolve([preset_layer("textbook", registry), line("loss=critic")], richer)
    assert (found.experiment.critic_steps, found.experiment.term) == (1, ())
    assert found.notices == [
        "preset textbook leaves out term slope, recommended by loss critic; to keep it: --term slope"
    ]
    assert resolve([preset_layer("textbook", registry)], richer).notices == []


def test_recommended_betas_are_left_out_for_an_optimizer_without_them(richer: Registry) -> None:
    """A recommended setting that does not apply is dropped; one that the user sets is an error."""
    experiment = resolve([line("loss=critic", "optimizer.name=sgd")], richer).experiment
    assert experiment.optimizer["gen"].name == "sgd"
    with pytest.raises(ConfigError, match="optimizer is sgd, which has no option 'betas'"):
        resolve([line("optimizer.name=sgd", "optimizer.betas=[0, 0.9]")], richer)
    with pytest.raises(ConfigError, match=r"optimizer\.gen is 'sgd', which has no option 'betas'"):
        resolve([line("optimizer.gen=sgd", "optimizer.betas=[0, 0.9]")], richer)


def test_a_recommended_term_brings_its_options(richer: Registry) -> None:
    """A name and options of the same section may both be recommended, in any order, as WGAN-GP needs."""
    for keys in (("term", "term.slope.weight"), ("term.slope.weight", "term")):
        values = {"term": "slope", "term.slope.weight": 10}
        Critic.recommended, before = {key: values[key] for key in keys}, Critic.recommended
        try:
            (chosen,) = resolve([line("loss=critic")], richer).experiment.term
        finally:
            Critic.recommended = before
        assert (chosen.name, chosen.options["weight"]) == ("slope", 10.0)


def test_naming_another_optimizer_forgets_the_one_before(registry: Registry) -> None:
    """Adam's learning rate and betas, from wherever, do not become SGD's; its own defaults apply."""
    whole = to_document(resolve([], registry).experiment)
    for below in (preset_layer("textbook", registry), Layer("run.toml", whole)):
        found = resolve([below, line("optimizer=sgd")], registry).experiment.optimizer
        assert (found["gen"].name, found["gen"].options["lr"]) == ("sgd", 1e-2)
    python = experiment_layer(Experiment(optimizer={"gen": {"lr": 1e-3}}))
    found = resolve(
        [Layer("recommended", {"optimizer": "rmsprop"}, advisory=True), python], registry
    ).experiment.optimizer
    assert (found["gen"].name, found["gen"].options["lr"], found["disc"].name) == ("rmsprop", 1e-3, "rmsprop")


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
    """A file's table for another component survives naming another one, and a notice names it."""
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
        (("batchsize=4",), "invalid setting 'batchsize' .command line.; did you mean 'batch_size'"),
        (("precision=fp8",), "precision = 'fp8' .command line.: input should be 'auto', 'fp32'"),
        (("optimizer=adan",), "no optimizer 'adan'; did you mean 'adam'"),
        (("optimizer.learning_rate=1",), "no option 'learning_rate'"),
        (("optimizer.genn=sgd",), "no option 'genn' .command line.; did you mean 'gen'"),
        (("optimizer.encodr.lr=1",), "optimizer.encodr .command line.: no such phase"),
        (("optimizer.gen=5",), "it must be a name, or a table"),
        (("optimizer.lr=inf",), "optimizer.disc.lr = inf .command line.: input should be a finite number"),
        (("optimizer=sgd", "optimizer.nesterov=true"), "nesterov needs a momentum above 0"),
        (("term.weight=2",), "no term is chosen"),
        (("term.nothing.weight=2",), "term.nothing .command line. is set, but no term is chosen"),
        (("penalty=r1",), "invalid setting 'penalty' .command line.; its name is 'term'\nuse term"),
        (("latent=norml",), "no latent 'norml'; did you mean 'normal'"),
        (("schedules.optimizer.gen.ler=cosine",), "schedules.optimizer.gen.ler .command line.: .* 'optimizer.gen.lr'"),
        (("schedules.optimizer.gen.warmup_steps=cosine",), "no option of this name can be scheduled"),
        (("schedules.ema_halflife_images=cosine",), "ema_halflife_images if it is set"),
        (("schedules.term.slope.weight=cosine",), "no option of this name can be scheduled"),
        (("schedules=cosine",), "no option of this name can be scheduled"),
        (("optimizer.schedule=cosin",), "no schedule 'cosin'; did you mean 'cosine'"),
        (("optimizer.schedule=cosine", "optimizer.schedule.fin=1"), "'cosine', which has no option 'fin'.*'final'"),
        (("optimizer.schedule.final=0.5",), "is set, but no schedule is chosen"),
        (("schedules.optimizer.gen.betas.1=linear", "schedules.optimizer.gen.betas.1.final=2"), "less than 1"),
        (("phase_order=gen",), "must name each phase once: disc, gen"),
        (("phase_order=gen,disc,gen",), "must name each phase once: disc, gen"),
        (("batch_size=10", "gradient_accumulation=4"), "batch_size 10 cannot be divided into 4 .* into 5 it can"),
        (
            ("batch_size=8", "generator_batch_size=6", "gradient_accumulation=4"),
            "generator_batch_size 6 .* into 3 it can",
        ),
        (("generator_batch_size=6", "reuse_fakes=true"), "reuse_fakes needs equal batches"),
        (("seed=-1",), "greater than or equal to 0"),
        (("max_eval_time_fraction=0",), "greater than 0"),
        (("batch_size=true",), "batch_size = 'true' .command line.: input should be a valid integer"),
        (("gen.latent_dim=true",), "gen.latent_dim = 'true' .command line.: input should be a valid integer"),
        (("optimizer.lr=true",), "optimizer.disc.lr = 'true' .command line.: input should be a valid number"),
        (("ema_halflife_images=false",), "ema_halflife_images = 'false' .command line.: input should be a valid"),
        (
            ("gen=dcgan,mlp",),
            "names several; a run has one\ncompare several: ganforge sweep --gen dcgan,mlp",
        ),
        (("gen=5",), "is not the name of a component"),
        (("metric=sliced-wasserstein,sliced-wasserstein",), "twice"),
        (("nonsense",), "invalid setting"),
    ],
)
def test_a_wrong_setting_is_one_clear_message(settings: tuple[str, ...], message: str, registry: Registry) -> None:
    """It names the key, where it came from, what is wrong, and the nearest right one."""
    with pytest.raises((ConfigError, UnknownComponentError), match=message):
        resolve([line(*settings)], registry)


def test_of_epochs_and_steps_the_later_counts(registry: Registry) -> None:
    """Naming steps above epochs replaces them, and the other way round; both in one file is an error."""
    found = resolve([preset_layer("textbook", registry), line("steps=10")], registry).experiment
    assert (found.epochs, found.steps) == (None, 10)
    found = resolve([Layer("a.toml", {"steps": 5}), line("epochs=2")], registry).experiment
    assert (found.epochs, found.steps) == (2, None)
    assert resolve([line("steps=3", "epochs=2")], registry).experiment.epochs == 2
    with pytest.raises(ConfigError, match=r"a.toml sets both"):
        resolve([Layer("a.toml", {"steps": 5, "epochs": 1})], registry)


def test_values_are_toml_literals_else_text() -> None:
    """Numbers, lists, truth and quoted text are read as TOML; the rest is text as it stands; dashes are underscores."""
    values = line("a=1e-4", "b=[1, 2]", "c=true", 'd="7"', "e=a b", "f-g=x=y", "h=2024-01-01").values
    assert values == {"a": 1e-4, "b": [1, 2], "c": True, "d": "7", "e": "a b", "f_g": "x=y", "h": "2024-01-01"}


def test_a_path_or_a_text_may_look_like_a_number(registry: Registry) -> None:
    """A folder named by a year, a number or a truth value is a path; a number in place of other types stays one.

    2024.10 has been read as 2024.1, another folder.
    """
    for text in ("2024", "-3", "true", "2024-01-01", "2_024", "0x10", "+7", "cats", "'2024.10'"):
        chosen = resolve([line("data=folder", f"data.path={text}", "data.size=8", "device=0")], registry).experiment
        assert chosen.data.options["path"] == text.strip("'")
        assert (chosen.data.options["size"], chosen.device) == (8, "0")
    with pytest.raises(ConfigError, match=r"data\.path = 2024\.1 .*it must be text"):
        resolve([line("data=folder", "data.path=2024.10")], registry)
    with pytest.raises(ConfigError, match=r"data\.stream = 1 "):
        resolve([line("data=folder", "data.path=x", "data.stream=1")], registry)


def test_several_terms_add_up_and_each_has_its_options(richer: Registry) -> None:
    """`--term slope --term other` chooses both; an option must then name its term."""
    settings = ("term=slope", "term=other", "term.slope.weight=3", "term.other.every=4")
    chosen = resolve([line(*settings)], richer).experiment.term
    assert [(item.name, item.options["weight"], item.options["every"]) for item in chosen] == [
        ("slope", 3.0, 1),
        ("other", 1.0, 4),
    ]
    with pytest.raises(ConfigError, match=r"could belong to any of several"):
        resolve([line("term=slope,other", "term.weight=3")], richer)
    alone = resolve([line("term=slope", "term.weight=3")], richer).experiment.term
    assert alone[0].options["weight"] == 3.0


def test_a_document_gives_its_experiment_back(richer: Registry) -> None:
    """The content of run.toml resolves to the same experiment, with every option written out."""
    settings = ("loss=critic", "gen=mlp", "steps=4", "evaluate_every=2", "optimizer.gen=sgd", "optimizer.disc.lr=1e-3")
    more = (
        "optimizer.disc.schedule=cosine",
        "schedules.term.slope.weight=linear",
        "schedules.term.slope.weight.final=.1",
    )
    phases = ("term=encoding-term,slope", "phase_order=encoder,disc,gen", "generator_batch_size=12", "latent=normal")
    experiment = resolve([line(*settings, *more, *phases)], richer).experiment
    document = to_document(experiment)
    assert from_document(document) == experiment
    assert resolve([Layer("run.toml", document)], richer).experiment == experiment


def test_the_preset_is_the_textbook_s_training(registry: Registry) -> None:
    """Adam 0.0002 with betas (0.5, 0.999) for both, batch 60, 100 epochs, one critic step, float32, latents of 100."""
    experiment = resolve([preset_layer("textbook", registry)], registry).experiment
    assert experiment.optimizer.keys() == {"gen", "disc"}
    for optimizer in experiment.optimizer.values():
        assert (optimizer.name, optimizer.options["lr"], optimizer.options["betas"]) == ("adam", 2e-4, [0.5, 0.999])
    assert (experiment.epochs, experiment.batch_size, experiment.critic_steps) == (100, 60, 1)
    assert (experiment.precision, experiment.ema_halflife_images) == ("fp32", None)
    assert (experiment.latent.name, experiment.term, experiment.augment, experiment.schedules) == ("normal", (), (), {})
    assert experiment.gen.options["latent_dim"] == 100
    assert resolve([], registry).experiment.epochs == 20
    with pytest.raises(UnknownComponentError, match="did you mean 'textbook'"):
        preset_layer("text-book", registry)


def test_an_experiment_from_python_sets_only_what_it_names(registry: Registry) -> None:
    """Omitted settings take the defaults, as on the command line."""
    python = Experiment(gen="mlp", data={"name": "mnist", "options": {"source": "sample"}}, steps=3)
    found: ResolvedConfig = resolve([experiment_layer(python)], registry)
    assert found.experiment == resolve([line("gen=mlp", "data.source=sample", "steps=3")], registry).experiment
    assert found.origin("disc") == "default"


def test_an_optimizer_setting_for_every_phase(registry: Registry) -> None:
    """In Python as on the command line, options next to `gen` and `disc` apply to both; a name is an optimizer."""
    python = Experiment(optimizer={"lr": 1e-3, "disc": {"name": "sgd", "momentum": 0.5}})
    found = resolve([experiment_layer(python)], registry).experiment.optimizer
    lr = {phase: (ref.name, ref.options["lr"]) for phase, ref in found.items()}
    assert lr == {"gen": ("adam", 1e-3), "disc": ("sgd", 1e-3)}
    settings = ("optimizer.lr=1e-3", "optimizer.disc=sgd", "optimizer.disc.momentum=0.5")
    assert found == resolve([line(*settings)], registry).experiment.optimizer
    named = resolve([experiment_layer(Experiment(optimizer="adamw"))], registry).experiment
    assert {ref.name for ref in named.optimizer.values()} == {"adamw"}
    for experiment in (python, named):
        assert Experiment.model_validate(experiment.model_dump()) == experiment


def test_optimizer_tables_of_a_file(registry: Registry) -> None:
    """`[optimizer.adam]` applies where Adam is chosen, `[optimizer.gen.adam]` to one phase; others are kept, unused."""
    table = {"adam": {"lr": 1e-3, "eps": 1e-6}, "sgd": {"lr": 0.5}, "gen": {"name": "adam", "adam": {"lr": 2e-3}}}
    file = Layer("a.toml", {"optimizer": table})
    found = resolve([file], registry)
    options = {phase: (ref.options["lr"], ref.options["eps"]) for phase, ref in found.experiment.optimizer.items()}
    assert options == {"gen": (2e-3, 1e-6), "disc": (1e-3, 1e-6)}
    assert found.notices == ["[optimizer.sgd] (a.toml) is kept but not used: optimizer is adam"]
    assert (found.origin("optimizer.gen"), found.origin("optimizer.disc")) == ("a.toml", "default")
    found = resolve([file, line("optimizer=sgd")], registry)
    assert {ref.options["lr"] for ref in found.experiment.optimizer.values()} == {0.5}
    for misplaced in ({"lr": 1e-3}, {"gen": {"lr": 1e-3}}):
        with pytest.raises(ConfigError, match=r"write it under \[optimizer(\.gen)?\.adam\]"):
            resolve([Layer("a.toml", {"optimizer": misplaced})], registry)


def test_phases_come_from_the_chosen_components(richer: Registry) -> None:
    """A phase that `optimized_in` adds has an optimizer with the settings of every phase, and its own."""
    assert resolve([], richer).phases == ("disc", "gen")
    settings = ("term=encoding-term", "optimizer.eps=1e-6", "optimizer.encoder.betas=[0, 0.9]")
    found = resolve([line(*settings)], richer)
    assert found.phases == ("disc", "gen", "encoder")
    encoder = found.experiment.optimizer["encoder"].options
    assert (encoder["lr"], encoder["eps"], encoder["betas"]) == (1e-3, 1e-6, [0.0, 0.9])
    assert found.origin("optimizer.encoder.lr") == "recommended by term encoding-term"
    assert found.optimizers["disc"].options.lr == 2e-4  # type: ignore[attr-defined]
    assert found.experiment.latent.name == "uniform"
    ordered = resolve([line("term=encoding-term", "phase_order=encoder,disc,gen")], richer)
    assert ordered.phases == ("encoder", "disc", "gen")
    with pytest.raises(ConfigError, match=r"optimizer.encoder \(command line\): no such phase"):
        resolve([line("optimizer.encoder.lr=1")], richer)


def test_a_term_of_a_phase_that_does_not_exist(richer: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A term that acts in a phase that no component adds is refused, with the nearest phase."""
    monkeypatch.setattr(Slope, "phases", ("encodr",))
    with pytest.raises(ConfigError, match=r"term 'slope' \(ganforge-critic 1.0\) acts in phase 'encodr'.*'encoder'"):
        resolve([line("term=slope,encoding-term")], richer)


def test_recommendations_of_an_optimizer(richer: Registry) -> None:
    """Settings that a chosen optimizer recommends apply unless they are set."""
    found = resolve([line("optimizer.gen=averaging")], richer)
    assert found.experiment.ema_halflife_images == 700
    assert found.origin("ema_halflife_images") == "recommended by optimizer averaging"
    assert resolve([line("optimizer=averaging", "ema_halflife_images=5")], richer).experiment.ema_halflife_images == 5


SCHEDULES = {
    ("optimizer.gen.schedule=cosine",): {"optimizer.gen.lr": ("cosine", 0.0)},
    ("optimizer.schedule=linear", "optimizer.schedule.final=0.5"): {
        "optimizer.disc.lr": ("linear", 0.5),
        "optimizer.gen.lr": ("linear", 0.5),
    },
    ("optimizer.schedule=linear", "optimizer.gen.schedule=cosine"): {
        "optimizer.disc.lr": ("linear", 0.0),
        "optimizer.gen.lr": ("cosine", 0.0),
    },
    ("optimizer.schedule=linear", "optimizer.gen.schedule=none"): {"optimizer.disc.lr": ("linear", 0.0)},
    ("schedules.optimizer.disc.betas.1=cosine", "schedules.optimizer.disc.betas.1.final=1.0005"): {
        "optimizer.disc.betas.1": ("cosine", 1.0005)
    },
    ("schedules.optimizer.lr=cosine", "schedules.optimizer.gen.lr.final=0.1"): {
        "optimizer.disc.lr": ("cosine", 0.0),
        "optimizer.gen.lr": ("cosine", 0.1),
    },
    ("ema_halflife_images=500", "schedules.ema-halflife-images=linear"): {"ema_halflife_images": ("linear", 0.0)},
    ("term=encoding-term", "schedules.term.encoding-term.weight=linear", "schedules.optimizer.encoder.lr=cosine"): {
        "optimizer.encoder.lr": ("cosine", 0.0),
        "term.encoding-term.weight": ("linear", 0.0),
    },
    ("schedules.optimizer.gen.lr=cosine", "schedules=none"): {},
}


@pytest.mark.parametrize("settings", SCHEDULES)
def test_schedules_of_numeric_options(settings: tuple[str, ...], richer: Registry) -> None:
    """Options of optimizers and terms and the EMA have schedules by their dotted keys; short forms mean the same."""
    found = resolve([line(*settings)], richer)
    schedules = {target: (ref.name, ref.options["final"]) for target, ref in found.experiment.schedules.items()}
    assert schedules == SCHEDULES[settings]
    assert found.schedules.keys() == schedules.keys()
    for target, item in found.schedules.items():
        assert item.cls(item.options).factor(0, 10) == 1.0
        assert found.origin(f"schedules.{target}") == "command line"
    assert from_document(to_document(found.experiment)) == found.experiment


def test_schedules_of_files_and_python(richer: Registry) -> None:
    """A file names targets in quotes or nested; Python names them as keys; both equal the command line."""
    options = ("schedules.optimizer.gen.lr=cosine", "schedules.optimizer.gen.lr.final=0.5")
    expected = resolve([line(*options)], richer).experiment
    quoted = {"optimizer.gen.lr": {"name": "cosine", "cosine": {"final": 0.5}}}
    nested = {"optimizer": {"gen": {"lr": {"name": "cosine", "cosine": {"final": 0.5}}}}}
    for schedules in (quoted, nested):
        assert resolve([Layer("a.toml", {"schedules": schedules})], richer).experiment == expected
    short = {"optimizer": {"gen": {"schedule": {"name": "cosine", "cosine": {"final": 0.5}}}}}
    assert resolve([Layer("a.toml", short)], richer).experiment == expected
    ref = {"name": "cosine", "options": {"final": 0.5}}
    python = Experiment(schedules={"optimizer.gen.lr": ref})
    assert resolve([experiment_layer(python)], richer).experiment == expected
    short_python = Experiment(optimizer={"gen": {"schedule": "cosine"}})
    assert resolve([experiment_layer(short_python)], richer).experiment.schedules.keys() == {"optimizer.gen.lr"}


def test_schedules_that_were_switched_off_stay_off(
    richer: Registry, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run's document has its schedules complete: recommended ones that were removed do not return."""
    monkeypatch.setattr(
        Critic, "recommended", {"optimizer.schedule": "cosine", "schedules.optimizer.gen.betas.1": "linear"}
    )
    assert len(resolve([line("loss=critic")], richer).experiment.schedules) == 3
    off = line("loss=critic", "optimizer.gen.schedule=none", "schedules.optimizer.gen.betas.1=none")
    experiment = resolve([off], richer).experiment
    assert experiment.schedules.keys() == {"optimizer.disc.lr"}
    assert resolve([Layer("run.toml", to_document(experiment))], richer).experiment == experiment
    assert resolve([preset_layer("textbook", registry), line("loss=critic")], richer).experiment.schedules == {}
    found = resolve([line("loss=critic", "optimizer.gen=sgd")], richer)
    assert (len(found.schedules), found.notices) == (2, []), "a recommendation for an option that is missing is skipped"


def test_schedules_of_replaced_components_are_not_used(richer: Registry) -> None:
    """A repeated run with another optimizer or without a term drops their schedules with a notice; others stay."""
    settings = ("term=slope", "schedules.term.slope.weight=linear", "schedules.optimizer.gen.betas.1=cosine")
    before = resolve([line(*settings, "optimizer.schedule=cosine")], richer).experiment
    found = resolve([Layer("run.toml", to_document(before)), line("term=none", "optimizer=sgd")], richer)
    assert found.experiment.schedules.keys() == {"optimizer.disc.lr", "optimizer.gen.lr"}
    assert "schedules.term.slope.weight (run.toml) is kept but not used" in found.notices
    assert "schedules.optimizer.gen.betas (run.toml) is kept but not used" in found.notices


def test_reloading_finds_the_same_components(richer: Registry) -> None:
    """An experiment gives its components, optimizers, schedules and phases back, and the same order of updates."""
    found = resolve([line("term=encoding-term", "optimizer.gen=sgd", "optimizer.schedule=cosine")], richer)
    again = reload(found.experiment, richer, None)
    assert (again.chosen, again.optimizers, again.schedules) == (found.chosen, found.optimizers, found.schedules)
    assert again.phases == found.phases
    assert again.components() == found.components()
    sampling = reload(found.experiment, richer, None, ("gen", "latent"))
    assert sampling.chosen == {section: found.chosen[section] for section in ("gen", "latent")}


def test_flags_are_settings_from_left_to_right(tmp_path: Path) -> None:
    """The last of flags and --set counts; dashes equal underscores; every setting is a flag."""
    flags = ("--batch-size", "9", "--set", "batch_size=10", "--batch_size=11", "--gen.latent-dim", "7", "--gen", "mlp")
    more = (
        "--optimizer.gen.schedule",
        "cosine",
        "--latent",
        "uniform",
        "--critic-steps",
        "2",
        "--data.source",
        "sample",
        "--steps",
        "1",
        "--quiet",
        "--out",
        "r",
    )
    done = command("run", *flags, *more)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "r" / "run.toml").read_text()
    assert "batch_size = 11" in text
    assert "latent_dim = 7" in text
    assert "critic_steps = 2" in text
    assert '[schedules."optimizer.gen.lr"]' in text
    assert '[latent]\nname = "uniform"' in text


def test_former_names_of_flags() -> None:
    """`--penalty` is an error that names --term."""
    done = command("run", "--penalty", "r1")
    assert (done.returncode, done.stdout) == (2, "")
    assert "invalid setting 'penalty' (command line); its name is 'term'" in done.stderr
    assert "--term" in done.stderr


def test_the_resolution_of_a_run_is_in_its_directory(registry: Registry) -> None:
    """Resolving twice gives the same experiment: nothing of it depends on chance or order."""
    assert tiny(registry, "gen=mlp").experiment == tiny(registry, "gen=mlp").experiment

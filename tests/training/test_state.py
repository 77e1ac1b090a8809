"""State of components: further phases, frozen and initial weights, and no trace of trials."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ganforge import (
    Augmentation,
    Component,
    Generator,
    ImageSpec,
    LatentDistribution,
    Loss,
    LossTerm,
    OptimizerFactory,
    TrainStep,
)
from ganforge.components import DiscriminatorOutput, weights_sha256
from ganforge.errors import CheckpointError, ConfigError, GanforgeError, IncompatibleError, PluginError
from ganforge.plugins import Plugins, Source
from ganforge.plugins.registry import Registry
from ganforge.runs import launch
from ganforge.runs.setup import prepare
from ganforge.runs.trained_run import TrainedRun
from ganforge.training import build as build_module
from ganforge.training import checkpoint as checkpoints
from ganforge.training.build import build
from ganforge.training.run_directory import RunDirectory
from ganforge.training.setup import phase_parameters, setup_training
from ganforge.training.state import load_optimizer
from tests.helpers.checkpoints import digests
from tests.helpers.runs import tiny
from tests.helpers.updates import CPU, stepped

MLP = ("gen=mlp", "disc=mlp", "gen.hidden=[8]", "disc.hidden=[8]", "batch_size=10")
#: File of the frozen weights; a test replaces it.
BACKBONE = "backbone.safetensors"


class Pretrained(Generator):
    """Generator whose first weights come from a file."""

    class Options(Generator.Options):
        """Location of the weights."""

        path: str = "generator.safetensors"

    options: Options

    def __init__(self, options: Options, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.layer = nn.Linear(self.latent_dim, image.numel)

    def initialize(self) -> None:
        self.layer.load_state_dict(load_file(self.options.path))

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        images: Tensor = self.layer(z).tanh().view(-1, *self.image.shape)
        return images


class Inversion(LossTerm):
    """Encoder with an optimizer of its own, which learns the latents of fakes from a frozen network's features."""

    phases: ClassVar[tuple[str, ...]] = ("encoder",)
    optimized_in: ClassVar[Mapping[str, str]] = {"encoder": "encoder"}
    frozen: ClassVar[tuple[str, ...]] = ("backbone",)

    def setup(self, modules: Mapping[str, Any]) -> None:
        self.backbone = nn.Sequential(nn.Flatten(), nn.Linear(784, 16), nn.BatchNorm1d(16))
        self.encoder = nn.Linear(16, modules["generator"].latent_dim)

    def initialize(self) -> None:
        self.backbone.load_state_dict(load_file(BACKBONE))

    def forward(self, step: TrainStep) -> Tensor:
        error: Tensor = self.encoder(self.backbone(step.fake)) - step.z
        return error.square().mean(1)


class Counting(Loss):
    """Loss that counts its updates in a buffer."""

    updates: Tensor

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.register_buffer("updates", torch.zeros(()))

    def discriminator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        return (self.updates + 1) * (fake.logits - real.logits)

    def generator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        return -fake.logits

    def after_step(self, step: TrainStep) -> None:
        self.updates += 1


class Sizes(LossTerm):
    """Term that logs the number of images of its phase."""

    phases: ClassVar[tuple[str, ...]] = ("disc", "gen")

    def forward(self, step: TrainStep) -> Tensor:
        step.log(f"images/{step.phase}", len(step.real))
        step.log(f"latents/{step.phase}", len(step.z))
        output = step.fake_output if step.phase == "gen" else step.real_output
        return 1e-3 * output.logits.square()


class Stray(LossTerm):
    """Term with weights that no optimizer has."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.head = nn.Linear(1, 1)

    def forward(self, step: TrainStep) -> Tensor:
        values: Tensor = self.head(step.fake.flatten(1).mean(1, keepdim=True))
        return values.squeeze(1)


class Brighter(Augmentation):
    """Augmentation with state and with the name of a term."""

    seen: Tensor

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.register_buffer("seen", torch.zeros(()))

    def sample_parameters(self, images: Tensor, step: TrainStep, *, real: bool) -> Tensor:
        return torch.rand(len(images), 1, 1, 1, generator=step.rng).to(images)

    def forward(self, images: Tensor, parameters: Tensor) -> Tensor:
        return images + parameters

    def observe(self, real_logits: Tensor) -> None:
        self.seen += len(real_logits)


class Erase(Augmentation):
    """Augmentation that leaves nothing of an image."""

    def sample_parameters(self, images: Tensor, step: TrainStep, *, real: bool) -> Tensor:
        return torch.zeros(len(images), 1, 1, 1)

    def forward(self, images: Tensor, parameters: Tensor) -> Tensor:
        return images * parameters


class CountingSgd(torch.optim.Optimizer):
    """Gradient descent whose rate decays by Python numbers in its state, like many third-party optimizers."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr, "momentum": 0.3})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            group["updates"] = group.get("updates", 0) + 1
            for weight in group["params"]:
                state = self.state[weight]
                state["step"] = state.get("step", 0) + 1
                state["share"] = state.get("share", 1.0) * 0.9
                state["warm"] = state["step"] > 2
                weight.sub_(weight.grad, alpha=group["lr"] * state["share"] / (group["updates"] + state["step"]))


class CountingFactory(OptimizerFactory):
    """Factory of the optimizer above."""

    needs_closure = False

    def create(self, parameters: Any) -> torch.optim.Optimizer:
        return CountingSgd([weight for _, weight in parameters], self.options.lr)


class Choosy(LossTerm):
    """Term that refuses the data."""

    def setup(self, modules: Mapping[str, Any]) -> None:
        raise IncompatibleError("pairs of images are needed", fix="use other data")

    def forward(self, step: TrainStep) -> Tensor:
        return step.fake.flatten(1).mean(1)


class Learned(LatentDistribution):
    """Normal latents whose scale is trained with the generator."""

    optimized_in: ClassVar[Mapping[str, str]] = {"scale": "gen"}

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.scale = nn.Parameter(torch.ones(100))

    def sample(self, count: int, dim: int, rng: torch.Generator) -> Tensor:
        return self.scale * torch.randn(count, dim, generator=rng)


class TwiceSgd(torch.optim.SGD):
    """Gradient descent that evaluates the gradient twice, as extragradient does."""

    def step(self, closure: Any = None) -> Any:
        closure()
        return super().step(closure)


class TwiceFactory(OptimizerFactory):
    """Factory of the optimizer above."""

    def create(self, parameters: Any) -> torch.optim.Optimizer:
        return TwiceSgd([weight for _, weight in parameters], self.options.lr)


class Misnamed(LossTerm):
    """Term that optimizes an attribute which is not a module."""

    optimized_in: ClassVar[Mapping[str, str]] = {"options": "gen"}

    def forward(self, step: TrainStep) -> Tensor:
        return step.fake.flatten(1).mean(1)


class Resolution(LossTerm):
    """Term that checks that its stage is that of the step."""

    current = -1

    def stage(self, step: int) -> Hashable:
        self.current = step
        return step // 4

    def forward(self, step: TrainStep) -> Tensor:
        assert self.current == step.step
        return 0.1 * step.fake.flatten(1).mean(1)


@pytest.fixture
def papers(registry: Registry, tmp_path: Path) -> Registry:
    """Return a registry with the components above, and write their files into the working folder."""
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(784, 16), nn.BatchNorm1d(16))
    save_file(backbone.state_dict(), tmp_path / BACKBONE)
    save_file(nn.Linear(100, 784).state_dict(), tmp_path / "generator.safetensors")
    parts: list[tuple[Any, str, type]] = [
        ("generator", "pretrained", Pretrained),
        ("loss", "counting", Counting),
        ("term", "inversion", Inversion),
        ("term", "sizes", Sizes),
        ("term", "stray", Stray),
        ("term", "choosy", Choosy),
        ("latent", "learned", Learned),
        ("optimizer", "twice", TwiceFactory),
        ("optimizer", "counting", CountingFactory),
        ("augmentation", "sizes", Brighter),
        ("augmentation", "erase", Erase),
        ("term", "misnamed", Misnamed),
        ("term", "staged", Resolution),
    ]
    plugins, source = Plugins(), Source("ganforge-papers", "1.0")
    plugins.components = list(registry.plugins.components)
    plugins.components += [(Component(kind=kind, name=name, target=cls), source) for kind, name, cls in parts]
    return Registry(plugins)


def start(papers: Registry, path: Path, *settings: str) -> RunDirectory:
    """Train and return the run directory."""
    outcome = launch.start_run(prepare(tiny(papers, *MLP, *settings), papers), out=path)
    assert outcome.status == "finished", outcome.error
    return RunDirectory(path)


def test_a_phase_of_its_own_has_optimizer_file_and_rows(papers: Registry, tmp_path: Path) -> None:
    """The encoder has weights, learning rate and clipping of its own; its frozen features are a fingerprint only."""
    settings = ("term=inversion", "optimizer.encoder.lr=0.01", "optimizer.encoder.clip_norm=1.0", "log_every=1")
    run = start(papers, tmp_path / "run", *settings, "steps=4")
    loaded = checkpoints.load(run.checkpoint_path(4))
    assert set(loaded.tensors) == {"generator", "discriminator", "optimizers", "encoder"}
    assert set(loaded.tensors["encoder"]) == {"inversion.encoder.weight", "inversion.encoder.bias"}
    assert loaded.state["frozen"] == {"inversion.backbone": weights_sha256(frozen_backbone())}
    assert any(name.startswith("encoder/0/") for name in loaded.tensors["optimizers"])
    rows = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    assert [row["lr/encoder"] for row in rows] == [0.01] * 4
    assert rows[-1]["term/inversion"] != rows[0]["term/inversion"]
    module = TrainedRun(run, papers).module("encoder")
    assert torch.equal(module.weight.detach(), loaded.tensors["encoder"]["inversion.encoder.weight"])  # type: ignore[operator]
    assert not module.training


def frozen_backbone() -> nn.Module:
    """Return the frozen network as its file has it."""
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(784, 16), nn.BatchNorm1d(16))
    backbone.load_state_dict(load_file(BACKBONE))
    return backbone


@pytest.mark.parametrize("order", [(), ("phase_order=encoder,disc,gen", "critic_steps=2")], ids=["last", "first"])
def test_further_phases_resume_to_the_same_bits(order: tuple[str, ...], papers: Registry, tmp_path: Path) -> None:
    """Further phases resume exactly, even before the discriminator's phase, whose batches they then need."""
    straight = start(papers, tmp_path / "straight", "term=inversion", *order, "steps=6")
    stopped = start(papers, tmp_path / "stopped", "term=inversion", *order, "steps=3")
    launch.resume_run(stopped, papers, launch.ResumeOverrides(steps=6))
    assert digests(straight) == digests(stopped)


def test_other_frozen_weights_are_refused_at_resume(papers: Registry, tmp_path: Path) -> None:
    """Frozen weights are not in a checkpoint, so other ones are detected by their fingerprint and refused."""
    run = start(papers, tmp_path / "run", "term=inversion", "steps=2")
    save_file(nn.Sequential(nn.Flatten(), nn.Linear(784, 16), nn.BatchNorm1d(16)).state_dict(), tmp_path / BACKBONE)
    with pytest.raises(
        CheckpointError, match=r"frozen weights of inversion\.backbone differ from those of the training"
    ):
        launch.resume_run(run, papers, launch.ResumeOverrides(steps=4))


def test_initial_weights_are_needed_once(papers: Registry, tmp_path: Path) -> None:
    """A new run reads the file; resuming and sampling take the checkpoint's weights."""
    first = build(tiny(papers, *MLP[1:2], *MLP[3:], "gen=pretrained")).generator.state_dict()["layer.weight"]
    assert torch.equal(first, load_file("generator.safetensors")["weight"])
    run = RunDirectory(tmp_path / "run")
    settings = (*MLP[1:2], *MLP[3:], "gen=pretrained")
    launch.start_run(prepare(tiny(papers, *settings, "steps=2"), papers), out=run.path)
    Path("generator.safetensors").unlink()
    assert launch.resume_run(run, papers, launch.ResumeOverrides(steps=4)).status == "finished"
    assert len(TrainedRun(run, papers).sample(3)) == 3
    with pytest.raises(GanforgeError, match=r"generator 'pretrained' .* cannot be initialized") as raised:
        prepare(tiny(papers, *settings), papers)
    assert str(raised.value).count("'pretrained'") == 1


def test_trials_leave_no_state_behind(papers: Registry, tmp_path: Path) -> None:
    """Preflight and trial steps act on copies: a stateful loss counts its own updates only."""
    run = RunDirectory(tmp_path / "run")
    prepared = prepare(tiny(papers, *MLP, "loss=counting", "precision=auto", "steps=3"), papers)
    assert float(prepared.gan.loss.updates) == 0  # type: ignore[arg-type]
    launch.start_run(prepared, out=run.path)
    assert float(checkpoints.load(run.checkpoint_path(3)).tensors["loss"]["updates"]) == 6


def test_the_generator_may_have_another_batch_size(papers: Registry, tmp_path: Path) -> None:
    """Real images, conditions and latents have the generator's batch size; images_seen counts the discriminator's."""
    settings = ("term=sizes", "generator_batch_size=14", "log_every=1")
    run = start(papers, tmp_path / "run", *settings, "steps=4")
    last = json.loads(run.metrics.read_text().splitlines()[-1])
    assert (last["images/disc"], last["images/gen"]) == (10, 14)
    assert (last["latents/disc"], last["latents/gen"], last["images_seen"]) == (10, 14, 40)
    stopped = start(papers, tmp_path / "stopped", *settings, "steps=2")
    launch.resume_run(stopped, papers, launch.ResumeOverrides(steps=4))
    assert digests(run) == digests(stopped)


def test_a_term_and_an_augmentation_may_have_one_name(papers: Registry, tmp_path: Path) -> None:
    """Terms and augmentations of one name have separate columns and files."""
    run = start(papers, tmp_path / "run", "term=sizes", "augment=sizes", "steps=4")
    loaded = checkpoints.load(run.checkpoint_path(4))
    assert float(loaded.tensors["augmentation-sizes"]["seen"]) == 40
    stopped = start(papers, tmp_path / "stopped", "term=sizes", "augment=sizes", "steps=2")
    launch.resume_run(stopped, papers, launch.ResumeOverrides(steps=4))
    assert digests(run) == digests(stopped)


def test_both_networks_see_augmented_images(papers: Registry) -> None:
    """Erased real images and fakes have the same logits, and erased fakes leave the generator unchanged."""
    settings = (*MLP, "disc.dropout=0.0", "augment=erase")
    gan, before = build(tiny(papers, *settings)), build(tiny(papers, *settings))
    stats = stepped(gan, 1).last_stats
    assert stats["logits/real"] == stats["logits/fake"]
    for new, old in zip(gan.generator.parameters(), before.generator.parameters(), strict=True):
        assert torch.equal(new, old)


def test_unknown_state_of_an_optimizer_is_refused(papers: Registry, tmp_path: Path) -> None:
    """A further key of a weight is named: it would be lost at the next checkpoint."""
    run = start(papers, tmp_path / "run", "steps=1")
    loaded = checkpoints.load(run.checkpoint_path(1))
    gan_step, _ = setup_training(build(tiny(papers, *MLP)), device=CPU, precision="fp32")
    optimizer = gan_step.phases["gen"].optimizer
    tensors, groups = loaded.tensors["optimizers"], loaded.state["optimizers"]["gen"]
    load_optimizer(optimizer, tensors, groups, "gen", "optimizers")
    with pytest.raises(CheckpointError, match="optimizers: gen/0/momentum belongs to no weight"):
        load_optimizer(optimizer, tensors | {"gen/0/momentum": torch.zeros(1)}, groups, "gen", "optimizers")


def test_python_numbers_of_an_optimizer_resume_exactly(papers: Registry, tmp_path: Path) -> None:
    """Integers, floats and booleans are restored exactly, in double precision, param groups included."""
    settings = ("optimizer=counting", "optimizer.lr=0.05")
    straight = start(papers, tmp_path / "straight", *settings, "steps=6")
    stopped = start(papers, tmp_path / "stopped", *settings, "steps=3")
    launch.resume_run(stopped, papers, launch.ResumeOverrides(steps=6))
    assert digests(straight) == digests(stopped)
    loaded = checkpoints.load(straight.checkpoint_path(6))
    assert loaded.tensors["optimizers"]["gen/0/step:int"].item() == 6
    assert loaded.tensors["optimizers"]["gen/0/share:float"].item() == pytest.approx(0.9**6, rel=1e-15)
    assert loaded.state["optimizers"]["gen"][0]["updates"] == 6


def test_trained_latents_get_the_gradients_of_all_parts(papers: Registry, tmp_path: Path) -> None:
    """The graph of latents is a new one for each part and each evaluation of the gradient."""
    settings = ("latent=learned", "disc.dropout=0.0", "steps=3", "optimizer=sgd", "optimizer.lr=0.1")
    whole = start(papers, tmp_path / "whole", *settings)
    parts = start(papers, tmp_path / "parts", *settings, "gradient_accumulation=2")
    twice = start(papers, tmp_path / "twice", *settings, "optimizer=twice", "optimizer.lr=0.1")
    scales = [checkpoints.load(run.checkpoint_path(3)).tensors["latent"]["scale"] for run in (whole, parts, twice)]
    assert float((scales[0] - 1).abs().max()) > 0
    torch.testing.assert_close(scales[1], scales[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(scales[2], scales[0], rtol=0, atol=1e-6)


def test_stages_follow_the_step(papers: Registry, tmp_path: Path) -> None:
    """Every update is computed at the stage of its step, also after a resume."""
    run = start(papers, tmp_path / "run", "term=staged", "steps=5")
    assert launch.resume_run(run, papers, launch.ResumeOverrides(steps=9)).status == "finished"


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (("term=stray",), PluginError, r"term 'stray' .* has weights in no optimizer, such as head(.|\n)*optimized_in"),
        (("term=choosy",), IncompatibleError, "term 'choosy' .*: pairs of images are needed"),
        (("term=misnamed",), PluginError, r"term 'misnamed' .*: optimized_in names 'options'"),
        (("term=inversion", "phase_order=disc,gen"), ConfigError, "phase_order"),
        (("optimizer.encoder.lr=0.1",), ConfigError, "encoder"),
        (("generator_batch_size=7", "gradient_accumulation=2"), ConfigError, "generator_batch_size 7"),
    ],
)
def test_wrong_phases_are_refused(
    settings: tuple[str, ...], error: type[GanforgeError], message: str, papers: Registry
) -> None:
    """Weights without an optimizer, unknown names and orders without a phase are one message each."""
    with pytest.raises(error, match=message):
        phase_parameters(build(tiny(papers, *MLP, *settings)))


def test_a_component_is_named_once(papers: Registry) -> None:
    """An error of a component gets its name in front, unless the message has it."""
    owner = build(tiny(papers, *MLP)).owners()["generator"]
    with pytest.raises(IncompatibleError) as caught, build_module._naming(owner):
        raise IncompatibleError("images of 3×3 are too small", fix="choose others")
    assert caught.value.message == f"{owner.entry}: images of 3×3 are too small"
    assert caught.value.fix == "choose others"
    with pytest.raises(IncompatibleError) as caught, build_module._naming(owner):
        raise IncompatibleError("mlp makes no images of 3×3")
    assert caught.value.message == "mlp makes no images of 3×3"


@pytest.mark.parametrize(
    ("name", "subject"),
    [("generator", "generator 'mlp' "), ("discriminator", "discriminator 'mlp' "), ("inversion", "phase 'encoder'")],
)
def test_phase_without_weights_is_refused(name: str, subject: str, papers: Registry) -> None:
    """The message names the network, or the phase of other modules."""
    gan = build(tiny(papers, *MLP, "term=inversion"))
    gan.modules()[name].requires_grad_(requires_grad=False)
    with pytest.raises(IncompatibleError, match=f"^{subject}.*has no weights to train"):
        phase_parameters(gan)


def test_every_weight_is_in_one_phase(papers: Registry, assemble: Callable[..., Any]) -> None:
    """The generator's, the discriminator's and the encoder's weights are apart and complete."""
    gan = build(tiny(papers, *MLP, "term=inversion"))
    phases = phase_parameters(gan)
    assert list(phases) == ["disc", "gen", "encoder"]
    numbers = [id(weight) for weights in phases.values() for weight in weights.values()]
    assert len(numbers) == len(set(numbers))
    trained = [w for c in gan.modules().values() for w in c.parameters() if w.requires_grad]
    assert len(numbers) == len(trained)

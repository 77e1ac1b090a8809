"""Methods of papers as components alone: the engine has no special case for any of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, softplus

import ganforge as package
from ganforge.components import (
    Augmentation,
    Discriminator,
    DiscriminatorOutput,
    Generator,
    ImageSpec,
    Loss,
    LossTerm,
    TrainStep,
)
from ganforge.components.spec import Component
from ganforge.config import command_line_layer
from ganforge.config.resolve import resolve
from ganforge.data.loader import Batch
from ganforge.plugins import Plugins, Source
from ganforge.plugins.registry import Registry
from ganforge.runs import launch
from ganforge.runs.setup import prepare
from ganforge.runs.trained_run import TrainedRun
from ganforge.training import checkpoint as checkpoints
from ganforge.training.build import build
from ganforge.training.run_directory import RunDirectory
from ganforge.training.setup import setup_training
from tests.helpers.runs import read_rows, tiny


class Classes(Generator):
    """A conditional generator: the label is one-hot next to the latents, and images have noise."""

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.layer = nn.Linear(self.latent_dim + (image.num_classes or 0), image.numel)

    @property
    def conditional(self) -> bool:
        return True

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        assert condition is not None
        given = one_hot(condition, self.image.num_classes or 0).to(z.dtype)
        shape = (self.image.channels, self.image.height, self.image.width)
        images: Tensor = self.layer(torch.cat([z, given], 1))
        return (images + 0.1 * torch.randn_like(images)).tanh().view(-1, *shape)


class Projection(Discriminator):
    """A projection discriminator with an auxiliary classifier (Miyato & Koyama 2018; Odena et al. 2017)."""

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.layer = nn.Linear(image.numel, 8)
        self.head = nn.Linear(8, 1, bias=False)
        self.embedding = nn.Embedding(image.num_classes or 0, 8)
        self.classifier = nn.Linear(8, image.num_classes or 0)

    @property
    def conditional(self) -> bool:
        return True

    def forward(self, images: Tensor, condition: Tensor | None = None) -> DiscriminatorOutput:
        features = self.layer(images.flatten(1)).tanh()
        logits = self.head(features).squeeze(1) + (self.embedding(condition) * features).sum(1)
        return DiscriminatorOutput(logits, class_logits=self.classifier(features), features=(features,))


class Line(Discriminator):
    """D(x) = ⟨w, x⟩, for which penalties have analytic values."""

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.layer = nn.Linear(image.numel, 1, bias=False)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        logits: Tensor = self.layer(images.flatten(1)).squeeze(1)
        return logits


class Auxiliary(Loss):
    """Relativistic pairing, an auxiliary classifier and feature matching, all in one."""

    seen: ClassVar[list[DiscriminatorOutput]] = []

    def discriminator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        assert real.class_logits is not None
        assert real.condition is not None
        classified = nn.functional.cross_entropy(real.class_logits, real.condition, reduction="none")
        return softplus(fake.logits - real.logits) + classified

    def generator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        self.seen.append(real)
        matched = (fake.features[0] - real.features[0]).square().mean(1)
        return softplus(real.logits - fake.logits) + matched


class Clipped(Loss):
    """The first Wasserstein GAN: weights are clipped after each update (Arjovsky et al. 2017)."""

    class Options(Loss.Options):
        """Largest absolute value of a weight."""

        clip: float = 0.01

    options: Options
    recommended = {"critic_steps": 3}  # noqa: RUF012 - a class's own constant

    def discriminator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        return fake.logits - real.logits

    def generator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        return -fake.logits

    def after_step(self, step: TrainStep) -> None:
        if step.phase == "disc":
            for weight in step.discriminator.parameters():
                weight.clamp_(-self.options.clip, self.options.clip)


class Nothing(Loss):
    """A loss of zero, so that penalties act alone."""

    def discriminator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        return 0 * (real.logits + fake.logits)

    def generator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        return 0 * fake.logits


class R1(LossTerm):
    """|∇D|² at real images (Mescheder et al. 2018, eq. 9)."""

    phases: ClassVar[tuple[str, ...]] = ("disc",)

    def forward(self, step: TrainStep) -> Tensor:
        images = step.real.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(step.discriminate(images).logits.sum(), images, create_graph=True)
        return gradient.flatten(1).square().sum(1)


class Adaptive(Augmentation):
    """Noise whose strength follows D's logits of real images, as ADA's controller does (Karras et al. 2020)."""

    strength: Tensor

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.register_buffer("strength", torch.zeros(()))

    def sample_parameters(self, images: Tensor, step: TrainStep, *, real: bool) -> Tensor:
        return self.strength * torch.randn(images.shape, generator=step.rng).to(images)

    def forward(self, images: Tensor, parameters: Tensor) -> Tensor:
        return images + parameters

    def observe(self, real_logits: Tensor) -> None:
        self.strength += 0.01 * real_logits.sign().mean()


@pytest.fixture
def papers(registry: Registry) -> Registry:
    """Return a registry with the components above."""
    parts: list[tuple[Any, str, type]] = [
        ("generator", "classes", Classes),
        ("discriminator", "projection", Projection),
        ("discriminator", "line", Line),
        ("loss", "auxiliary", Auxiliary),
        ("loss", "clipped", Clipped),
        ("loss", "nothing", Nothing),
        ("term", "r1", R1),
        ("augmentation", "adaptive", Adaptive),
    ]
    plugins, source = Plugins(), Source("ganforge-papers", "1.0")
    plugins.components = list(registry.plugins.components)
    plugins.components += [(Component(kind=kind, name=name, target=cls), source) for kind, name, cls in parts]
    return Registry(plugins)


def test_conditional_training_from_data_to_samples(papers: Registry, tmp_path: Path) -> None:
    """Labels go from the data through both networks and the loss, and samples are drawn by class."""
    Auxiliary.seen.clear()
    settings = ("gen=classes", "disc=projection", "loss=auxiliary", "batch_size=10", "steps=4")
    outcome = launch.start_run(prepare(tiny(papers, *settings), papers), out=tmp_path / "run")
    assert outcome.status == "finished"
    real = Auxiliary.seen[-1]
    assert real is not None
    assert real.condition is not None
    assert real.condition.shape == (10,)
    trained = TrainedRun(RunDirectory(tmp_path / "run"), papers)
    sevens, turns = trained.sample(5, condition=7), trained.sample(12)
    assert sevens.condition is not None
    assert sevens.condition.tolist() == [7] * 5
    assert turns.condition is not None
    assert turns.condition.tolist() == [*range(10), 0, 1]  # without a wish, the classes in turn
    with pytest.raises(package.GanforgeError, match="invalid class 10; there are 10 classes, 0 to 9"):
        trained.sample(2, condition=10)


def test_grids_of_classes_have_a_row_for_each(papers: Registry, tmp_path: Path) -> None:
    """In training and afterwards a row shows a class, and a column one latent; a class may be named.

    A message names a discriminator that ignores labels.
    """
    from PIL import Image  # noqa: PLC0415

    settings = ("gen=classes", "disc=mlp", "disc.hidden=[8]", "batch_size=10", "steps=2")
    prepared = prepare(tiny(papers, *settings), papers)
    with pytest.warns(UserWarning, match="the generator gets no training signal from the condition"):
        launch.start_run(prepared, out=tmp_path / "run")
    run = RunDirectory(tmp_path / "run")
    trained = TrainedRun(run, papers)
    found = trained.sample_by_class(4, seed=1)
    assert found is not None
    assert found.condition is not None
    assert found.condition.tolist() == [digit for digit in range(10) for _ in range(4)]
    assert all((found.latents[row * 4 : row * 4 + 4] == found.latents[:4]).all() for row in range(10))
    assert not (found.images[0] == found.images[4]).all(), "another class is another image of the same latent"
    found.save_grid(tmp_path / "classes.png")
    for place, columns in ((tmp_path / "classes.png", 4), (run.sample_path(2), 8)):
        with Image.open(place) as picture:
            assert picture.size == (columns * 30 + 2, 10 * 30 + 2)
    sevens = trained.sample(2, seed=1, condition="7")
    assert sevens.condition is not None
    assert sevens.condition.tolist() == [7, 7]
    difference = sevens.images.astype(int) - found.images[7 * 4 : 7 * 4 + 2]  # products of few rows round differently
    assert abs(difference).max() <= 1, "the grid has the first images of each class"
    with pytest.raises(package.GanforgeError, match="no class 'seven'"):
        trained.sample(2, condition="seven")


def test_labels_are_refused_for_data_without_them(papers: Registry, tmp_path: Path) -> None:
    """A network that takes labels and data that has none do not fit, an error before training."""
    from PIL import Image  # noqa: PLC0415

    (tmp_path / "pictures").mkdir()
    Image.new("L", (28, 28)).save(tmp_path / "pictures" / "a.png")
    settings = ("gen=classes", "disc=mlp", "data=folder", f"data.path={tmp_path / 'pictures'}", "batch_size=1")
    resolved = resolve([command_line_layer(settings)], papers)
    with pytest.raises(package.GanforgeError, match="is conditional, but data 'folder' has no condition"):
        build(resolved)


def test_weights_are_clipped_after_each_update(papers: Registry, tmp_path: Path) -> None:
    """`constrain` holds after training, and the recommended critic steps were taken."""
    settings = ("gen=mlp", "gen.hidden=[8]", "disc=line", "loss=clipped", "batch_size=10", "steps=3")
    launch.start_run(prepare(tiny(papers, *settings), papers), out=tmp_path / "run")
    run = RunDirectory(tmp_path / "run")
    weights = checkpoints.load(run.checkpoint_path(3)).tensors["discriminator"]["layer.weight"]
    assert float(weights.abs().max()) == pytest.approx(0.01)
    assert run.read_manifest().as_dict()["summary"]["images_seen"] == 3 * 3 * 10


def test_a_term_is_weighted_once_and_logged_unweighted(papers: Registry) -> None:
    """For D = ⟨w, x⟩, R1 is |w|²: SGD turns w into w·(1 - 2·lr·weight·every) when due, and leaves it otherwise."""
    settings = ("gen=mlp", "gen.hidden=[4]", "disc=line", "loss=nothing", "term=r1", "term.weight=3")
    more = ("term.every=2", "optimizer=sgd", "optimizer.lr=0.001", "batch_size=4")
    gan = build(tiny(papers, *settings, *more))
    assert isinstance(gan.discriminator, Line)
    weight = gan.discriminator.layer.weight
    gan_step, _ = setup_training(gan, device=torch.device("cpu"), precision="fp32")
    batch = Batch(torch.zeros(4, 1, 28, 28), None, {})
    for index, factor in ((0, 1 - 2 * 0.001 * 3 * 2), (1, 1.0), (2, 1 - 2 * 0.001 * 3 * 2)):
        before = weight.detach().clone()
        stats = gan_step.update("disc", batch, index, index)
        torch.testing.assert_close(weight.detach(), before * factor)
        assert ("term/r1" in stats) == (factor < 1)
        if factor < 1:
            assert float(stats["term/r1"]) == pytest.approx(float(before.square().sum()), rel=1e-5)


def test_a_term_may_have_a_step_of_its_own(papers: Registry) -> None:
    """SGD descends the loss first; R1 is taken at the weights behind that step, where due, with its own gradient."""
    more = ("gen=mlp", "gen.hidden=[4]", "disc=line", "optimizer=sgd", "optimizer.lr=0.001", "batch_size=4")
    lazy = ("term=r1", "term.weight=3", "term.every=2", "term.own_step=true")
    batches = [Batch(torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(n)), None, {}) for n in (0, 1)]
    weights = []
    for settings in (more, (*more, *lazy)):
        gan = build(tiny(papers, *settings))
        assert isinstance(gan.discriminator, Line)
        gan_step, _ = setup_training(gan, device=torch.device("cpu"), precision="fp32")
        stats = gan_step.update("disc", batches[0], 0, 0)
        weights.append(gan.discriminator.layer.weight.detach().clone())
    assert {"loss/discriminator", "term/r1", "logits/real"} <= stats.keys()
    assert float(stats["term/r1"]) == pytest.approx(float(weights[0].square().sum()), rel=1e-5)
    torch.testing.assert_close(weights[1], weights[0] * (1 - 2 * 0.001 * 3 * 2))
    assert "term/r1" not in gan_step.update("disc", batches[1], 1, 1)


@pytest.mark.parametrize("settings", [(), ("reuse_fakes=true",), ("gradient_accumulation=2",)])
def test_steps_of_their_own_train_and_resume(settings: tuple[str, ...], papers: Registry, tmp_path: Path) -> None:
    """Terms of the discriminator with steps of their own end a stopped run with the bits of a straight one."""
    small = ("gen=mlp", "gen.hidden=[4]", "disc=line", "term=r1", "term.every=2", "term.own_step=true", "batch_size=4")
    straight, stopped = RunDirectory(tmp_path / "straight"), RunDirectory(tmp_path / "stopped")
    launch.start_run(prepare(tiny(papers, *small, *settings, "steps=5"), papers), out=straight.path)
    launch.start_run(prepare(tiny(papers, *small, *settings, "steps=3"), papers), out=stopped.path)
    launch.resume_run(stopped, papers, launch.ResumeOverrides(steps=5))
    one, two = (checkpoints.load(run.checkpoint_path(5)).tensors for run in (straight, stopped))
    assert one.keys() == two.keys()
    for part, tensors in one.items():
        assert all(torch.equal(value, two[part][name]) for name, value in tensors.items())


def test_lazy_terms_keep_their_last_number_in_rows(papers: Registry, tmp_path: Path) -> None:
    """Between two applications a row shows the last one, also after a resume."""
    settings = ("gen=mlp", "gen.hidden=[4]", "disc=line", "term=r1", "term.every=4", "batch_size=4", "log_every=1")
    straight, stopped = RunDirectory(tmp_path / "straight"), RunDirectory(tmp_path / "stopped")
    launch.start_run(prepare(tiny(papers, *settings, "steps=6"), papers), out=straight.path)
    launch.start_run(prepare(tiny(papers, *settings, "steps=2"), papers), out=stopped.path)
    launch.resume_run(stopped, papers, launch.ResumeOverrides(steps=6))
    for run in (straight, stopped):
        values = [row["term/r1"] for row in read_rows(run.metrics)]
        assert len(values) == 6
        assert values[0] == values[1] == values[2] == values[3] != values[4] == values[5]


def test_what_an_augmentation_adapts_is_saved(papers: Registry, tmp_path: Path) -> None:
    """Its buffer is in the checkpoint, and a resumed run ends with the bits of one that was not stopped."""
    settings = ("gen=mlp", "gen.hidden=[8]", "disc=line", "augment=adaptive", "batch_size=10")
    straight, stopped = RunDirectory(tmp_path / "straight"), RunDirectory(tmp_path / "stopped")
    launch.start_run(prepare(tiny(papers, *settings, "steps=6"), papers), out=straight.path)
    launch.start_run(prepare(tiny(papers, *settings, "steps=2"), papers), out=stopped.path)
    launch.resume_run(stopped, papers, launch.ResumeOverrides(steps=6))
    one, two = (checkpoints.load(run.checkpoint_path(6)).tensors for run in (straight, stopped))
    assert float(one["augmentation-adaptive"]["strength"]) != 0
    assert one.keys() == two.keys()
    for part, tensors in one.items():
        assert all(torch.equal(value, two[part][name]) for name, value in tensors.items())

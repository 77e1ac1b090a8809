"""Preflight of a GAN: each mismatch is named once, with its fix, before any file is written."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from ganforge import (
    Augmentation,
    Component,
    Discriminator,
    DiscriminatorOutput,
    Generator,
    ImageSpec,
    Loss,
    LossTerm,
    TrainStep,
)
from ganforge.errors import GanforgeError, IncompatibleError
from ganforge.plugins import Plugins, Source
from ganforge.plugins.registry import Registry
from ganforge.training.build import build
from ganforge.training.preflight import preflight
from tests.helpers.plugins import command, shown_on_terminal
from tests.helpers.runs import tiny


class Painter(Generator):
    """Generator whose result the tests replace."""

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.layer = nn.Linear(self.latent_dim, image.numel)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.bend(self.layer(z).tanh().view(-1, 1, 28, 28))

    def bend(self, images: Tensor) -> Tensor:
        return images


class Judge(Discriminator):
    """Discriminator whose result the tests replace."""

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.layer = nn.Linear(image.numel, 1)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Any:
        return self.bend(self.layer(images.flatten(1)))

    def bend(self, logits: Tensor) -> Any:
        return logits.squeeze(1)


class Linear(Loss):
    """Loss whose result the tests replace."""

    def discriminator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        return self.bend(fake.logits - real.logits)

    def generator_loss(self, *, real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
        return -fake.logits

    def bend(self, losses: Tensor) -> Tensor:
        return losses


class Slope(LossTerm):
    """Term that needs a second derivative, like R1."""

    phases: ClassVar[tuple[str, ...]] = ("disc",)

    def forward(self, step: TrainStep) -> Any:
        images = step.real.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(step.discriminate(images).logits.sum(), images, create_graph=True)
        return self.bend(gradient.flatten(1).square().sum(1))

    def bend(self, values: Tensor) -> Any:
        return values


class Shift(Augmentation):
    """Augmentation whose result the tests replace."""

    def sample_parameters(self, images: Tensor, step: TrainStep, *, real: bool) -> Tensor:
        return torch.rand((), generator=step.rng) * 0.1

    def forward(self, images: Tensor, parameters: Tensor) -> Any:
        return self.bend(images + parameters)

    def bend(self, images: Tensor) -> Any:
        return images


PARTS: dict[str, tuple[str, type]] = {
    "gen": ("generator", Painter),
    "disc": ("discriminator", Judge),
    "loss": ("loss", Linear),
    "term": ("term", Slope),
    "augment": ("augmentation", Shift),
}


def fly(registry: Registry, **bent: Callable[[Tensor], Any]) -> None:
    """Check a GAN of the components above with some results replaced."""
    plugins = Plugins()
    plugins.components = list(registry.plugins.components)
    for section, (kind, cls) in PARTS.items():
        changed = (
            type(cls.__name__, (cls,), {"bend": lambda _, x, section=section: bent[section](x)})
            if section in bent
            else cls
        )
        component = Component(kind=kind, name=cls.__name__.lower(), target=changed)  # type: ignore[arg-type]
        plugins.components.append((component, Source("ganforge-parts", "1.0")))
    names = [f"{section}={cls.__name__.lower()}" for section, (_, cls) in PARTS.items()]
    preflight(build(tiny(Registry(plugins), *names)))


def test_parts_that_fit_pass(registry: Registry) -> None:
    """A GAN with a second-order penalty and an augmentation passes."""
    fly(registry)


@pytest.mark.parametrize(
    ("section", "bend", "message"),
    [
        (
            "gen",
            lambda x: x[:, :, :14],
            r"generator 'painter' .ganforge-parts 1.0. generates images of shape \(2, 1, 14, 28\)",
        ),
        (
            "gen",
            lambda x: x * 5,
            r"generator 'painter' .* generates images in \[-\d.*; real images are in \[-1, 1\](.|\n)*tanh",
        ),
        (
            "gen",
            lambda x: x / 0,
            "generator 'painter' .*: its images are torch.float32 numbers that are not all finite",
        ),
        ("gen", lambda x: x.detach(), "no gradient reaches generator 'painter'"),
        ("gen", lambda x: x.reshape(-1, 5), "generator 'painter' .* fails on latents"),
        ("disc", lambda x: x, r"discriminator 'judge' .* logits of shape \(2, 1\) for 2 images(.|\n)*squeeze"),
        (
            "disc",
            lambda x: x.sigmoid().squeeze(1),
            "discriminator 'judge' .* squashes its logits(.|\n)*remove the sigmoid",
        ),
        ("disc", lambda x: x.squeeze(1).detach(), "no gradient reaches discriminator 'judge'"),
        (
            "disc",
            lambda x: x.squeeze(1) * float("nan"),
            "discriminator 'judge' .*: its logits are torch.float32 numbers that are not all finite",
        ),
        ("loss", lambda x: x.mean(), r"loss 'linear' .*: its loss of phase 'disc' has shape \(\) for 2 images"),
        (
            "loss",
            lambda x: (-x.abs()).log(),
            "loss 'linear' .*: its values are torch.float32 numbers that are not all finite",
        ),
        ("term", lambda x: x[:1], r"term 'slope' .*: its term of phase 'disc' has shape \(1,\) for 2 images"),
        ("term", lambda x: x.detach(), "no gradient of term 'slope' .* reaches the weights of phase 'disc'"),
        ("term", lambda x: x.undefined, "term 'slope' .* fails on a batch of 2 images: .*undefined"),
        (
            "disc",
            lambda x: x.view(-1, 1, 1, 1),
            r"discriminator 'judge' .* logits of shape \(2, 1, 1, 1\)(.|\n)*squeeze",
        ),
        ("disc", lambda x: x.view(-1, 1, 1, 1).expand(2, 1, 3, 3), r"discriminator 'judge' (.|\n)*\.flatten\(1\)"),
        ("augment", lambda x: x[:1], r"augmentation 'shift' .* turns images of shape"),
        ("augment", lambda _: None, r"augmentation 'shift' .* turns images of shape .* into NoneType"),
    ],
)
def test_a_mismatch_names_the_part_and_the_fix(section: str, bend: Any, message: str, registry: Registry) -> None:
    """Each mismatch is one message that names the component, its distribution and its result."""
    with pytest.raises(IncompatibleError, match=message):
        fly(registry, **{section: bend})


def test_a_discriminator_that_wrongly_claims_to_judge_each_image_by_itself(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`batch_independent` is refused if logits depend on other images of the batch, or with batch norm."""
    modes: list[bool] = []

    def bend(self: Judge, logits: Tensor) -> Tensor:
        modes.append(self.training)
        return logits.squeeze(1)

    monkeypatch.setattr(Judge, "batch_independent", True)
    with monkeypatch.context() as patch:
        patch.setattr(Judge, "bend", bend)
        fly(registry)
    assert (modes[0], False in modes, modes[-1]) == (True, True, True)  # compared in evaluation mode alone
    with pytest.raises(IncompatibleError, match=r"other images change its logits(.|\n)*leave `batch_independent`"):
        fly(registry, disc=lambda x: (x - x.mean()).squeeze(1))

    def with_batch_norm(self: Judge, options: Any, image: ImageSpec) -> None:
        Discriminator.__init__(self, options, image)
        self.layer = nn.Sequential(nn.Linear(image.numel, 1), nn.BatchNorm1d(1))  # type: ignore[assignment]

    monkeypatch.setattr(Judge, "__init__", with_batch_norm)
    with pytest.raises(IncompatibleError, match=r"'judge' .* but has batch norm"):
        fly(registry)


def test_an_augmentation_that_cannot_observe_is_named(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of `observe` names the augmentation and its input."""
    monkeypatch.setattr(Shift, "observe", lambda _, logits: logits.undefined)
    with pytest.raises(IncompatibleError, match=r"augmentation 'shift' .* fails on the logits of real images: .*undef"):
        fly(registry)


def test_preflight_leaves_no_trace(registry: Registry) -> None:
    """Preflight changes neither weights nor buffers nor the global random state."""
    gan = build(tiny(registry, "gen.base_channels=2", "disc.base_channels=2"))
    networks = (gan.generator, gan.discriminator)
    before = [{name: value.clone() for name, value in network.state_dict().items()} for network in networks]
    state = torch.random.get_rng_state()
    preflight(gan)
    assert torch.equal(torch.random.get_rng_state(), state)
    for network, values in zip(networks, before, strict=True):
        assert all(torch.equal(value, values[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--data", "folder", "--data.path", "pictures"), "generator 'dcgan' cannot work with images of 30×30 pixels"),
        (("--batch-size", "20000", "--gen", "mlp", "--disc", "mlp"), "a batch of 20000 needs more images"),
        (("--batch-size", "1"), "batch norm cannot train on one image"),
        (("--batch-size", "6", "--gradient-accumulation", "6"), "pass --batch-size 12 or more"),
        (("--set", 'optimizer.name=["adam"]'), "optimizer.disc = ['adam'] (command line) is not the name"),
        (("--device", "cuda:7"), "this machine has no device 'cuda:7'"),
        (("--device", "cpu:1"), "this machine has no device 'cpu:1'"),
        (("--device", "warp"), "no device 'warp'"),
        (("--precision", "tf32", "--device", "cpu"), "precision 'tf32' is not available on cpu"),
        (("--set", "best_metric=fid"), "invalid best_metric 'fid': not a score of the chosen metrics"),
        (("--evaluate-every", "5", "--metric", "none"), "evaluate_every is set, but no metric is chosen"),
        (("--out", "taken"), "taken exists already"),
        (("--out", "file/run"), "file is not a folder"),
        (("--config", "none.toml"), "no configuration at none.toml"),
        (("--config", "broken.toml"), "broken.toml is not TOML"),
        (("--preset", "textbok"), "did you mean 'textbook'"),
        (("--nosuch", "5"), "nosuch"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    flags: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Invalid input is one message with exit code 2, without a traceback or a run directory."""
    from PIL import Image  # noqa: PLC0415

    from ganforge.cli import main  # noqa: PLC0415

    (tmp_path / "pictures").mkdir()
    Image.new("L", (30, 30)).save(tmp_path / "pictures" / "a.png")
    (tmp_path / "taken").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "broken.toml").write_text("epochs = = 2")
    before = sorted(tmp_path.rglob("*"))
    data = () if "folder" in flags else ("--data.source", "sample")
    batch = () if "--batch-size" in flags or "folder" not in flags else ("--batch-size", "1")
    monkeypatch.setattr("sys.argv", ["ganforge", "run", *data, *batch, *flags, "--no-plugins"])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as exit_:
        main()
    printed = capsys.readouterr()
    assert exit_.value.code == 2, printed.err
    assert message in " ".join(printed.err.split())
    assert "Traceback" not in printed.err
    assert printed.out == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dry_run_shows_the_plan_and_writes_nothing(tmp_path: Path) -> None:
    """A dry run prints components, origins, counts, data, precision and time, cuts no text, and writes no file.

    Default settings are only counted, so that the others stay in view on a terminal of 24 rows.
    """
    config = tmp_path / f"{'long' * 20}.toml"
    config.write_text('seed = 1\n[data]\nname = "mnist"\n[data.mnist]\nsource = "sample"')
    flags = ("--gen", "mlp", "--gen.hidden", "[8]", "--disc", "mlp", "--precision", "fp32", "--config", str(config))
    done = command("run", *flags, "--dry-run")
    assert done.returncode == 0, done.stderr
    for words in ("generator", "gen.hidden", "command line", "default", "10,000 train", "precision fp32", "an epoch"):
        assert words in done.stdout
    assert f"generator {100 * 8 + 8 + 8 * 784 + 784:,}" in done.stdout
    shown = shown_on_terminal(80, "run", *flags, "--dry-run")
    assert not any("…" in line for line in shown)
    assert any("gen.hidden" in line for line in shown[-23:])
    assert "log_every" not in done.stdout
    assert re.search(r"^\d+ other settings at the default", done.stdout, re.MULTILINE)
    assert list(tmp_path.iterdir()) == [config]


def test_errors_share_one_root() -> None:
    """Every exception for invalid input is a GanforgeError, so that one `except` catches it."""
    assert issubclass(IncompatibleError, GanforgeError)
    assert IncompatibleError.exit_code == 2

"""Laws of `new-plugin`: projects are complete, install, conform and train as generated; errors."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import typer
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ganforge import ConditionSpec, Discriminator, DiscriminatorOutput, ImageSpec, TrainStep
from ganforge.cli.app import app
from ganforge.components.spec import KINDS, Kind
from ganforge.config.references import SINGLE
from ganforge.errors import UsageError
from ganforge.plugins.registry import Registry
from ganforge.scaffold import Names, Project
from ganforge.scaffold.project import MAX_LENGTH, nearest_name
from ganforge.testing import checks_of
from ganforge.testing.conformance import Examination
from ganforge.testing.fixture import open_fixture
from tests.helpers.plugins import command, in_process, notes

ALL = ",".join(KINDS)
#: Whole trainings and processes of their own: the project's own tests, which .ci/run runs, make these checks too.
SLOW = {"trains", "resumes-exactly", "compiles", "no-network", "missing-data"}
SHORT = "--steps 3 --batch-size 8 --evaluate-every 3 --num-samples 16 --precision fp32 --json"


def written(name: str, kinds: str, *more: str | Path) -> dict[str, Any]:
    """Return what the command prints about a project that it has written."""
    done = command("new-plugin", name, "--kind", kinds, "--json", *more)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def install(project: Path) -> Path:
    """Write the metadata of an installed project next to its package; return the folder of both."""
    about = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]
    (groups,) = about["entry-points"].items()
    information = project / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n"
    )
    lines = (f"{name} = {value}\n" for name, value in groups[1].items())
    (information / "entry_points.txt").write_text(f"[{groups[0]}]\n{''.join(lines)}")
    return project


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a project of all kinds, called ganforge-whole, as if it was installed."""
    parent = tmp_path_factory.mktemp("site")
    Project.of("ganforge-whole", KINDS).write(parent)
    return install(parent / "ganforge-whole")


@pytest.fixture
def whole(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """Return a registry that has found the project of all kinds."""
    monkeypatch.syspath_prepend(str(site))
    yield Registry.discover()
    for name in [name for name in sys.modules if name.partition(".")[0] == "ganforge_whole"]:
        del sys.modules[name]


def made(registry: Registry, kind: Kind, **options: object) -> Any:
    """Return one of its components that takes nothing but options."""
    cls = registry.load(registry.find(kind, "whole"))
    return cls(cls.Options(**options))


# Generated files


@pytest.mark.parametrize("kinds", [*KINDS, ALL])
def test_a_project_is_complete(kinds: str, tmp_path: Path) -> None:
    """For each kind, and all: the files are those that --json names, parse, hold no placeholder, and give the kinds."""
    document = written("my-gan", kinds)
    assert document.keys() == {"path", "distribution", "package", "kinds", "files"}
    assert (document["distribution"], document["package"]) == ("my-gan", "my_gan")
    assert document["kinds"] == kinds.split(",")
    project = Path(document["path"])
    assert project == tmp_path / "my-gan"
    files = {
        file.relative_to(project).as_posix(): file.read_text("utf-8") for file in project.rglob("*") if file.is_file()
    }
    assert sorted(files) == document["files"]
    assert {f"my_gan/{kind}.py" for kind in KINDS} & files.keys() == {f"my_gan/{kind}.py" for kind in document["kinds"]}
    for name, text in files.items():
        assert "$" not in text, name
        assert text.endswith("\n"), name
        assert not text.endswith("\n\n"), name
    sources = {name: ast.parse(text) for name, text in files.items() if name.endswith(".py")}
    assert tomllib.loads(files["pyproject.toml"])["project"]["entry-points"]["ganforge"] == {"my-gan": "my_gan"}
    calls = [node for node in ast.walk(sources["my_gan/__init__.py"]) if isinstance(node, ast.Call)]
    components = [{word.arg: ast.literal_eval(word.value) for word in call.keywords} for call in calls]
    assert [component["kind"] for component in components] == document["kinds"]
    for component in components:
        module, _, name = component["target"].partition(":")
        body = sources[f"{module.replace('.', '/')}.py"].body
        assert name in [node.name for node in body if isinstance(node, ast.ClassDef)]


@pytest.mark.parametrize("name", ["a", "ganforge-" + "x" * (MAX_LENGTH - len("ganforge-"))])
def test_lines_stay_within_120_columns(name: str, tmp_path: Path) -> None:
    """However long the name is, no line of Python is longer than the project's formatter allows."""
    files = Project.of(name, KINDS).write(tmp_path)
    for file in (tmp_path / name / place for place in files if place.endswith(".py")):
        assert [line for line in file.read_text("utf-8").splitlines() if len(line) > 120] == []


def test_names_follow_from_the_distribution() -> None:
    """A package has underscores; components and classes drop `ganforge-` if a valid name remains."""
    assert Names.of("my-gan") == Names("my-gan", "my_gan", "my-gan", "MyGan")
    assert Names.of("ganforge-my-gan") == Names("ganforge-my-gan", "ganforge_my_gan", "my-gan", "MyGan")
    assert Names.of("ganforge-random").component == "random", "only a package can hide Python's module"
    assert Names.of("ganforge-3d").component == "ganforge-3d", "a class's name begins with a letter"
    assert Names.of("ganforge-name").component == "ganforge-name", "a word of the configuration is no component"


@pytest.mark.parametrize(
    "words",
    [
        "--kind generator,term,loss",
        "--kind loss --kind gen --kind terms",
        "--kind term --kind loss,generators,loss,",
    ],
)
def test_kinds_are_given_together_or_apart(words: str) -> None:
    """Kinds come apart or with commas, by any of their names, in any order, however often: the project is the same."""
    done = command("new-plugin", "my-gan", *words.split(), "--json")
    assert json.loads(done.stdout)["kinds"] == ["generator", "loss", "term"]


def test_the_next_commands_can_be_given(tmp_path: Path) -> None:
    """After success three commands are printed, quoted for a shell: install, run with what was made, and test."""
    done = command("new-plugin", "my-gan", "--kind", "discriminator,metric", "--out", "two words")
    assert done.returncode == 0, done.stderr
    install, run, test = (shlex.split(line) for line in done.stdout.splitlines()[1:])
    assert install == ["python", "-m", "pip", "install", "-e", "./two words/my-gan[test]"]
    assert run[:2] == ["ganforge", "run"]
    context = typer.main.get_command(app).get_command(None, "run").make_context("run", run[2:])  # type: ignore[attr-defined]
    chosen = [text for text in context.params["settings"] if "name" not in text and "every" not in text]
    assert {"disc=my-gan", "metric=my-gan"} <= set(chosen)
    assert test == ["python", "-m", "pytest", "./two words/my-gan"]
    assert (tmp_path / "two words" / "my-gan" / "pyproject.toml").is_file()


# Errors and their messages


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("My_GAN", "my-gan"),
        ("MyGan", "my-gan"),
        ("my--gan-", "my-gan"),
        ("größe", "groe"),
        ("3d-gan", "my-3d-gan"),
        ("", "my-gan"),
        ("../gan", "gan"),
        ("x" * 40, "x" * MAX_LENGTH),
        ("lambda", "lambda-gan"),
        ("random", "random-gan"),
        ("torch", "torch-gan"),
        ("name", "name-gan"),
        ("latent", "latent-gan"),
    ],
)
def test_bad_names_are_answered_with_the_nearest(name: str, nearest: str, tmp_path: Path) -> None:
    """An invalid name, or one that would hide a required module, is refused with the nearest valid name."""
    done = command("new-plugin", "--kind", "loss", "--", name)
    assert done.returncode == 2
    assert f"invalid name {name!r} of a plugin" in done.stderr
    assert f"did you mean {nearest!r}?" in done.stderr
    assert list(tmp_path.iterdir()) == []


@given(st.text(max_size=60) | st.from_regex(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", fullmatch=True))
def test_the_nearest_name_is_a_name(text: str) -> None:
    """The nearest name of any text is valid; a valid name is its own nearest name."""
    assert Names.of(nearest_name(text)).distribution == nearest_name(text)
    try:
        Names.of(text)
    except UsageError:
        return
    assert nearest_name(text) == text


@pytest.mark.parametrize("there", ["folder", "file", "link"])
def test_what_is_there_stays(there: str, tmp_path: Path) -> None:
    """A folder, a file or even a dangling link of that name is left alone."""
    place = tmp_path / "my-gan"
    create: dict[str, Callable[[], None]] = {
        "folder": place.mkdir,
        "file": place.touch,
        "link": lambda: place.symlink_to("nowhere"),
    }
    create[there]()
    done = command("new-plugin", "my-gan", "--kind", "loss")
    assert (done.returncode, done.stdout) == (2, "")
    assert "my-gan already exists" in done.stderr
    assert not place.is_dir() or list(place.iterdir()) == []
    assert not (tmp_path / "nowhere").exists()


def test_parent_that_is_not_a_folder(tmp_path: Path) -> None:
    """The operating system's error is one message."""
    (tmp_path / "file").touch()
    done = command("new-plugin", "my-gan", "--kind", "loss", "--out", "file")
    assert (done.returncode, done.stdout) == (2, "")
    assert "my-gan cannot be written: Not a directory" in done.stderr


def test_invalid_kinds_are_refused(tmp_path: Path) -> None:
    """The message has the nearest kind, or all kinds without --kind; nothing is written."""
    done = command("new-plugin", "my-gan", "--kind", "loss,generatr")
    assert done.returncode == 2
    assert "invalid kind 'generatr'; did you mean 'generator'?" in done.stderr
    for words in ((), ("--kind", ",")):
        done = command("new-plugin", "my-gan", *words)
        assert done.returncode == 2
        assert all(kind in done.stderr for kind in KINDS)
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_taken_get_a_note() -> None:
    """An installed distribution, or a component of the same kind and name, is pointed out; the project is written."""
    done = command("new-plugin", "pluggy", "--kind", "generator")
    (line,) = notes(done)
    assert line.startswith("pluggy ")
    assert "installed already" in line
    done = command("new-plugin", "mlp", "--kind", "generator,loss")
    (line,) = notes(done)
    assert "generator 'mlp' (ganforge 0.1.0) has the same name" in line
    assert "mlp/mlp" in line
    assert done.returncode == 0
    assert notes(command("new-plugin", "bce", "--kind", "generator")) == [], "another kind's name is free"


# Generated components


def test_every_kind_alone_is_listed(tmp_path: Path) -> None:
    """Installed side by side, projects of one kind each are listed as what they are, and none is broken."""
    names = {kind: f"only-{kind}" for kind in KINDS}
    folders = [install(Path(written(name, kind)["path"])) for kind, name in names.items()]
    done = in_process(tmp_path, "list", "--json", PYTHONPATH=os.pathsep.join(map(str, folders)))
    assert (done.returncode, done.stderr) == (0, "")
    rows = [row for row in json.loads(done.stdout) if row["distribution"] in names.values()]
    assert {row["kind"]: (row["name"], row["distribution"], row["version"]) for row in rows} == {
        kind: (name, name, "0.1.0") for kind, name in names.items()
    }
    assert all(row["summary"] for row in rows)


@pytest.mark.parametrize("kind", KINDS)
def test_components_conform(kind: Kind, whole: Registry) -> None:
    """Each component passes every check of its kind that needs no training."""
    fixture = open_fixture(whole, whole.find(kind, "whole"))
    checks = [check for check in checks_of(kind) if check.name not in SLOW]
    assert len(checks) > 5
    examination = Examination(fixture)
    verdicts = {check.name: examination.verdict(check) for check in checks}
    assert {name: verdict for name, verdict in verdicts.items() if verdict[0] in {"failed", "not run"}} == {}
    assert sum(outcome == "skipped" for outcome, _ in verdicts.values()) < len(checks) / 2


def test_the_readmes_commands_work(site: Path, whole: Registry) -> None:
    """The README's run, made short, trains with all kinds; its other commands can be given."""
    blocks = re.findall(r"^```bash\n(.*?)^```$", (site / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    commands = [shlex.split(line) for line in "".join(blocks).replace("\\\n", "").splitlines()]
    ours = [words[1:] for words in commands if words[0] == "ganforge"]
    assert {words[0] for words in ours} == {"list", "run", "describe", "check"}
    for words in ours:
        typer.main.get_command(app).get_command(None, words[0]).make_context(words[0], words[1:])  # type: ignore[attr-defined]
        if words[0] == "describe":
            assert command(*words).returncode == 0
    (run,) = (words for words in ours if words[0] == "run")
    done = command(*run, *SHORT.split(), "--out", "run")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "finished"
    chosen = tomllib.loads(Path("run/run.toml").read_text("utf-8"))
    for section in SINGLE:
        assert chosen[section]["name"] == "whole"
    for section in ("term", "augment"):
        assert chosen[section]["names"] == ["whole"]
    assert {phase: table["name"] for phase, table in chosen["optimizer"].items()} == {"gen": "whole", "disc": "whole"}
    assert chosen["schedules"]["names"] == ["optimizer.disc.lr", "optimizer.gen.lr"]
    assert chosen["schedules"]["optimizer.gen.lr"]["name"] == "whole"
    assert chosen["metric"]["names"] == ["fid", "whole"], "fid is what the features are for"
    row = json.loads(Path("run/evaluation.jsonl").read_text("utf-8").splitlines()[-1])
    assert row["scores"].keys() == {"fid", "brightness-distance", "contrast-distance"}
    assert row["protocol"]["features"]["name"] == "whole"


def test_the_features_are_light_and_contrast(whole: Registry) -> None:
    """An image that is black on its left and striped on its right has brightness 0 and ½, and contrast 0 and ½."""
    cls = whole.load(whole.find("features", "whole"))
    image = torch.zeros(1, 1, 4, 4, dtype=torch.uint8)
    image[..., 3] = 255
    extractor = cls(cls.Options(), ImageSpec(1, 4, 4))
    features = extractor(image).features
    assert features.tolist() == [[0, 0.5, 0, 0.5, 0, 0.5, 0, 0.5]]
    assert extractor.size == features.shape[1]


def test_the_loss_is_the_hinge(whole: Registry) -> None:
    """At logits 2 and 0.5 the discriminator loses max(0, 1 - 2) + (1 + 0.5), the generator -0.5."""
    loss = made(whole, "loss")
    real, fake = DiscriminatorOutput(torch.tensor([2.0])), DiscriminatorOutput(torch.tensor([0.5]))
    assert loss.discriminator_loss(real=real, fake=fake).tolist() == [1.5]
    assert loss.generator_loss(real=real, fake=fake).tolist() == [-0.5]


def test_the_term_is_r1(whole: Registry) -> None:
    """For the logits ⟨w, x⟩ the squared gradient norm is |w|² at every image."""
    weight = torch.arange(6.0).view(1, 1, 2, 3)

    class Linear(Discriminator):
        def forward(self, images: Any, condition: Tensor | None = None) -> Tensor:
            logits: Tensor = (images * weight).flatten(1).sum(1)
            return logits

    discriminator = Linear(Linear.Options(), ImageSpec(1, 2, 3))
    step = TrainStep(
        phase="disc",
        step=0,
        progress=0.0,
        images_seen=0,
        real=torch.randn(4, 1, 2, 3),
        z=torch.randn(4, 2),
        modules={"discriminator": discriminator},
        derive_rng=lambda name: torch.Generator(),
    )
    assert made(whole, "term")(step).tolist() == [float(weight.square().sum())] * 4


def test_the_latents_lie_on_a_sphere(whole: Registry) -> None:
    """Every latent has the norm √dim times the radius, in directions that average to nothing."""
    z = made(whole, "latent", radius=2.0).sample(4000, 9, torch.Generator().manual_seed(0))
    torch.testing.assert_close(z.norm(dim=1), torch.full((4000,), 6.0))
    assert z.mean(0).abs().max() < 0.1


def test_the_optimizer_decays_matrices_only(whole: Registry) -> None:
    """Without gradients a matrix shrinks by the decay's share of the learning rate, and a bias stays."""
    layer = torch.nn.Linear(3, 2)
    before = [weight.detach().clone() for weight in layer.parameters()]
    optimizer = made(whole, "optimizer", lr=0.5, decay=0.1).create(layer.named_parameters())
    for weight in layer.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    torch.testing.assert_close(layer.weight.detach(), before[0] * 0.95)
    assert torch.equal(layer.bias, before[1])


def test_the_schedule_is_polynomial(whole: Registry) -> None:
    """With power 2 the factor is 1 first, a quarter halfway, and 0 after the end."""
    schedule = made(whole, "schedule")
    assert [schedule.factor(step, 8) for step in (0, 4, 9)] == [1, 0.25, 0]


def test_the_augmentation_shifts_whole_pixels(whole: Registry) -> None:
    """Each image is shifted by at most `share`, and all shifts up to it occur; the padding is gray."""
    images = torch.zeros(200, 2, 8, 12)
    images[:, 0, 4, 6] = images[:, 1, 4, 6] = 1
    augmentation = made(whole, "augmentation", share=0.25)
    step = SimpleNamespace(rng=torch.Generator().manual_seed(0))
    parameters = augmentation.sample_parameters(images, step, real=True)
    found = augmentation(images, parameters)
    assert torch.equal(found, augmentation(images, parameters)), "the same parameters give the same images"
    assert torch.equal(found[:, 0], found[:, 1])
    where = found[:, 0].nonzero()
    assert where[:, 0].tolist() == list(range(200)), "one pixel in each image"
    assert sorted(set((where[:, 1] - 4).tolist())) == [-2, -1, 0, 1, 2]
    assert sorted(set((where[:, 2] - 6).tolist())) == [-3, -2, -1, 0, 1, 2, 3]


def test_the_metric_measures_a_shift(whole: Registry) -> None:
    """Images that are 51 brighter are at distance 51/255 in brightness, and at none in contrast."""
    rng = torch.Generator().manual_seed(0)
    real = torch.randint(0, 200, (40, 1, 6, 6), generator=rng, dtype=torch.uint8)
    batches = {"real": [real[:16], real[16:]], "fake": [real[:9] + 51, real[9:] + 51]}
    scores = made(whole, "metric").compute(SimpleNamespace(batches=batches.__getitem__)).scores
    assert scores["brightness-distance"] == pytest.approx(0.2)
    assert scores["contrast-distance"] == pytest.approx(0, abs=1e-9)


def test_the_dataset_draws_the_shapes_that_it_names(whole: Registry) -> None:
    """The light of each shape is its area's: π r², (1.6 r)² and the triangle's 3√3 (0.6 r)²; splits differ."""
    module = import_module("ganforge_whole.dataset")
    numbers = torch.tensor([[0.5, 0.5, 1.0, 0.3, 1.0]])
    radius = 0.3 * 64
    areas = (torch.pi * radius**2, (1.6 * radius) ** 2, 27**0.5 * (0.6 * radius) ** 2)
    for label, area in enumerate(areas):
        image = module.draw(torch.tensor([label]), numbers, 64)
        assert float(image.sum() / 255) == pytest.approx(area, rel=0.01)
    data = made(whole, "dataset", images=600)
    train, test = data.open("train"), data.open("test")
    assert (len(train), len(test)) == (600, 100)
    assert torch.bincount(train.condition).min() > 150
    assert not torch.equal(train.images[:100], test.images)
    assert data.info.image == ImageSpec(1, 28, 28, ConditionSpec.classes(3))


def test_it_imports_nothing_heavy() -> None:
    """A project is written without torch and numpy, so at once."""
    program = (
        "import sys; from ganforge.cli.app import app; app(sys.argv[1:], standalone_mode=False); "
        "sys.exit(', '.join({'torch', 'torchvision', 'numpy'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, "new-plugin", "my-gan", "--kind", ALL],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert Path("my-gan/README.md").is_file()

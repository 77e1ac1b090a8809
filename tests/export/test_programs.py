"""Exports as programs: the run's images for every batch size, in other programs and without ganforge."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ganforge import Generator, ImageSpec, TrainedRun, load
from ganforge.builtin.latents import Normal
from ganforge.config import command_line_layer
from ganforge.config.resolve import resolve
from ganforge.errors import IncompatibleError, UsageError
from ganforge.export.generator import ExportedGenerator, ImageFunction, Inputs
from ganforge.export.program import export_torch, trace
from ganforge.export.weights import export_weights
from ganforge.plugins.registry import Registry
from ganforge.runs import launch
from ganforge.runs.setup import prepare
from tests.helpers.plugins import command
from tests.helpers.runs import ROOT

PLUGIN = ROOT / "tests" / "helpers" / "sampling_plugin.py"
SETTINGS = ("gen=any", "disc=any", "data=mnist", "data.source=sample", "batch_size=8", "precision=fp32", "steps=2")
LATENT_DIM, COUNT = 6, 5
NO_ONNX = importlib.util.find_spec("onnxruntime") is None or importlib.util.find_spec("onnxscript") is None
needs_onnx = pytest.mark.skipif(NO_ONNX, reason="needs onnxruntime and onnxscript: python -m pip install '.[onnx]'")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    """Train a generator with classes, whose images leave [-1, 1], for two steps."""
    registry = Registry.discover([PLUGIN], no_plugins=True)
    path = tmp_path_factory.mktemp("secret-folder") / "run"
    launch.start_run(prepare(resolve([command_line_layer(SETTINGS)], registry), registry), out=path)
    return load(path, plugins=[PLUGIN])


@pytest.fixture
def exported(run: TrainedRun) -> ExportedGenerator:
    """Return the run's generator with a sampling option."""
    return ExportedGenerator(run, run.checkpoint(), "generator", sampling={"truncation": 0.5})


@pytest.fixture
def inputs(run: TrainedRun) -> Inputs:
    """Return latents and classes."""
    latents = run.sample(COUNT, 7).latents
    return torch.from_numpy(latents), torch.arange(COUNT) % 10


def pixels(images: Tensor) -> Tensor:
    """Return images in [-1, 1] as bytes."""
    assert float(images.abs().max()) <= 1
    return images.add(1).mul(127.5).round()


def expected(run: TrainedRun, inputs: Inputs) -> Tensor:
    """Return what sampling draws, as bytes in float32, `(N, C, H, W)`."""
    z, classes = inputs
    samples = run.sample(latents=z, condition=classes.numpy(), sampling={"truncation": 0.5})
    return torch.from_numpy(samples.images).permute(0, 3, 1, 2).float()


def test_a_program_of_torch_draws_the_images_of_the_run(
    run: TrainedRun, exported: ExportedGenerator, inputs: Inputs, tmp_path: Path
) -> None:
    """The program has the sampling option, the clamp and the classes, any batch size, equal bytes, and no path."""
    for name in ("one.pt2", "two.pt2"):
        export_torch(exported, tmp_path / name)
    content = (tmp_path / "one.pt2").read_bytes()
    assert content == (tmp_path / "two.pt2").read_bytes()
    assert str(ROOT).encode() not in content
    assert b"secret-folder" not in content
    extra = {"ganforge.json": ""}
    program = torch.export.load(tmp_path / "one.pt2", extra_files=extra).module()
    assert torch.allclose(pixels(program(*inputs)), expected(run, inputs), atol=1)
    assert len(program(*(value[:1] for value in inputs))) == 1
    facts = json.loads(extra["ganforge.json"])
    assert (facts["latent"], facts["image"]) == ({"name": "normal", "size": LATENT_DIM}, [1, 28, 28])
    assert facts["condition"]["num_classes"] == 10
    assert facts["sampling"] == {"truncation": 0.5}


@needs_onnx
def test_an_onnx_model_draws_the_images_of_the_run(run: TrainedRun, inputs: Inputs, tmp_path: Path) -> None:
    """The library onnxruntime draws them from the command's file, which names its inputs and has no path."""
    import onnxruntime  # noqa: PLC0415 - an extra

    path = tmp_path / "generator.onnx"
    flags = ("--plugin", PLUGIN, "--no-plugins", "--sampling.truncation", "0.5", "--out", path)
    finished = command("export", run.path, "--to", "onnx", *flags)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert str(ROOT).encode() not in path.read_bytes()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    z, classes = inputs
    (images,) = session.run(None, {"z": z.numpy(), "condition": classes.numpy()})
    assert torch.allclose(pixels(torch.from_numpy(images)), expected(run, inputs), atol=1)
    assert [value.shape for value in session.get_outputs()] == [["batch", 1, 28, 28]]
    assert json.loads(session.get_modelmeta().custom_metadata_map["ganforge"])["step"] == 2


@pytest.mark.slow
def test_weights_run_in_plain_pytorch(
    run: TrainedRun, exported: ExportedGenerator, inputs: Inputs, tmp_path: Path
) -> None:
    """The example in generator.py runs where ganforge cannot be imported; names in the file are the checkpoint's."""
    folder = tmp_path / "weights"
    export_weights(exported, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["generator.py", "generator.safetensors"]
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1
    assert load_file(folder / "generator.safetensors").keys() == run.generator().state_dict().keys()
    source = (folder / "generator.py").read_text()
    example = "\n".join(line.strip() for line in source.split('"""')[1].splitlines() if line.startswith("    "))
    assert len(example.splitlines()) < 15
    np.savez(tmp_path / "inputs.npz", z=inputs[0].numpy(), condition=inputs[1].numpy())
    program = (
        "import sys\nsys.modules['ganforge'] = None\nimport numpy as np\n"
        f"{example}\nassert images.shape == (16, 1, 28, 28)\n"
        f"given = np.load({str(tmp_path / 'inputs.npz')!r})\n"
        "images = generator(torch.from_numpy(given['z']), torch.from_numpy(given['condition']))\n"
        f"np.save({str(tmp_path / 'images.npy')!r}, images.numpy())\n"
    )
    (folder / "program.py").write_text(program)
    subprocess.run([sys.executable, "-B", "program.py"], check=True, cwd=folder, env={})
    images = torch.from_numpy(np.load(tmp_path / "images.npy"))
    assert torch.allclose(pixels(images), expected(run, inputs), atol=1)


class Noisy(Generator):
    """Generator that draws noise for each image."""

    def __init__(self) -> None:
        super().__init__(self.Options(latent_dim=4), ImageSpec(1, 2, 2))
        self.layer = nn.Linear(4, 4)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        images: Tensor = self.layer(z) + torch.randn(len(z), 4)
        return images.view(-1, 1, 2, 2)


class Counting(Noisy):
    """Generator whose buffer counts its calls."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        self.calls += 1
        images: Tensor = self.layer(z) * self.calls
        return images.view(-1, 1, 2, 2)


class Choosing(Noisy):
    """Generator that decides by a number of the image."""

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        images: Tensor = self.layer(z)
        return (images if float(images.sum()) > 0 else -images).view(-1, 1, 2, 2)


class Untrained(ExportedGenerator):
    """Exported generator without a run."""

    name = "generator 'small'"

    def __init__(self, generator: Generator) -> None:
        self.latent = Normal(Normal.Options())
        self.function = ImageFunction(generator).eval()


@pytest.mark.parametrize(
    ("generator", "message"),
    [
        (Noisy, r"generator 'small' draws random numbers \(aten.randn.default\)"),
        (Counting, r"generator 'small' changes its state \(calls\)"),
        (Choosing, "generator 'small' cannot be traced by torch.export: "),
    ],
)
def test_generators_without_a_program_are_refused(generator: type[Noisy], message: str) -> None:
    """Noise, state and decisions about numbers have one message each, whose fix is another format."""
    with pytest.raises(IncompatibleError, match=message) as caught:
        trace(Untrained(generator()))
    assert "--to bundle" in str(caught.value.fix)
    assert "\n" not in caught.value.message


def test_an_export_that_differs_is_refused(exported: ExportedGenerator) -> None:
    """Images that differ by more than 1e-4, are not numbers, or have another shape are an error."""
    exported.verify("it", lambda inputs: exported.function(*inputs) + 5e-5)
    with pytest.raises(IncompatibleError, match=r"images of it differ from those of generator 'any' by 0\.0002"):
        exported.verify("it", lambda inputs: exported.function(*inputs) + 2e-4)
    with pytest.raises(IncompatibleError, match="by nan"):
        exported.verify("it", lambda inputs: exported.function(*inputs) * torch.nan)
    with pytest.raises(IncompatibleError, match=r"returns \(1, 1, 28, 27\) in place of \(1, 1, 28, 28\)"):
        exported.verify("it", lambda inputs: exported.function(*inputs)[..., 1:])


def test_a_missing_extra_is_named(exported: ExportedGenerator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without onnxruntime the message has the command that installs it."""
    from ganforge.export.onnx import onnx_model  # noqa: PLC0415 - as a user without it imports it

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UsageError) as caught:
        onnx_model(exported)
    assert caught.value.fix == "python -m pip install 'ganforge[onnx]'"

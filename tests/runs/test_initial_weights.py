"""Initial weights: `--init` and `--init.freeze`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ganforge.config import Experiment, Layer, read_document
from ganforge.config.resolve import resolve
from ganforge.errors import ConfigError
from ganforge.plugins.registry import Registry
from ganforge.runs import launch
from ganforge.runs.bundle import write_bundle
from ganforge.runs.setup import prepare
from ganforge.runs.trained_run import TrainedRun
from ganforge.training.callbacks import Callback
from ganforge.training.run_directory import RunDirectory
from tests.helpers.checkpoints import digests
from tests.helpers.runs import tiny

MLP = ("gen=mlp", "disc=mlp", "gen.hidden=[16]", "disc.hidden=[16]", "steps=3", "optimizer.lr=1e-2")


def train(registry: Registry, out: Path, *settings: str) -> RunDirectory:
    """Train a small MLP GAN for three steps."""
    prepared = prepare(tiny(registry, *MLP, *settings), registry)
    launch.start_run(prepared, out=out, callback=Callback())
    return RunDirectory(out)


def weights(run: RunDirectory, network: str, step: int = 3) -> dict[str, Tensor]:
    """Return the weights of a network in a checkpoint."""
    return load_file(run.checkpoint_path(step) / f"{network}.safetensors")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """Return a trained run."""
    return train(Registry.discover(no_plugins=True), tmp_path_factory.mktemp("source") / "run")


@pytest.mark.parametrize("choice", ["", "@3"], ids=["newest", "step"])
def test_a_run_starts_from_the_weights_of_another(
    choice: str, source: RunDirectory, registry: Registry, tmp_path: Path
) -> None:
    """All tensors are those of the source's checkpoint; run.json records the source."""
    prepared = prepare(tiny(registry, *MLP, "seed=5", f"init={source.path}{choice}"), registry)
    for network in ("generator", "discriminator"):
        state = prepared.gan.modules()[network].state_dict()
        assert all(torch.equal(state[name], value) for name, value in weights(source, network).items())
    assert prepared.init is not None
    assert (prepared.init.step, prepared.init.loaded, prepared.init.skipped) == (3, 8, [])
    launch.start_run(prepared, out=tmp_path / "run", callback=Callback())
    record = RunDirectory(tmp_path / "run").read_manifest().init
    assert record == prepared.init
    assert len(record.sha256) == 64


def test_a_repeated_configuration_starts_from_the_same_weights(
    source: RunDirectory, registry: Registry, tmp_path: Path
) -> None:
    """run.toml repeats a run with initial weights to the bit, and another initialization ends elsewhere."""
    first = train(registry, tmp_path / "first", f"init={source.path}", "init.freeze=discriminator.layers.0")
    layers = [Layer("run.toml", read_document(first.config))]
    launch.start_run(prepare(resolve(layers, registry), registry), out=tmp_path / "second", callback=Callback())
    assert digests(first) == digests(RunDirectory(tmp_path / "second"))
    assert digests(first) != digests(train(registry, tmp_path / "third"))


def test_frozen_parameters_keep_their_values_also_after_a_resume(
    source: RunDirectory, registry: Registry, tmp_path: Path
) -> None:
    """`init.freeze` takes parameters out of the training, and a resumed run keeps them out."""
    run = train(
        registry, tmp_path / "run", f"init={source.path}", "init.freeze=discriminator.layers.0,generator.*.bias"
    )
    launch.resume_run(run, registry, launch.ResumeOverrides(steps=5), callback=lambda _: Callback())
    before, after = weights(source, "discriminator"), weights(run, "discriminator", 5)
    assert {name for name, value in before.items() if torch.equal(value, after[name])} == {
        "layers.0.weight",
        "layers.0.bias",
    }
    before, after = weights(source, "generator"), weights(run, "generator", 5)
    assert all(torch.equal(value, after[name]) == name.endswith("bias") for name, value in before.items())


def test_tensors_that_do_not_match_are_named(source: RunDirectory, registry: Registry) -> None:
    """Other shapes and names stay as the seed made them; the notice and the record list them."""
    settings = ("init=" + str(source.path), "gen.hidden=[16, 8]")
    prepared = prepare(tiny(registry, *MLP, *settings), registry)
    fresh = prepare(tiny(registry, *MLP, settings[1]), registry)
    assert prepared.init is not None
    assert prepared.init.skipped == [
        "generator.layers.2.weight: 8 × 16 here, 784 × 16 in the source",
        "generator.layers.2.bias: 8 here, 784 in the source",
        "generator.layers.4.weight: not in the source",
        "generator.layers.4.bias: not in the source",
    ]
    assert "6 tensors loaded, 4 not: generator.layers.2.weight" in "\n".join(prepared.resolved.notices)
    state, expected = prepared.gan.generator.state_dict(), fresh.gan.generator.state_dict()
    assert torch.equal(state["layers.4.weight"], expected["layers.4.weight"])
    assert torch.equal(state["layers.0.weight"], weights(source, "generator")["layers.0.weight"])


@pytest.mark.parametrize("networks", [("generator",), ("generator", "discriminator")])
def test_a_safetensors_file_initializes_networks(
    networks: tuple[str, ...], source: RunDirectory, registry: Registry, tmp_path: Path
) -> None:
    """Plain names are the generator's; prefixes choose the network."""
    tensors = {
        f"{network}.{name}" if len(networks) > 1 else name: value
        for network in networks
        for name, value in weights(source, network).items()
    }
    save_file(tensors, tmp_path / "weights.safetensors")
    prepared = prepare(tiny(registry, *MLP, f"init={tmp_path / 'weights.safetensors'}"), registry)
    assert prepared.init is not None
    assert prepared.init.step is None
    assert prepared.init.loaded == len(tensors)
    for network in networks:
        state = prepared.gan.modules()[network].state_dict()
        assert all(torch.equal(state[name], value) for name, value in weights(source, network).items())


@pytest.mark.parametrize("settings", [(), ("ema_halflife_images=100",)], ids=["weights", "moving average"])
def test_a_bundle_initializes_the_generator(settings: tuple[str, ...], registry: Registry, tmp_path: Path) -> None:
    """A bundle has the weights that `sample` draws with; the discriminator keeps those of the seed."""
    trained = TrainedRun(train(registry, tmp_path / "run", *settings), registry)
    file = trained.weights_file(ema=None)
    write_bundle(trained, trained.checkpoint(), file, tmp_path / "run.zip")
    prepared = prepare(tiny(registry, *MLP, f"init={tmp_path / 'run.zip'}"), registry)
    state = prepared.gan.generator.state_dict()
    assert all(torch.equal(state[name], value) for name, value in weights(trained.directory, file).items())
    assert prepared.init is not None
    assert prepared.init.skipped == ["discriminator: not in the source"]


def test_unusable_sources_are_one_message(source: RunDirectory, registry: Registry, tmp_path: Path) -> None:
    """A missing run or step, a pickle, foreign or broken weights, and a pattern without a match are errors."""
    (tmp_path / "weights.pth").write_bytes(b"pickle")
    save_file({"conv.weight": torch.ones(2)}, tmp_path / "foreign.safetensors")
    save_file({"layers.0.bias": torch.full((16,), torch.nan)}, tmp_path / "broken.safetensors")
    cases = {
        "init=nowhere": "nowhere does not exist",
        "init=~unknown-user/x": "~unknown-user/x does not exist",
        f"init={source.path}@7": "no checkpoint of step '7' (available: 3)",
        f"init={tmp_path / 'foreign.safetensors'}": "no tensor has the name and shape",
        f"init={tmp_path / 'broken.safetensors'}": "layers.0.bias has a number that is not finite",
    }
    for setting, message in cases.items():
        with pytest.raises(ConfigError, match=message.replace("(", r"\(").replace(")", r"\)")):
            prepare(tiny(registry, *MLP, setting), registry)
    with pytest.raises(ConfigError, match=r"weights\.pth") as caught:
        prepare(tiny(registry, *MLP, f"init={tmp_path / 'weights.pth'}"), registry)
    assert "import-weights" in str(caught.value.fix)
    with pytest.raises(ConfigError, match=r"matches no parameter; did you mean 'discriminator.layers'"):
        prepare(tiny(registry, *MLP, f"init={source.path}", "init.freeze=discriminator.layer"), registry)
    with pytest.raises(ConfigError, match=r"no option 'frieze'.*did you mean 'freeze'"):
        tiny(registry, f"init={source.path}", "init.frieze=x")
    with pytest.raises(ConfigError, match=r"init\.source must be given"):
        tiny(registry, "init.freeze=x")


def test_the_python_interface_takes_a_source() -> None:
    """A source alone is a table with a source."""
    experiment = Experiment.model_validate({"init": "runs/a@10"})
    assert experiment.init is not None
    assert (experiment.init.source, experiment.init.freeze) == ("runs/a@10", ())

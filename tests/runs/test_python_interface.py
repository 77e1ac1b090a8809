"""Trainings from Python: `ganforge.train` and what it returns."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ganforge as package
from ganforge.errors import UnknownComponentError, UsageError
from tests.helpers.plugins import in_process

#: A training of a second.
EXPERIMENT = package.Experiment(
    gen={"name": "mlp", "hidden": [8]},
    disc={"name": "mlp", "hidden": [8]},
    data={"name": "mnist", "source": "sample"},
    batch_size=10,
    precision="fp32",
    evaluate=None,
)


def test_a_killed_run_is_shown_as_interrupted(tmp_path: Path) -> None:
    """Its run.json remains `running`, as `kill -9` leaves it."""
    trained = package.train(EXPERIMENT, out=tmp_path / "r", steps=1)
    trained.directory.update_manifest(status="running")
    assert repr(trained) == f"<ganforge run {str(tmp_path / 'r')!r}, interrupted after 1 steps>"


def test_training_from_python(tmp_path: Path) -> None:
    """`ganforge.train` returns a run that can be sampled, `ganforge.resume` continues it."""
    trained = package.train(EXPERIMENT, out=tmp_path / "r", steps=3)
    assert trained.manifest.status == "finished"
    assert [row["step"] for row in trained.metrics] == [3]
    assert len(trained.sample(2)) == 2
    assert repr(trained) == f"<ganforge run {str(tmp_path / 'r')!r}, finished after 3 steps>"
    assert "finished after 3 steps" in trained._repr_html_()
    assert "data:image/png;base64," in trained._repr_html_()
    assert repr(trained.sample(2)) == "<2 samples 28×28×1, latents z (100,)>"
    assert "generator" in trained.plot().svg
    assert trained.scores == []
    assert trained.resume(steps=4).manifest.summary == package.load(tmp_path / "r").manifest.summary
    trained.evaluate("sliced-wasserstein", num_samples=10)
    assert (
        trained.scores.to_pandas().loc[4, "sliced-wasserstein"] == trained.evaluations[-1].scores["sliced-wasserstein"]
    )
    assert trained.scores[-1] | {"step": 4, "weights": "generator", "num_samples": 10} == trained.scores[-1]
    longer = package.resume(tmp_path / "r", steps=5)
    assert longer.manifest.as_dict()["summary"]["steps"] == 5
    assert longer.experiment.steps == 5


def test_settings_of_train_are_above_the_experiment_and_presets(tmp_path: Path) -> None:
    """Keywords override the experiment, which overrides presets; options of the same component add up."""
    own: package.ExperimentSettings = {"steps": 1, "gen": {"name": "mlp", "latent_dim": 7}, "batch_size": 4}
    with pytest.warns(UserWarning, match=r"\[\w+\.dcgan\] \(preset quick\) is kept but not used") as caught:
        trained = package.train(EXPERIMENT, preset="quick", out=tmp_path / "r", **own)
    assert {warning.filename for warning in caught} == {__file__}, "the line that called train"
    experiment = trained.experiment
    assert (experiment.steps, experiment.batch_size) == (1, 4)
    assert (experiment.gen.options["hidden"], experiment.gen.options["latent_dim"]) == ([8], 7)
    origins = trained.manifest.origins
    assert origins["batch_size"] == "Python"
    assert any(origin == "preset quick" for origin in origins.values())


def test_mistakes_leave_nothing_behind(tmp_path: Path) -> None:
    """An unknown name gets the nearest one, a dictionary in place of an experiment the fix; nothing is written."""
    with pytest.raises(UnknownComponentError, match="no generator 'dcgn'; did you mean 'dcgan'"):
        package.train(gen="dcgn", out=tmp_path / "r")
    with pytest.raises(UsageError, match=r"the experiment is a dict.*\n.*ganforge\.train\(\*\*settings\)"):
        package.train({"gen": "dcgan"}, out=tmp_path / "r")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


#: Cells of a notebook whose classes are a generator and a loss.
CELLS = (
    """
import math
import torch
from torch import nn
import ganforge
WIDTH = 8
def scaled(x): return WIDTH * x
""",
    """
class MyGenerator(ganforge.Generator):
    class Options(ganforge.Generator.Options):
        width: int = WIDTH
    def __init__(self, options, image):
        super().__init__(options, image)
        self.layers = nn.Sequential(nn.Linear(options.latent_dim, options.width), nn.ReLU())
        self.last = nn.Linear(options.width, math.prod(image.shape))
    def forward(self, z, condition=None):
        return torch.tanh(scaled(self.last(self.layers(z)))).view(-1, *self.image.shape)
class MyLoss(ganforge.Loss):
    def discriminator_loss(self, *, real, fake):
        return torch.relu(1 - real.logits) + torch.relu(1 + fake.logits)
    def generator_loss(self, *, real, fake):
        return -fake.logits
""",
    """
run = ganforge.train(
    gen={"name": MyGenerator, "width": 4}, loss=MyLoss, disc={"name": "mlp", "hidden": [8]}, out="run", steps=2,
    data={"name": "mnist", "source": "sample"}, batch_size=10, precision="fp32", evaluate=None,
)
run.sample(3, seed=5).save_npz("here.npz")
""",
)


def test_classes_of_a_notebook_are_components_in_other_processes(tmp_path: Path) -> None:
    """The run directory has their source, which `sample` and `resume` need; without it, the error names the file."""
    shell = (
        "import sys\nfrom IPython.core.interactiveshell import InteractiveShell\n"
        "for cell in sys.argv[1:]: InteractiveShell.instance().run_cell(cell).raise_error()"
    )
    environment = os.environ | {"GANFORGE_OFFLINE": "1", "IPYTHONDIR": str(tmp_path / "ipython")}
    done = subprocess.run(
        [sys.executable, "-c", shell, *CELLS],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    run = (tmp_path / "run").rename(tmp_path / "moved")
    plugin = run / "components.py"
    record = json.loads((run / "run.json").read_text())
    local = next(item for item in record["plugins"] if item["version"] == "local")
    assert local["path"] == "components.py"
    assert local["sha256"] == hashlib.sha256(plugin.read_bytes()).hexdigest()
    refused = in_process(tmp_path, "sample", run)
    assert refused.returncode == 2
    assert f"this run used a local plugin: pass --plugin {plugin}" in refused.stderr
    with pytest.raises(UnknownComponentError, match="no generator 'my-generator'"):
        package.load(run).sample(1)
    sampled = in_process(tmp_path, "sample", run, "-n", "3", "--seed", "5", "--out", "there.npz", "--plugin", plugin)
    assert sampled.returncode == 0, sampled.stderr
    here, there = np.load(tmp_path / "here.npz"), np.load(tmp_path / "there.npz")
    assert np.array_equal(here["images"], there["images"])
    resumed = package.resume(run, steps=4, plugins=[plugin])
    assert resumed.manifest.resumed[-1].changed == []
    assert resumed.experiment.gen.name == "my-generator"


def test_a_class_of_a_plugin_is_that_component(tmp_path: Path) -> None:
    """A class that an installed plugin provides gets its name there, and nothing is copied."""
    from ganforge.builtin.models.mlp import MlpGenerator  # noqa: PLC0415 - a user's import, next to its use

    trained = package.train(EXPERIMENT, gen={"name": MlpGenerator, "hidden": [4]}, out=tmp_path / "r", steps=1)
    assert trained.experiment.gen.name == "mlp"
    assert trained.experiment.gen.options["hidden"] == [4]
    assert not (trained.path / "components.py").exists()

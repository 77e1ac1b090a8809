"""Trainings from Python: `ganforge.train` and what it returns."""

from __future__ import annotations

from pathlib import Path

import pytest

import ganforge as package
from ganforge.errors import UnknownComponentError, UsageError

#: A training of a second.
EXPERIMENT = package.Experiment(
    gen={"name": "mlp", "hidden": [8]},
    disc={"name": "mlp", "hidden": [8]},
    data={"name": "mnist", "source": "sample"},
    batch_size=10,
    precision="fp32",
    evaluate=None,
)


def test_training_from_python(tmp_path: Path) -> None:
    """`ganforge.train` returns a run that can be sampled, `ganforge.resume` continues it."""
    trained = package.train(EXPERIMENT, out=tmp_path / "r", steps=3)
    assert trained.manifest.status == "finished"
    assert [row["step"] for row in trained.metrics] == [3]
    assert len(trained.sample(2)) == 2
    longer = package.resume(tmp_path / "r", steps=5)
    assert longer.manifest.as_dict()["summary"]["steps"] == 5
    assert longer.experiment.steps == 5


def test_settings_of_train_are_above_the_experiment_and_presets(tmp_path: Path) -> None:
    """Keywords override the experiment, which overrides presets; options of the same component add up."""
    own: package.ExperimentSettings = {"steps": 1, "gen": {"name": "mlp", "latent_dim": 7}, "batch_size": 4}
    with pytest.warns(UserWarning, match=r"\[\w+\.dcgan\] \(preset quick\) is kept but not used"):
        trained = package.train(EXPERIMENT, preset="quick", out=tmp_path / "r", **own)
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

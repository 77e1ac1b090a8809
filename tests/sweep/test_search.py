"""Laws of searches: run directories are the source of truth, whatever happens to the journal."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from ganforge.errors import UsageError
from ganforge.plugins.registry import Registry
from ganforge.sweep.config import SweepConfig
from ganforge.sweep.parse import add_objective_metric, find_objective
from ganforge.sweep.scheduler import TrialResult
from ganforge.sweep.sweep import Sweep
from ganforge.sweep.trials import Trial
from tests.helpers.sweeps import METRIC, make_config, run_names, run_trial

pytest.importorskip("optuna", reason="needs Optuna: python -m pip install '.[search]'")
from ganforge.sweep.search import SearchSource, decode_choice, encode_choice

LR = ("optimizer.lr=1e-5..1e-2:log",)


def search(num_configs: int, **more: object) -> SweepConfig:
    """Return a search over learning rates and batch sizes."""
    return make_config(num_configs=num_configs, spaces=LR, sweeps=("batch_size=8,16",), **more)  # type: ignore[arg-type]


def open_search(config: SweepConfig, registry: Registry, out: str = "m") -> SearchSource:
    """Open a search as the command does."""
    source = Sweep.prepare(config, registry, Path(out), lambda _: None).search
    assert source is not None
    return source


def work(source: SearchSource, registry: Registry, max_trials: int = 10**6) -> list[str]:
    """Train, score and report trials; return their names."""
    names: list[str] = []
    while len(names) < max_trials and (trial := source.next_trial()) is not None:
        source.report(run_trial(source.directory, source.sweep, trial, registry))
        names.append(trial.name)
    return names


def stored(source: SearchSource) -> list[tuple[dict[str, object], float | None]]:
    """Return the choices and the value of each configuration in the storage."""
    return [(trial.params, trial.value if trial.values else None) for trial in source.study.get_trials()]


def states(source: SearchSource) -> list[str]:
    """Return Optuna's state of each configuration."""
    return [trial.state.name for trial in source.study.get_trials()]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished search with three configurations."""
    registry = Registry.discover(no_plugins=True)
    folder = tmp_path_factory.mktemp("searched") / "m"
    work(open_search(search(3), registry, str(folder)), registry)
    return folder


@pytest.mark.parametrize(
    "damage", ["lost", "empty", "half", "torn", "garbage", "another's", "one line", "last line", "plan, too"]
)
def test_a_damaged_journal_is_rebuilt_from_the_runs(damage: str, searched: Path, registry: Registry) -> None:
    """For any damage, no configuration is repeated or lost, and the search continues to the requested number."""
    shutil.copytree(searched, "m")
    intact = open_search(search(3), registry)
    names, configs, journal = run_names(Path("m")), stored(intact), intact.directory.journal
    content = journal.read_bytes()
    damaged = {
        "empty": b"",
        "half": content[: len(content) // 2],
        "torn": content[:-20],
        "garbage": b"\x00\xff{}\n[1, 2]\n",
        "another's": b'{"op_code": 77}\n',
        "one line": content.replace(b"\n", b"\ngarbage\n", 1),
        "last line": content + b"garbage\n",
    }
    journal.write_bytes(damaged[damage]) if damage in damaged else journal.unlink()
    if damage == "plan, too":
        intact.directory.plan.write_text("{")
    times = {name: (Path("m") / name / "run.json").stat().st_mtime_ns for name in names}

    again = open_search(search(4), registry)
    new_names = [name for name in work(again, registry) if name not in names]
    assert len(new_names) == 1
    assert run_names(Path("m")) == sorted([*names, *new_names])
    assert {name: (Path("m") / name / "run.json").stat().st_mtime_ns for name in names} == times
    assert sorted(stored(again)[:3], key=repr) == sorted(configs, key=repr)
    assert all(value is not None for _, value in stored(again))


def test_an_interrupted_search_tries_the_same_configurations(registry: Registry) -> None:
    """The next configuration is a function of the earlier ones: a search opened again after two tries the same four."""
    straight = work(open_search(search(4), registry, "straight"), registry)
    stopped = work(open_search(search(4), registry, "stopped"), registry, max_trials=2)
    stopped += work(open_search(search(4), registry, "stopped"), registry)
    assert stopped == straight
    assert open_search(search(4), registry, "stopped").next_trial() is None


def test_an_abandoned_configuration_comes_first(registry: Registry) -> None:
    """The configuration of a killed process comes before a new one; so does one without scores."""
    source = open_search(search(2, seeds=(0, 1)), registry)
    first = source.next_trial()
    assert first is not None
    again = open_search(search(2, seeds=(0, 1)), registry)
    assert again.next_trial() == first
    run_trial(again.directory, again.sweep, first, registry)
    source.directory.journal.unlink()
    third = open_search(search(2, seeds=(0, 1)), registry)
    assert third.next_trial() == first
    assert third.directory.scores(first, third.sweep.scoring) is not None
    assert len(set(work(third, registry))) == 3


def test_a_failed_configuration_stays_open_and_a_diverged_one_does_not(registry: Registry) -> None:
    """A failure may be the machine's, so it is tried again; a divergence is a result."""
    source = open_search(search(2), registry)
    one, two = source.next_trial(), source.next_trial()
    assert isinstance(one, Trial)
    assert isinstance(two, Trial)
    source.report(TrialResult(one, "failed", error="the disk is full"))
    source.report(TrialResult(two, "diverged", error="a loss is nan"))
    assert states(source) == ["RUNNING", "PRUNED"]
    again = open_search(search(2), registry)
    assert again.next_trial() == one
    assert again.next_trial() is None
    assert again.next_trial() is None, "the end is final"


def test_several_folders_share_a_storage(registry: Registry, tmp_path: Path) -> None:
    """Each folder counts the configurations of the other, and tries none of them."""
    url = f"sqlite:///{tmp_path / 'trials.db'}"
    here, there = (open_search(search(3, storage=url), registry, out) for out in ("here", "there"))
    abandoned = here.next_trial()
    assert abandoned is not None
    names = work(there, registry)
    assert len(names) == 2
    assert abandoned.name not in names
    assert open_search(search(3, storage=url), registry, "here").next_trial() == abandoned
    assert not (Path("here") / "search.journal").exists()
    if Path("/proc/self/fd").is_dir():  # Python 3.13 warns of connections that nothing closes
        assert not [
            file
            for file in Path("/proc/self/fd").iterdir()
            if file.is_symlink() and file.readlink().name.startswith("trials.db")
        ]


def test_a_configuration_that_does_not_fit_has_no_run(registry: Registry) -> None:
    """It is the worst result of all, and is listed with its reason."""
    config = make_config("gen=mlp,dcgan", num_configs=6, sweeps=("gen.base_channels=4,8",))
    source = open_search(config, registry)
    names = work(source, registry)
    unfit = [one for one in source.configs if one.experiment is None]
    assert len(states(source)) == 6
    assert "PRUNED" in states(source)
    assert {one.choices["gen"] for one in unfit} == {"mlp"}
    assert all(name.startswith("dcgan") for name in names)


def test_the_objective_is_a_score_of_a_metric(registry: Registry) -> None:
    """Its direction is that of the metric's class; an unknown score is refused with the nearest one."""
    assert find_objective(METRIC, None, registry) == (METRIC, False)
    with pytest.raises(UsageError, match="did you mean 'sliced-wasserstein'"):
        find_objective("sliced-waserstein", [METRIC], registry)
    without = search(1).model_copy(update={"scoring": search(1).scoring.model_copy(update={"metrics": None})})
    assert add_objective_metric(without, METRIC, registry).scoring.metrics == (METRIC,)


def test_a_search_needs_something_to_vary(registry: Registry) -> None:
    """A search with one value for everything is refused, and nothing is written."""
    with pytest.raises(UsageError, match="needs something to vary"):
        open_search(make_config(num_configs=3), registry)
    assert not Path("m").exists()


def test_a_storage_that_cannot_be_opened_is_one_line(registry: Registry) -> None:
    """An exception of the storage's driver becomes a UsageError."""
    with pytest.raises(UsageError, match="--storage cannot be opened"):
        open_search(search(1, storage="nonsense://host/db"), registry)


@pytest.mark.parametrize("value", [3, 0.5, True, "hinge", [8, 16], "[8]", "{a}", '"quoted"'])
def test_choices_survive_the_storage(value: Any) -> None:
    """A value of a search has its type and content again, also text that looks like JSON."""
    assert decode_choice(encode_choice(value)) == value

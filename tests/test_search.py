"""A search: run directories are the truth, whatever becomes of the journal; real trainings, in this process."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from matrix_parts import METRIC, finish, folder_of_runs, request

from ganforge.errors import UsageError
from ganforge.plugins.registry import Registry
from ganforge.sweep.config import Request
from ganforge.sweep.matrix import Matrix
from ganforge.sweep.scheduler import Result
from ganforge.sweep.search import Study
from ganforge.sweep.search_space import objective_direction, with_metric
from ganforge.sweep.trials import Cell

pytest.importorskip("optuna", reason="needs Optuna: python -m pip install '.[search]'")

LR = ("optimizer.lr=1e-5..1e-2:log",)


def search(trials: int, **more: object) -> Request:
    """Return a search over learning rates and batches."""
    return request(trials=trials, spaces=LR, sweeps=("batch_size=8,16",), **more)  # type: ignore[arg-type]


def opened(asked: Request, registry: Registry, out: str = "m") -> Study:
    """Open a search as the command does."""
    study = Matrix.prepare(asked, registry, Path(out), lambda _: None).study
    assert study is not None
    return study


def work(study: Study, registry: Registry, cells: int = 10**6) -> list[str]:
    """Train, score and tell at most so many cells; return their names."""
    done: list[str] = []
    while len(done) < cells and (cell := study.take()) is not None:
        study.tell(finish(study.directory, study.request, cell, registry))
        done.append(cell.name)
    return done


def told(study: Study) -> list[tuple[dict[str, object], float | None]]:
    """Return what the storage knows: each trial's choices and value."""
    return [(trial.params, trial.value if trial.values else None) for trial in study.study.get_trials()]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a search with three trials, all at their end."""
    registry = Registry.discover(no_plugins=True)
    folder = tmp_path_factory.mktemp("searched") / "m"
    work(opened(search(3), registry, str(folder)), registry)
    return folder


@pytest.mark.parametrize("damage", ["lost", "empty", "half", "torn", "garbage", "another's", "one line", "last line"])
def test_a_journal_is_rebuilt_from_the_runs(damage: str, searched: Path, registry: Registry) -> None:
    """Whatever happened to it: no trial is repeated, none is forgotten, and the search goes on to its number."""
    shutil.copytree(searched, "m")
    intact = opened(search(3), registry)
    before, trials, journal = folder_of_runs(Path("m")), told(intact), intact.directory.journal
    content = journal.read_bytes()
    broken = {
        "empty": b"",
        "half": content[: len(content) // 2],
        "torn": content[:-20],
        "garbage": b"\x00\xff{}\n[1, 2]\n",
        "another's": b'{"op_code": 77}\n',
        "one line": content.replace(b"\n", b"\ngarbage\n", 1),
        "last line": content + b"garbage\n",
    }
    journal.unlink() if damage == "lost" else journal.write_bytes(broken[damage])
    ended = {name: (Path("m") / name / "run.json").stat().st_mtime_ns for name in before}

    again = opened(search(4), registry)
    fresh = [name for name in work(again, registry) if name not in before]
    assert len(fresh) == 1
    assert folder_of_runs(Path("m")) == sorted([*before, *fresh])
    assert {name: (Path("m") / name / "run.json").stat().st_mtime_ns for name in before} == ended
    assert sorted(told(again)[:3], key=repr) == sorted(trials, key=repr)
    assert all(value is not None for _, value in told(again))


def test_an_interrupted_search_tries_what_an_uninterrupted_one_does(registry: Registry) -> None:
    """The next trial is a function of those before it: stopped after two and opened again, the same four are tried."""
    straight = work(opened(search(4), registry, "straight"), registry)
    stopped = work(opened(search(4), registry, "stopped"), registry, cells=2)
    stopped += work(opened(search(4), registry, "stopped"), registry)
    assert stopped == straight
    assert opened(search(4), registry, "stopped").take() is None


def test_a_trial_that_was_left_is_taken_up(registry: Registry) -> None:
    """One that a killed process had asked for comes first, before a new one; so does one whose scores are missing."""
    study = opened(search(2, seeds=(0, 1)), registry)
    first = study.take()
    assert first is not None
    again = opened(search(2, seeds=(0, 1)), registry)
    assert again.take() == first
    finish(again.directory, again.request, first, registry)
    study.directory.journal.unlink()
    third = opened(search(2, seeds=(0, 1)), registry)
    assert third.take() == first
    assert third.directory.scores(first, third.request.scoring) is not None
    assert len(set(work(third, registry))) == 3


def test_a_trial_that_fails_stays_open_and_one_that_diverges_does_not(registry: Registry) -> None:
    """A failure may be the machine's, so it is tried another time; a divergence is an answer."""
    study = opened(search(2), registry)
    one, two = study.take(), study.take()
    assert isinstance(one, Cell)
    assert isinstance(two, Cell)
    study.tell(Result(one, "failed", error="the disk is full"))
    study.tell(Result(two, "diverged", error="a loss is nan"))
    assert [trial.state.name for trial in study.study.get_trials()] == ["RUNNING", "PRUNED"]
    again = opened(search(2), registry)
    assert again.take() == one
    assert again.take() is None
    assert again.exhausted()


def test_several_folders_share_a_storage(registry: Registry, tmp_path: Path) -> None:
    """Each counts the other's trials, and takes up none of them."""
    url = f"sqlite:///{tmp_path / 'trials.db'}"
    here, there = (opened(search(3, storage=url), registry, out) for out in ("here", "there"))
    left = here.take()
    assert left is not None
    done = work(there, registry)
    assert len(done) == 2
    assert left.name not in done
    assert opened(search(3, storage=url), registry, "here").take() == left
    assert not (Path("here") / "search.journal").exists()


def test_a_combination_that_does_not_fit_is_a_trial_without_a_run(registry: Registry) -> None:
    """It is told as the worst there can be, and listed with its reason."""
    asked = request("gen=mlp,dcgan", trials=6, sweeps=("gen.base_channels=4,8",))
    study = opened(asked, registry)
    done = work(study, registry)
    unfit = [one for one in study.combinations if one.experiment is None]
    states = [trial.state.name for trial in study.study.get_trials()]
    assert len(states) == 6
    assert "PRUNED" in states
    assert {one.choices["gen"] for one in unfit} == {"mlp"}
    assert all(name.startswith("dcgan") for name in done)


def test_the_objective_is_a_score_of_a_metric(registry: Registry) -> None:
    """Its direction comes from the metric's class; an unknown one is refused with the nearest."""
    assert objective_direction(METRIC, None, registry) == (METRIC, "lower")
    with pytest.raises(UsageError, match="did you mean 'sliced-wasserstein'"):
        objective_direction("sliced-waserstein", [METRIC], registry)
    bare = search(1).model_copy(update={"scoring": search(1).scoring.model_copy(update={"metrics": None})})
    assert with_metric(bare, METRIC, registry).scoring.metrics == METRIC


def test_a_search_needs_something_to_choose(registry: Registry) -> None:
    """One of everything is no search, and nothing is written."""
    with pytest.raises(UsageError, match="nothing to choose"):
        opened(request(trials=3), registry)
    assert not Path("m").exists()


def test_a_storage_that_cannot_be_opened_is_one_line(registry: Registry) -> None:
    """Whatever its driver raises."""
    with pytest.raises(UsageError, match="--storage cannot be opened"):
        opened(search(1, storage="nonsense://host/db"), registry)

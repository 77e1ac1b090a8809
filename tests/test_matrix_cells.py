"""Which cells a matrix has: what is typed, what is kept, what is the same, and what does not fit."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matrix_parts import METRIC, request

from ganforge.config import Experiment, Layer, nested
from ganforge.config.resolve import resolve
from ganforge.errors import (
    ConfigError,
    GanforgeError,
    IncompatibleError,
    RunDirectoryError,
    UnknownComponentError,
    UsageError,
)
from ganforge.plugins.registry import Registry
from ganforge.sweep.config import Request, ToEvaluate
from ganforge.sweep.directory import MatrixDirectory
from ganforge.sweep.expand import Planner, check_count
from ganforge.sweep.launcher import Stage, Starter
from ganforge.sweep.locks import Claim, claim
from ganforge.sweep.matrix import Listed, plan
from ganforge.sweep.parse import (
    read_layers,
    read_scoring,
    read_search,
    read_seeds,
    read_space,
    read_sweep,
)
from ganforge.sweep.scheduler import Watcher, Work
from ganforge.sweep.storage import check_address
from ganforge.sweep.trials import (
    Cell,
    Combination,
    cells,
    choices_of,
    hashed_name,
    merged,
    plain_name,
    same,
)
from ganforge.training.signals import Interruption

# What is typed


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", (0, 1, 2)), ("1", (0,)), ("3,5,8", (3, 5, 8)), ("3,", (3,)), ("0,0,1", (0, 1))]
)
def test_seeds(text: str, seeds: tuple[int, ...]) -> None:
    """A number alone is how many; with a comma these are the seeds."""
    assert read_seeds(text) == seeds


@pytest.mark.parametrize("text", ["0", "", ",", "-1", "three", "1.5", "1,-2", "10001", "3000000000", "9" * 5000])
def test_what_are_no_seeds(text: str) -> None:
    """The message quotes what was given and says how both forms are written."""
    with pytest.raises(UsageError, match=f"--seeds {text}"):
        read_seeds(text)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("gen.base_channels=32,64", (32, 64)),
        ("gen.base-channels=32,64,32", (32, 64)),
        ("optimizer.lr=1e-4,2e-4", (1e-4, 2e-4)),
        ("gen.hidden=[16],[32, 32]", ([16], [32, 32])),
        ("gen.hidden=[16, 8],none", ([16, 8], "none")),
        ("penalty=none,r1", ("none", "r1")),
        ("optimizer=adam, sgd", ("adam", "sgd")),
        ("reuse_fakes=true,false", (True, False)),
        ("data.path=1979-05-27,2", ("1979-05-27", 2)),
        ("data.path=1979-05-27T07:32:00Z", ("1979-05-27T07:32:00Z",)),
        ("data.paths=[1979-05-27, 07:32:00]", (["1979-05-27", "07:32:00"],)),
    ],
)
def test_sweeps(text: str, values: tuple[Any, ...]) -> None:
    """Values are TOML literals, else words; commas within brackets are the value's; nothing is tried twice."""
    key, found = read_sweep(text)
    assert key == text.partition("=")[0].replace("-", "_")
    assert found == values


@pytest.mark.parametrize("text", ["gen.base_channels", "=3", "gen.base_channels=", "seed=1,2", "gen=mlp,dcgan"])
def test_what_is_no_sweep(text: str) -> None:
    """What has a flag of its own is sent there."""
    with pytest.raises(UsageError, match=r"--sweep") as caught:
        read_sweep(text)
    assert caught.value.fix is not None


@pytest.mark.parametrize(
    ("text", "low", "high", "whole", "log"),
    [
        ("optimizer.lr=1e-5..1e-2:log", 1e-5, 1e-2, False, True),
        ("loss.weight=-0.5..0.5", -0.5, 0.5, False, False),
        ("critic_steps=1..5:int", 1, 5, True, False),
        ("gen.base-channels=8..128:int-log", 8, 128, True, True),
    ],
)
def test_spaces(text: str, low: float, high: float, whole: object, log: object) -> None:
    """Both ends, whether whole, and on which scale."""
    key, space = read_space(text)
    assert key == text.partition("=")[0].replace("-", "_")
    assert (space.low, space.high, space.whole, space.log) == (low, high, whole, log)


NO_SPACES = ["a=2..1", "a=0..1:log", "a=0.5..2:int", "a=1", "a=x..y", "=1..2", "a=1..2:exp"]
NO_SPACES += ["a=1e-5..inf", "a=0..1e400", "a=nan..1", "a=-inf..1:int", "seed=0..9:int", "gen=1..2"]


@pytest.mark.parametrize("text", NO_SPACES)
def test_what_is_no_space(text: str) -> None:
    """Ends in the wrong order or without end, a logarithm of nothing, no range at all, or what has a flag."""
    with pytest.raises(UsageError, match="--space") as caught:
        read_space(text)
    assert caught.value.fix is not None
    assert ("--seeds" in caught.value.fix) == text.startswith("seed")


@pytest.mark.parametrize("text", ["", ",", " , "])
def test_metrics_that_name_nothing_are_refused(text: str) -> None:
    """Else every cell would be trained before its scores are refused; no --metrics at all are the runs' own."""
    with pytest.raises(UsageError, match="--metrics"):
        read_scoring(text, 32)
    assert read_scoring(None, 32) == ToEvaluate(samples=32)


def test_too_many_cells_are_refused_before_any_is_planned(registry: Registry) -> None:
    """The message gives their number and what makes it; a search over as many values is none of it."""
    sweeps = tuple(f"{key}={','.join(map(str, range(1, 301)))}" for key in ("batch_size", "steps"))
    with pytest.raises(UsageError, match=r"180,000 cells \(300 batch_size × 300 steps × 2 seeds\)") as caught:
        plan(request(sweeps=sweeps, seeds=(0, 1)), registry, Path("m"), lambda _: pytest.fail("it was planned"))
    assert "--search N" in str(caught.value.fix)
    check_count(request(sweeps=(sweeps[0],)))


def test_the_command_line_is_split_into_axes_and_the_rest() -> None:
    """The four names are axes, also those of a file where the command line has none; everything else is shared."""
    files = [Path("shared.toml")]
    files[0].write_text('steps = 7\n[loss]\nname = "hinge"\n[gen]\nname = "dcgan"\n[gen.dcgan]\nbase_channels = 8\n')
    axes, base = read_layers(
        ["gen=mlp,dcgan", "gen.mlp.hidden=[8]", "data.source=sample"], ["batch_size=4,8"], None, files
    )
    assert axes == {
        "gen": ("mlp", "dcgan"),
        "disc": ("dcgan",),
        "loss": ("hinge",),
        "data": ("mnist",),
        "batch_size": (4, 8),
    }
    assert base[-1].values == {"gen": {"mlp": {"hidden": [8]}}, "data": {"source": "sample"}}
    with pytest.raises(UsageError, match="--seed is one run's"):
        read_layers(["seed=3"], [], None, [])
    with pytest.raises(UsageError, match="--gen names nothing"):
        read_layers(["gen="], [], None, [])
    with pytest.raises(UsageError, match="varied already"):
        read_layers([], ["steps=1,2", "steps=3"], None, [])


def test_what_belongs_to_a_search_needs_one() -> None:
    """A space without --search is a mistake, and a password would be written down."""
    with pytest.raises(UsageError, match="--space is for a search"):
        read_search(None, ["a=1..2"], None, None)
    with pytest.raises(UsageError, match="password"):
        read_search(3, [], None, "postgresql://me:secret@host/db")
    check_address("postgresql://me@host/db")


def test_without_optuna_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, registry: Registry) -> None:
    """A search without the extra is refused before anything is written."""
    monkeypatch.setitem(sys.modules, "optuna.distributions", None)
    from ganforge.sweep.matrix import Matrix  # noqa: PLC0415

    asked = request(trials=2, spaces=("optimizer.lr=1e-5..1e-2:log",))
    with pytest.raises(UsageError, match="a search needs Optuna") as caught:
        Matrix.prepare(asked, registry, Path("m"), lambda _: None)
    assert str(caught.value.fix).startswith("python -m pip install 'optuna")
    assert not Path("m").exists()


# What is kept

VALUES = st.one_of(st.integers(0, 99), st.floats(0.001, 9), st.booleans(), st.sampled_from(["none", "a b", "r1"]))


@settings(deadline=None, max_examples=30)
@given(values=st.lists(VALUES, min_size=1, max_size=4), seeds=st.lists(st.integers(0, 9), min_size=1, unique=True))
def test_matrix_toml_gives_back_what_was_asked(
    values: list[Any], seeds: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Written and read, a request is the same, adds nothing to itself, and has the same digest."""
    folder = tmp_path_factory.mktemp("request")
    asked = request(seeds=tuple(seeds))
    asked = asked.model_copy(update={"axes": {**asked.axes, "critic_steps": tuple(values)}})
    asked.write(folder)
    read = Request.read(folder)
    assert read.model_dump(mode="json") == asked.model_dump(mode="json")
    assert read.digest == asked.digest
    assert read.hindrance(asked) is None


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"seeds = 3",
        b"seeds = []\n[axes]",
        b"seeds = [0]\nbase = []\n[axes]\ngen = ['mlp']\nloss = ['bce']\ndata = ['mnist']",
        b"seeds = [0]\nbase = []\n[axes]\ngen = ['mlp']\ndisc = []\nloss = ['bce']\ndata = ['mnist']",
        b"not toml",
        b"\x00\xff",
    ],
)
def test_a_damaged_matrix_toml_can_be_replaced(damage: bytes, registry: Registry) -> None:
    """The message is one line that names it, and what it advises works: without it the folder is taken up again."""
    asked = request()
    directory, found = plan(asked, registry, Path("m"), lambda _: None)
    directory.write(asked, found)
    place = Path("m/matrix.toml")
    place.write_bytes(damage)
    with pytest.raises(ConfigError, match=r"m/matrix\.toml") as caught:
        plan(asked, registry, Path("m"), lambda _: None)
    assert "\n" not in caught.value.message
    assert "http" not in caught.value.message
    assert caught.value.fix == "remove it, and give the same command again with --out m"
    place.unlink()
    again, planned_again = plan(asked, registry, Path("m"), lambda _: None)
    again.write(asked, planned_again)
    assert planned_again[0].experiment == found[0].experiment
    assert Request.read(Path("m")).digest == asked.digest


def test_a_folder_in_a_files_place_is_named(registry: Registry) -> None:
    """The message names plan.json, and not only the matrix."""
    asked = request()
    directory, found = plan(asked, registry, Path("m"), lambda _: None)
    directory.plan.mkdir(parents=True)
    with pytest.raises(RunDirectoryError, match=r"m/plan\.json cannot be written"):
        directory.write(asked, found)


def test_a_matrix_may_grow_and_not_change() -> None:
    """Further seeds and values are added; fewer, others, or other settings are refused by name."""
    before = request(seeds=(0, 1), sweeps=("batch_size=4,8",))
    assert request(seeds=(1, 0, 2), sweeps=("batch_size=8,16,4",)).hindrance(before) is None
    assert request("gen=mlp,dcgan", seeds=(0, 1), sweeps=("batch_size=4,8",)).hindrance(before) is None
    for other, word in [
        (request(seeds=(0,), sweeps=("batch_size=4,8",)), "seeds had 1"),
        (request(seeds=(0, 1), sweeps=("batch_size=4",)), "batch_size had 8"),
        (request(seeds=(0, 1)), "batch_size was varied"),
        (request(seeds=(0, 1), sweeps=("batch_size=4,8", "steps=1")), "steps was not varied"),
        (request("steps=9", seeds=(0, 1), sweeps=("batch_size=4,8",)), "steps"),
        (request(seeds=(0, 1), sweeps=("batch_size=4,8",), plugins=("/p.py",)), "plugins"),
        (request(seeds=(0, 1), sweeps=("batch_size=4,8",), trials=3), "no search"),
    ]:
        assert word in str(other.hindrance(before)), word


def test_a_search_may_only_have_more_trials() -> None:
    """Its digest, and so its folder, stays; everything else makes another search of it."""
    before = request(trials=3, spaces=("optimizer.lr=1e-4..1e-2",))
    more = request(trials=5, spaces=("optimizer.lr=1e-4..1e-2",))
    assert more.digest == before.digest
    assert more.hindrance(before) is None
    assert before.hindrance(more) == "it had 5 trials"
    assert request(trials=3, spaces=("optimizer.lr=1e-4..1e-1",)).hindrance(before) == "it is another search"
    assert request(trials=3, spaces=("optimizer.lr=1e-4..1e-2",), seeds=(1,)).hindrance(before) is not None


# What is the same


def test_choices_are_read_from_what_was_resolved(registry: Registry) -> None:
    """Whatever the way in which a choice is spelt, the experiment gives it back, so that runs tell what was tried."""
    choices = {
        "gen": "dcgan",
        "disc": "mlp",
        "loss": "bce",
        "data": "mnist",
        "gen.base_channels": 8,
        "disc.mlp.hidden": [8, 4],
        "penalty": "none",
        "optimizer.lr": 1,
        "optimizer.disc.betas": [0.1, 0.9],
        "ema_halflife_images": "none",
        "steps": 5,
    }
    experiment = resolve([Layer("test", nested(choices.items()), loose=True)], registry).experiment
    found = choices_of(experiment, choices)
    assert found["optimizer.lr"] == 1.0
    assert same(found, choices)
    assert hashed_name(found) == hashed_name(choices)
    assert not same(found, choices | {"gen.base_channels": True})


def test_names_tell_choices_apart() -> None:
    """A name that cannot be read in a path has a digest; choices that differ never share one."""
    base = {"gen": "a", "disc": "b", "loss": "c", "data": "d"}
    assert plain_name(base) == "a-b-c-d"
    assert plain_name(base | {"batch_size": 8}) == "a-b-c-d-batch_size=8"
    odd = [base | {"gen.hidden": value} for value in ([8], [8, 4], "x/y", "x y", "x" * 200, "x" * 201)]
    names = [plain_name(choices) for choices in odd]
    assert len(set(names)) == len(names)
    assert all(len(name) < 140 and "/" not in name for name in names)


def test_two_readings_of_one_name_are_two_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """`a-b` × `c` and `a` × `b-c` are written alike: both have a digest then, and are two combinations."""
    axes = {"gen": ("a", "a-b"), "disc": ("b-c", "c"), "loss": ("l",), "data": ("d",)}
    planner = Planner(request().model_copy(update={"axes": axes}), Registry.discover(no_plugins=True))
    monkeypatch.setattr(Planner, "plan", lambda _, choices, name: Combination(choices, name, reason=str(choices)))
    names = [one.name for one in planner.plan_all(lambda _: None)]
    assert len(set(names)) == 4
    assert names[1:3] == ["a-c-l-d", "a-b-b-c-l-d"]
    assert all(name.startswith("a-b-c-l-d-") for name in (names[0], names[3]))


def planned(asked: Request, registry: Registry) -> list[Combination]:
    """Return the combinations of a request."""
    return merged(Planner(asked, registry).plan_all(lambda _: None))


def test_what_changes_nothing_is_no_combination(registry: Registry) -> None:
    """An option of a generator that a combination does not have leaves one of it, without that choice in its label."""
    found = planned(request("gen=mlp,dcgan", sweeps=("gen.dcgan.base_channels=4,8",)), registry)
    assert [one.choices for one in found if one.choices["gen"] == "mlp"] == [
        {"gen": "mlp", "disc": "mlp", "loss": "bce", "data": "mnist"}
    ]
    assert sorted(one.choices["gen.dcgan.base_channels"] for one in found if one.choices["gen"] == "dcgan") == [4, 8]


def test_what_does_not_fit_is_listed_once_with_the_reason_that_run_gives(registry: Registry) -> None:
    """An option that a generator does not have, for all its values, is one line; the other combinations are cells."""
    found = planned(request("gen=mlp,dcgan", sweeps=("gen.base_channels=4,8",)), registry)
    (unfit,) = [one for one in found if one.experiment is None]
    assert unfit.choices == {"gen": "mlp", "disc": "mlp", "loss": "bce", "data": "mnist"}
    assert "no option 'base_channels'" in str(unfit.reason)
    assert [cell.name for cell in cells(found, (0, 7))] == [
        f"dcgan-mlp-bce-mnist-gen.base_channels={channels}-seed{seed}" for seed in (0, 7) for channels in (4, 8)
    ]


def test_a_misspelt_name_is_a_mistake_and_a_hopeless_matrix_too(registry: Registry) -> None:
    """Neither is listed as inapplicable, and nothing is written."""
    with pytest.raises(UnknownComponentError, match="did you mean 'dcgan'"):
        plan(request("gen=mlp,dcgn"), registry, Path("m"), lambda _: None)
    with pytest.raises(IncompatibleError, match=r"none of the 2 combinations can be run: .*no option 'hiden'"):
        plan(request("gen.hiden=3", sweeps=("batch_size=4,8",)), registry, Path("m"), lambda _: None)
    assert not Path("m").exists()


def test_scores_that_no_run_could_get_are_refused_before_any_is_trained(registry: Registry) -> None:
    """More images than there are, a metric that there is not, or one that needs other features."""
    few = request().model_copy(update={"scoring": ToEvaluate(metrics=METRIC, samples=10**6)})
    with pytest.raises(IncompatibleError, match="evaluating on 1,000,000 images") as caught:
        plan(few, registry, Path("m"), lambda _: None)
    assert "--samples" in str(caught.value.fix)
    misspelt = request().model_copy(update={"scoring": ToEvaluate(metrics="sliced-waserstein")})
    with pytest.raises(UnknownComponentError, match="did you mean 'sliced-wasserstein'"):
        plan(misspelt, registry, Path("m"), lambda _: None)
    blind = request("features=pixels").model_copy(update={"scoring": ToEvaluate(metrics="modes", samples=32)})
    with pytest.raises(IncompatibleError, match="tells classes apart"):
        plan(blind, registry, Path("m"), lambda _: None)


def test_data_is_read_once_for_all_combinations(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four combinations on the same images make their data set once; on two kinds of images, twice."""
    cls = registry.load(registry.find("dataset", "mnist"))
    made: list[object] = []

    def remember(self: Any, options: object, original: Any = cls.__init__) -> None:
        made.append(options)
        original(self, options)

    monkeypatch.setattr(cls, "__init__", remember)
    planned(request("loss=bce", sweeps=("batch_size=4,8", "steps=1,2")), registry)
    assert len(made) == 1


def test_a_plan_holds_once_it_is_written(registry: Registry) -> None:
    """What this machine once decided for a combination is not decided again; a damaged plan is only made anew."""
    asked = request(sweeps=("batch_size=4,8",))
    directory, first = plan(asked, registry, Path("m"), lambda _: None)
    assert first[0].experiment is not None
    changed = first[0].experiment.model_copy(update={"precision": "bf16"})
    directory.write(asked, [Combination(first[0].choices, first[0].name, changed)])
    assert directory.write(asked, first)[0].experiment == changed, "what another process wrote holds"
    again = plan(asked, registry, Path("m"), lambda _: None)[1]
    assert [one.experiment for one in again] == [changed, first[1].experiment]
    for damage in ("", "[{}]", "{", json.dumps([{"choices": {}, "name": "x", "experiment": {"gen": 3}}])):
        directory.plan.write_text(damage)
        assert [one.experiment for one in plan(asked, registry, Path("m"), lambda _: None)[1]] == [
            one.experiment for one in first
        ]


def test_growing_keeps_the_names_of_runs(registry: Registry) -> None:
    """A value in front of the others, for a combination that it does not change, leaves its run where it is."""
    before = request("gen=mlp", sweeps=("gen.dcgan.base_channels=8",))
    directory, found = plan(before, registry, Path("m"), lambda _: None)
    directory.write(before, found)
    more = request("gen=mlp", sweeps=("gen.dcgan.base_channels=4,8",))
    _, after = plan(more, registry, Path("m"), lambda _: None)
    assert {one.name for one in after} == {found[0].name}


def test_a_folder_of_something_else_is_left_alone(registry: Registry) -> None:
    """Neither a run, nor a folder with files in it, becomes a matrix; an empty folder may."""
    Path("other").mkdir()
    assert MatrixDirectory.place(Path("other"), request()).path == Path("other")
    Path("other/thesis.txt").touch()
    with pytest.raises(GanforgeError, match="is no matrix"):
        plan(request(), registry, Path("other"), lambda _: None)


# Claims


def test_a_claim_is_held_by_what_was_started_with_it(tmp_path: Path) -> None:
    """One at a time; a process that inherited it holds it after its parent let go, and until it is killed."""
    if sys.platform == "win32":
        pytest.skip("Windows passes no descriptors on; there a run's own lock keeps others off")
    path = tmp_path / "cell.lock"
    first = claim(path)
    assert first is not None
    assert claim(path) is None
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=first.inherited) as child:
        first.release()
        assert claim(path) is None
        child.kill()
        child.wait()
        second = claim(path)
        assert second is not None
        second.release()


# Processes


def test_jobs_share_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cores are divided, GPUs take turns, a run that goes on has the threads that it began with, and people decide."""
    monkeypatch.setattr("os.cpu_count", lambda: 9)
    for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    on_gpu = Cell(Combination({}, "x", Experiment(device="cuda:0")), 0)
    on_cpu = Cell(Combination({}, "y", Experiment(device="cpu")), 0)
    directory = MatrixDirectory(Path("m"))
    named = request()
    asked = named.model_copy(update={"base": ()})

    def environment(jobs: int, cell: Cell, stage: Stage = "run", slot: int = 0) -> tuple[str | None, str | None]:
        found = Starter(directory, asked, jobs).environment(cell, stage, slot)
        return found.get("OMP_NUM_THREADS"), found.get("CUDA_VISIBLE_DEVICES")

    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert environment(1, on_gpu) == (None, None)
    assert [environment(4, on_gpu, slot=slot)[1] for slot in range(4)] == ["0", "1", "0", "1"]
    assert environment(4, on_cpu, slot=1) == ("2", None)
    assert environment(20, on_cpu)[0] == "1"
    assert "CUDA_VISIBLE_DEVICES" not in Starter(directory, named, 4).environment(on_gpu, "run", 1)
    run = directory.run(on_cpu).path
    run.mkdir(parents=True)
    (run / "run.json").write_text('{"hardware": {"threads": 7}}')
    assert environment(4, on_cpu, "resume")[0] == environment(1, on_cpu, "resume")[0] == "7"
    assert environment(4, on_cpu, "evaluate")[0] == "2"
    for damage in ("3", '{"threads": [1]}', '{"threads": "many"}'):
        (run / "run.json").write_text(f'{{"hardware": {damage}}}')
        assert environment(4, on_cpu, "resume")[0] == "2"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert [environment(2, on_gpu, slot=slot) for slot in range(2)] == [("3", "3"), ("3", "GPU-5")]


# Damage

DAMAGED = [
    ({"status": ["x"]}, "begun", None),
    ({"status": "finished", "summary": 3, "data": 4}, "finished", None),
    ({"status": "finished", "summary": {"steps": 6}, "data": {"sizes": 3}}, "finished", None),
    ({"status": "finished", "summary": {"steps": 6}, "data": {"sizes": {"test": "x"}}}, "finished", None),
    ({"status": "diverged", "error": {"a": 1}}, "diverged", "diverged"),
    ({"status": "running", "hardware": 3}, "begun", None),
]


@pytest.mark.parametrize(("manifest", "state", "status"), DAMAGED)
def test_a_damaged_manifest_tells_less_and_raises_nothing(
    manifest: dict[str, Any], state: str, status: str | None
) -> None:
    """What is no text or table where there should be one is as if it were not there."""
    cell = Cell(Combination({}, "x", Experiment()), 0)
    work = working(request())
    run = work.directory.run(cell)
    run.path.mkdir(parents=True)
    run.manifest.write_text(json.dumps(manifest))
    run.evaluations.write_text(json.dumps({"step": 6, "scores": {}, "protocol": {"split": "test"}}) + "\n")
    assert work.directory.state(cell) == state
    known = work.known(cell)
    assert (None if known is None else known.status) == status
    assert known is None or known.error == "its run.json does not say how"


def working(asked: Request, jobs: int = 1) -> Work:
    """Return the work of some jobs at the matrix `m`, which nobody watches."""
    return Work(MatrixDirectory(Path("m")), asked, jobs, create_autospec(Watcher, instance=True), Interruption())


def test_cells_that_others_work_at_are_looked_at_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many of them and however many jobs: time passes between two looks, and each has its result in the end."""
    wanted = cells([Combination({}, "x", Experiment())], (0, 1, 2))
    work = working(request(), jobs=3)
    work.directory.cells.mkdir(parents=True)
    held = [claim(work.directory.cells / f"{cell.name}.lock") for cell in wanted[:2]]
    looks: list[Cell] = []
    original = MatrixDirectory.claim

    def looked(self: MatrixDirectory, cell: Cell) -> Claim | None:
        looks.append(cell)
        if len(looks) == 9:
            for one in held:
                assert one is not None
                one.release()
        return original(self, cell)

    monkeypatch.setattr(MatrixDirectory, "claim", looked)
    monkeypatch.setattr("ganforge.sweep.scheduler.BUSY_SECONDS", 0.2)
    monkeypatch.setattr("sys.executable", "/bin/false")
    begun = time.monotonic()
    found = work.do(Listed(deque(wanted)))
    assert sorted(result.cell.name for result in found) == sorted(cell.name for cell in wanted)
    assert time.monotonic() - begun >= 3 * 0.2
    assert len(looks) <= 12


def test_a_cell_that_is_asked_for_again_while_it_is_at_work_is_answered_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A search may propose the same choices several times at once; each trial hears what they came to."""
    one, other = cells([Combination({}, "x", Experiment())], (0, 1))
    work = working(request(), jobs=4)
    work.directory.cells.mkdir(parents=True)
    monkeypatch.setattr("ganforge.sweep.scheduler.BUSY_SECONDS", 0.05)
    monkeypatch.setattr("sys.executable", "/bin/false")
    found = work.do(Listed(deque([one, one, one, other])))
    assert sorted(result.cell.seed for result in found) == [0, 0, 0, 1]


@pytest.mark.parametrize("place", ["state", "claim", "manifest", "write_config"])
def test_what_goes_wrong_with_one_cell_fails_that_cell_alone(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever step raises whatever it may: the cell fails with the message, its claim is free, the next is begun."""
    asked = request()
    combination = Combination({}, "x", Experiment())
    wanted = cells([combination], (0, 1))
    work = working(asked)
    work.directory.cells.mkdir(parents=True)
    error = RunDirectoryError("it broke") if place == "claim" else KeyError("it broke")
    original = getattr(MatrixDirectory, place)

    def breaks(self: MatrixDirectory, cell: Cell) -> object:
        if cell == wanted[0]:
            raise error
        return original(self, cell)

    monkeypatch.setattr(MatrixDirectory, place, breaks)
    monkeypatch.setattr("sys.executable", "/bin/false")
    first, second = work.do(Listed(deque(wanted)))
    assert (first.cell, first.status) == (wanted[0], "failed")
    assert "it broke" in str(first.error)
    assert (second.cell, second.status) == (wanted[1], "failed")
    assert str(second.error).startswith("run ended with 1")
    freed = claim(work.directory.cells / f"{wanted[0].name}.lock")
    assert freed is not None
    freed.release()

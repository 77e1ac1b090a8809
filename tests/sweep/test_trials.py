"""Laws of a sweep's trials: flags, sweep.toml, names, configurations that do not fit, locks and scheduling."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganforge.cli._settings import as_settings
from ganforge.cli.sweep import SweepCommand
from ganforge.config import Experiment, Layer
from ganforge.errors import (
    ConfigError,
    GanforgeError,
    IncompatibleError,
    RunDirectoryError,
    UnknownComponentError,
    UsageError,
)
from ganforge.plugins.registry import Registry
from ganforge.sweep.config import MAX_TRIALS, BaseLayer, Document, EvalSpec, SweepConfig
from ganforge.sweep.directory import SweepDirectory
from ganforge.sweep.expand import Planner, check_count
from ganforge.sweep.launcher import Launcher, Stage
from ganforge.sweep.locks import TrialLock, acquire_lock
from ganforge.sweep.parse import (
    check_address,
    parse_layers,
    parse_scoring,
    parse_search,
    parse_seeds,
    parse_space,
    parse_sweep,
)
from ganforge.sweep.scheduler import Scheduler, SweepCallback
from ganforge.sweep.sweep import Sweep, plan
from ganforge.sweep.trials import (
    Trial,
    TrialConfig,
    canonical,
    hashed_name,
    list_trials,
    merge_configs,
    plain_name,
)
from ganforge.utils.signals import Interruption
from tests.helpers.run_directories import MANIFEST, write_json
from tests.helpers.sweeps import METRIC, make_config

# Flags


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", (0, 1, 2)), ("1", (0,)), ("3,5,8", (3, 5, 8)), ("3,", (3,)), ("0,0,1", (0, 1))]
)
def test_parse_seeds(text: str, seeds: tuple[int, ...]) -> None:
    """A number alone is a count; with a comma the numbers are the seeds."""
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["0", "", ",", "-1", "three", "1.5", "1,-2", "10001", "3000000000", "9" * 5000])
def test_invalid_seeds_are_refused(text: str) -> None:
    """The message quotes the argument and shows both forms."""
    with pytest.raises(UsageError, match=f"--seeds {text}"):
        parse_seeds(text)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("gen.base_channels=32,64", (32, 64)),
        ("gen.base-channels=32,64,32", (32, 64)),
        ("optimizer.lr=1e-4,2e-4", (1e-4, 2e-4)),
        ("gen.hidden=[16],[32, 32]", ([16], [32, 32])),
        ("gen.hidden=[16, 8],none", ([16, 8], "none")),
        ("term=none,r1", ("none", "r1")),
        ("optimizer=adam, sgd", ("adam", "sgd")),
        ("reuse_fakes=true,false", (True, False)),
        ("data.path=1979-05-27,2", ("1979-05-27", 2)),
        ("data.path=1979-05-27T07:32:00Z", ("1979-05-27T07:32:00Z",)),
        ("data.paths=[1979-05-27, 07:32:00]", (["1979-05-27", "07:32:00"],)),
    ],
)
def test_parse_sweep(text: str, values: tuple[Any, ...]) -> None:
    """Values are TOML literals or words; commas in brackets belong to a value; equal values count once."""
    key, found = parse_sweep(text)
    assert key == text.partition("=")[0].replace("-", "_")
    assert found == values


@pytest.mark.parametrize(
    "text", ["gen.base_channels", "=3", "gen.base_channels=", "seed=1,2", "gen=mlp,dcgan", "gen.name=a,b"]
)
def test_invalid_sweeps_are_refused(text: str) -> None:
    """The message names the flag of the seeds and of the components."""
    with pytest.raises(UsageError, match=r"--sweep") as caught:
        parse_sweep(text)
    assert caught.value.fix is not None


@pytest.mark.parametrize(
    ("text", "low", "high", "integer", "log"),
    [
        ("optimizer.lr=1e-5..1e-2:log", 1e-5, 1e-2, False, True),
        ("loss.weight=-0.5..0.5", -0.5, 0.5, False, False),
        ("critic_steps=1..5:int", 1, 5, True, False),
        ("gen.base-channels=8..128:int-log", 8, 128, True, True),
    ],
)
def test_parse_space(text: str, low: float, high: float, integer: object, log: object) -> None:
    """Both ends, integer or not, and the scale."""
    key, space = parse_space(text)
    assert key == text.partition("=")[0].replace("-", "_")
    assert (space.low, space.high, space.integer, space.log) == (low, high, integer, log)


INVALID_SPACES = ["a=2..1", "a=0..1:log", "a=0.5..2:int", "a=1", "a=x..y", "=1..2", "a=1..2:exp"]
INVALID_SPACES += ["a=1e-5..inf", "a=0..1e400", "a=nan..1", "a=-inf..1:int", "seed=0..9:int", "gen=1..2"]


@pytest.mark.parametrize("text", INVALID_SPACES)
def test_invalid_spaces_are_refused(text: str) -> None:
    """Ends in the wrong order, infinite ends, logarithm of zero, no range, or a setting with a flag."""
    with pytest.raises(UsageError, match="--space") as caught:
        parse_space(text)
    assert caught.value.fix is not None
    assert ("--seeds" in caught.value.fix) == text.startswith("seed")


@pytest.mark.parametrize("text", ["", ",", " , "])
def test_metric_flag_without_a_name_is_refused(text: str) -> None:
    """Otherwise every trial would be trained before its scores are refused; without --metric, `evaluate` decides."""
    with pytest.raises(UsageError, match="--metric"):
        parse_scoring([text], 32)
    assert parse_scoring([], 32) == EvalSpec(num_samples=32)


def test_metric_and_num_samples_are_flags_of_the_scores() -> None:
    """In a sweep, --metric and --num-samples belong to the leaderboard; --set and flags of options are the runs'."""
    arguments = ["--metric", "fid", "--num-samples", "9", "--steps", "3", "--metric.kid.subsets", "5"]
    assert list(as_settings(arguments, own=SweepCommand.own)) == [
        *("--metric", "fid", "--num-samples", "9"),
        *("--set", "steps=3", "--set", "metric.kid.subsets=5"),
    ]
    assert parse_scoring(["fid,kid", "recall"], 9).arguments == ["--metric", "fid,kid,recall", "--num-samples", "9"]


def test_too_many_trials_are_refused_before_planning(registry: Registry) -> None:
    """The message has their number and its factors; one of the two axes alone is accepted."""
    sweeps = tuple(f"{key}={','.join(map(str, range(1, 301)))}" for key in ("batch_size", "steps"))
    with pytest.raises(UsageError, match=r"180,000 trials \(300 batch_size × 300 steps × 2 seeds\)") as caught:
        plan(make_config(sweeps=sweeps, seeds=(0, 1)), registry, Path("m"), lambda _: pytest.fail("it was planned"))
    assert "--search N" in str(caught.value.fix)
    check_count(make_config(sweeps=(sweeps[0],)))
    check_count(make_config(seeds=parse_seeds(f"{MAX_TRIALS}")))
    with pytest.raises(UsageError, match="10,001 trials"):
        check_count(make_config(seeds=tuple(range(MAX_TRIALS + 1))))
    with pytest.raises(UsageError, match="10,001 seeds exceed the limit"):
        parse_seeds("10001")


def test_the_command_line_is_split_into_axes_and_the_rest() -> None:
    """The four components are axes, those of a file if the command line has none; all other settings are shared."""
    values = {"steps": 7, "loss": {"name": "hinge"}, "gen": {"name": "dcgan", "dcgan": {"base_channels": 8}}}
    axes, base = parse_layers(
        ["gen=mlp,dcgan", "gen.mlp.hidden=[8]", "data.source=sample"],
        ["batch_size=4,8"],
        [Layer("shared.toml", values)],
    )
    assert axes == {
        "gen": ("mlp", "dcgan"),
        "disc": ("dcgan",),
        "loss": ("hinge",),
        "data": ("mnist",),
        "batch_size": (4, 8),
    }
    assert base[-1].values == {"gen": {"mlp": {"hidden": [8]}}, "data": {"source": "sample"}}
    with pytest.raises(UsageError, match="a sweep has no --seed"):
        parse_layers(["seed=3"], [], [])
    with pytest.raises(UsageError, match="--gen: no name"):
        parse_layers(["gen="], [], [])
    with pytest.raises(UsageError, match="varied already"):
        parse_layers([], ["steps=1,2", "steps=3"], [])


def test_flags_of_a_search_need_a_search() -> None:
    """A space without --search is refused, and so is a password, which sweep.toml would hold."""
    with pytest.raises(UsageError, match="--space needs a search"):
        parse_search(None, ["a=1..2"], None, None)
    with pytest.raises(UsageError, match="password"):
        parse_search(3, [], None, "postgresql://me:secret@host/db")
    check_address("postgresql://me@host/db")


def test_search_without_optuna_is_refused(monkeypatch: pytest.MonkeyPatch, registry: Registry) -> None:
    """The message has the command that installs it; nothing is written."""
    for name in ("search", "study"):
        monkeypatch.delitem(sys.modules, f"ganforge.sweep.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "optuna", None)
    config = make_config(num_configs=2, spaces=("optimizer.lr=1e-5..1e-2:log",))
    with pytest.raises(UsageError, match="a search needs Optuna") as caught:
        Sweep.prepare(config, registry, Path("m"), lambda _: None)
    assert str(caught.value.fix).startswith("python -m pip install 'optuna")
    assert not Path("m").exists()


# sweep.toml

VALUES = st.one_of(st.integers(0, 99), st.floats(0.001, 9), st.booleans(), st.sampled_from(["none", "a b", "r1"]))


@settings(deadline=None, max_examples=30)
@given(values=st.lists(VALUES, min_size=1, max_size=4), seeds=st.lists(st.integers(0, 9), min_size=1, unique=True))
def test_sweep_toml_round_trip(values: list[Any], seeds: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    """A configuration that is written and read is equal, has no conflict with itself, and has the same digest."""
    folder = tmp_path_factory.mktemp("request")
    config = make_config(seeds=tuple(seeds))
    config = config.model_copy(update={"axes": {**config.axes, "critic_steps": tuple(values)}})
    config.write(folder)
    read = SweepConfig.read(folder)
    assert read.model_dump(mode="json") == config.model_dump(mode="json")
    assert read.digest == config.digest
    assert read.conflict_with(config) is None


SWEEP_TOML = """
seeds = [0]
base = []
[axes]
gen = ["mlp"]
disc = ["mlp"]
loss = ["bce"]
data = ["mnist"]
"""


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (b"", "seeds is missing"),
        (b"seeds = 3", "seeds = 3: input should be a valid array"),
        (SWEEP_TOML.replace("[0]", '["0"]'), "seeds.0 = '0': input should be a valid integer"),
        (SWEEP_TOML.replace("[0]", "[]"), "seeds = []: tuple should have at least 1 item"),
        (SWEEP_TOML.replace('disc = ["mlp"]', ""), "axes has no disc"),
        (SWEEP_TOML.replace('disc = ["mlp"]', "disc = []"), "axes.disc = []"),
        (SWEEP_TOML + "[scoring]\nnum_sample = 3", "invalid key 'scoring.num_sample'; did you mean 'num_samples'?"),
        (SWEEP_TOML + "[scoring]\nnum_samples = 0", "scoring.num_samples = 0: input should be greater than 0"),
        (SWEEP_TOML.replace("seeds", "seed"), "seeds is missing"),
        (
            SWEEP_TOML + "[search]\nnum_configs = 1\nobjective = 'fid'\n[search.spaces.lr]\nlow = 2\nhigh = 1",
            "search.spaces.lr = {'high': 1, 'low': 2}: 2 is not below 1",
        ),
        (
            SWEEP_TOML + "[search]\nnum_configs = 1\nobjective = 'fid'\n[search.spaces.lr]\nlo = 2\nlow = 1\nhigh = 3",
            "invalid key 'search.spaces.lr.lo'; did you mean 'low'?",
        ),
        (b"x = " + b"[" * 5000, "m/sweep.toml"),
        (b"not toml", "m/sweep.toml is not TOML"),
        (b"\x00\xff", "m/sweep.toml is not TOML"),
    ],
)
def test_a_damaged_sweep_toml_can_be_replaced(damage: bytes | str, problem: str, registry: Registry) -> None:
    """The message is one line with path and problem, and its hint works: without the file the folder is used again."""
    config = make_config()
    directory, found = plan(config, registry, Path("m"), lambda _: None)
    directory.write(config)
    directory.add(found)
    place = Path("m/sweep.toml")
    place.write_bytes(damage if isinstance(damage, bytes) else damage.encode())
    with pytest.raises(ConfigError, match=r"m/sweep\.toml") as caught:
        plan(config, registry, Path("m"), lambda _: None)
    assert problem in caught.value.message
    assert "\n" not in caught.value.message
    assert "http" not in caught.value.message
    assert caught.value.fix == "remove it, and give the same command again with --out m"
    place.unlink()
    again, planned_again = plan(config, registry, Path("m"), lambda _: None)
    again.write(config)
    again.add(planned_again)
    assert planned_again[0].experiment == found[0].experiment
    assert SweepConfig.read(Path("m")).digest == config.digest


def test_a_folder_at_the_path_of_plan_json_is_named(registry: Registry) -> None:
    """The message names plan.json, not only the sweep."""
    config = make_config()
    directory, found = plan(config, registry, Path("m"), lambda _: None)
    directory.plan.mkdir(parents=True)
    with pytest.raises(RunDirectoryError, match=r"m/plan\.json cannot be written"):
        directory.add(found)


def test_a_sweep_can_be_extended_but_not_changed() -> None:
    """More seeds and values are accepted; fewer or other ones, and other settings, are refused by name."""
    before = make_config(seeds=(0, 1), sweeps=("batch_size=4,8",))
    assert make_config(seeds=(1, 0, 2), sweeps=("batch_size=8,16,4",)).conflict_with(before) is None
    assert make_config("gen=mlp,dcgan", seeds=(0, 1), sweeps=("batch_size=4,8",)).conflict_with(before) is None
    for other, word in [
        (make_config(seeds=(0,), sweeps=("batch_size=4,8",)), "seeds included 1"),
        (make_config(seeds=(0, 1), sweeps=("batch_size=4",)), "batch_size included 8"),
        (make_config(seeds=(0, 1)), "batch_size was varied"),
        (make_config(seeds=(0, 1), sweeps=("batch_size=4,8", "steps=1")), "steps was not varied"),
        (make_config("steps=9", seeds=(0, 1), sweeps=("batch_size=4,8",)), "steps"),
        (make_config(seeds=(0, 1), sweeps=("batch_size=4,8",), plugins=("/p.py",)), "plugins"),
        (make_config(seeds=(0, 1), sweeps=("batch_size=4,8",), num_configs=3), "not a search"),
    ]:
        assert word in str(other.conflict_with(before)), word


def test_a_search_can_only_have_more_configurations() -> None:
    """Its digest, and so its folder, stays the same; any other change makes it another search."""
    before = make_config(num_configs=3, spaces=("optimizer.lr=1e-4..1e-2",))
    more = make_config(num_configs=5, spaces=("optimizer.lr=1e-4..1e-2",))
    assert more.digest == before.digest
    assert more.conflict_with(before) is None
    assert before.conflict_with(more) == "it had 5 configurations"
    assert (
        make_config(num_configs=3, spaces=("optimizer.lr=1e-4..1e-1",)).conflict_with(before) == "it is another search"
    )
    assert make_config(num_configs=3, spaces=("optimizer.lr=1e-4..1e-2",), seeds=(1,)).conflict_with(before) is not None


# Names and configurations


def test_equal_choices_have_one_hashed_name() -> None:
    """1 equals 1.0 and a tuple a list, as JSON may change them; true is not 1."""
    choices: dict[str, Any] = {"gen": "dcgan", "optimizer.lr": 1, "disc.mlp.hidden": [8, 4]}
    same: dict[str, Any] = {"disc.mlp.hidden": (8.0, 4), "gen": "dcgan", "optimizer.lr": 1.0}
    assert canonical(choices) == canonical(same)
    assert hashed_name(choices) == hashed_name(same)
    assert canonical(choices) != canonical(choices | {"optimizer.lr": True})


def test_names_differ_for_different_choices() -> None:
    """Choices that a path cannot hold have a hashed name; different choices never share a name."""
    base: dict[str, Any] = {"gen": "a", "disc": "b", "loss": "c", "data": "d"}
    assert plain_name(base) == "a-b-c-d"
    assert plain_name(base | {"batch_size": 8}) == "a-b-c-d-batch_size=8"
    odd = [base | {"gen.hidden": value} for value in ([8], [8, 4], "x/y", "x y", "x" * 200, "x" * 201)]
    names = [plain_name(choices) for choices in odd]
    assert len(set(names)) == len(names)
    assert all(len(name) < 140 and "/" not in name for name in names)


def test_an_ambiguous_name_is_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    """`a-b` × `c` and `a` × `b-c` have the same plain name, so both are hashed."""
    axes = {"gen": ("a", "a-b"), "disc": ("b-c", "c"), "loss": ("l",), "data": ("d",)}
    planner = Planner(make_config().model_copy(update={"axes": axes}), Registry.discover(no_plugins=True))
    monkeypatch.setattr(Planner, "plan", lambda _, choices, name: TrialConfig(choices, name, reason=str(choices)))
    names = [one.name for one in planner.plan_all(lambda _: None)]
    assert len(set(names)) == 4
    assert names[1:3] == ["a-c-l-d", "a-b-b-c-l-d"]
    assert all(name.startswith("a-b-c-l-d-") for name in (names[0], names[3]))


def planned(config: SweepConfig, registry: Registry) -> list[TrialConfig]:
    """Return the configurations of a sweep."""
    return merge_configs(Planner(config, registry).plan_all(lambda _: None))


def test_options_without_effect_are_merged(registry: Registry) -> None:
    """An option of another generator leaves one configuration, without that choice in its label."""
    found = planned(make_config("gen=mlp,dcgan", sweeps=("gen.dcgan.base_channels=4,8",)), registry)
    assert [one.choices for one in found if one.choices["gen"] == "mlp"] == [
        {"gen": "mlp", "disc": "mlp", "loss": "bce", "data": "mnist"}
    ]
    assert sorted(one.choices["gen.dcgan.base_channels"] for one in found if one.choices["gen"] == "dcgan") == [4, 8]


def test_inapplicable_options_are_listed_once_with_the_reason(registry: Registry) -> None:
    """An option that a generator does not have is one entry for all its values; the others are trials."""
    found = planned(make_config("gen=mlp,dcgan", sweeps=("gen.base_channels=4,8",)), registry)
    (unfit,) = [one for one in found if one.experiment is None]
    assert unfit.choices == {"gen": "mlp", "disc": "mlp", "loss": "bce", "data": "mnist"}
    assert "no option 'base_channels'" in str(unfit.reason)
    assert [trial.name for trial in list_trials(found, (0, 7))] == [
        f"dcgan-mlp-bce-mnist-gen.base_channels={channels}-seed{seed}" for seed in (0, 7) for channels in (4, 8)
    ]


def test_unknown_names_and_sweeps_without_trials_are_errors(registry: Registry) -> None:
    """Neither is listed as inapplicable, and nothing is written."""
    with pytest.raises(UnknownComponentError, match="did you mean 'dcgan'"):
        plan(make_config("gen=mlp,dcgn"), registry, Path("m"), lambda _: None)
    with pytest.raises(IncompatibleError, match=r"none of the 2 configurations can be run: .*no option 'hiden'"):
        plan(make_config("gen.hiden=3", sweeps=("batch_size=4,8",)), registry, Path("m"), lambda _: None)
    assert not Path("m").exists()


def test_impossible_scores_are_refused_before_training(registry: Registry) -> None:
    """More images than the split has, an unknown metric, or a metric that needs other features."""
    few = make_config().model_copy(update={"scoring": EvalSpec(metrics=(METRIC,), num_samples=10**6)})
    with pytest.raises(IncompatibleError, match="evaluating on 1,000,000 images") as caught:
        plan(few, registry, Path("m"), lambda _: None)
    assert "--num-samples" in str(caught.value.fix)
    misspelt = make_config().model_copy(update={"scoring": EvalSpec(metrics=("sliced-waserstein",))})
    with pytest.raises(UnknownComponentError, match="did you mean 'sliced-wasserstein'"):
        plan(misspelt, registry, Path("m"), lambda _: None)
    blind = make_config("features=pixels").model_copy(update={"scoring": EvalSpec(metrics=("modes",), num_samples=32)})
    with pytest.raises(IncompatibleError, match="needs a feature extractor that is a classifier"):
        plan(blind, registry, Path("m"), lambda _: None)


def test_the_dataset_is_built_once_for_all_configurations(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four configurations with the same data build one dataset."""
    cls = registry.load(registry.find("dataset", "mnist"))
    datasets: list[object] = []

    def remember(self: Any, options: object, original: Any = cls.__init__) -> None:
        datasets.append(options)
        original(self, options)

    monkeypatch.setattr(cls, "__init__", remember)
    planned(make_config("loss=bce", sweeps=("batch_size=4,8", "steps=1,2")), registry)
    assert len(datasets) == 1


def test_a_written_plan_is_kept(registry: Registry) -> None:
    """A decision of this machine is not made again; a damaged plan is named and computed again."""
    config = make_config(sweeps=("batch_size=4,8",))
    directory, first = plan(config, registry, Path("m"), lambda _: None)
    assert first[0].experiment is not None
    changed = first[0].experiment.model_copy(update={"precision": "bf16"})
    directory.write(config)
    directory.add([TrialConfig(first[0].choices, first[0].name, changed)])
    assert directory.add(first)[0].experiment == changed, "the plan of another process is kept"
    again = plan(config, registry, Path("m"), lambda _: None)[1]
    assert [one.experiment for one in again] == [changed, first[1].experiment]
    whole = first[0].entry().as_dict()
    entry = whole | {"experiment": {"gen": 3}}
    for damage, problem in [
        ("", "m/plan.json is damaged: EOF"),
        ("{", "m/plan.json is damaged: EOF"),
        ("[{}]", "m/plan.json is damaged: input should be an object"),
        ("{}", "m/plan.json is damaged: configs is missing"),
        (
            json.dumps({"configs": [entry]}),
            "m/plan.json is damaged: configs.0.experiment = {'gen': 3}: not a resolved experiment",
        ),
        (json.dumps({"configs": [whole | {"nam": 3}]}), "invalid key 'configs.0.nam'; did you mean 'name'?"),
    ]:
        directory.plan.write_text(damage)
        again = plan(config, registry, Path("m"), lambda _: None)[1]
        assert [one.experiment for one in again] == [one.experiment for one in first]
        assert problem in again[0].notices[0]
        assert again[0].notices[0].endswith("the configurations are planned again")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": "../precious"}, "configs.0.name = '../precious': not the name of a run"),
        ({"name": ".hidden"}, "configs.0.name = '.hidden': not the name of a run"),
        ({"name": "mlp-mlp-bce-mnist-batch_size=8"}, "two configurations have the name"),
        ({"experiment": {"steps": 40}}, "mlp-mlp-bce-mnist-batch_size=4: steps 40, not 4; it is planned again"),
        ({"experiment": {"batch_size": 2}}, "batch_size 2, not 4; it is planned again"),
    ],
)
def test_an_edited_plan_is_not_used(changes: dict[str, Any], problem: str, registry: Registry) -> None:
    """A plan leads no run out of the sweep's folder, and trains no configuration under the name of another."""
    config = make_config(sweeps=("batch_size=4,8",))
    directory, first = plan(config, registry, Path("m"), lambda _: None)
    directory.write(config)
    directory.add(first)
    document = json.loads(directory.plan.read_text())
    entry = document["configs"][0]
    entry |= changes | {"experiment": entry["experiment"] | changes.get("experiment", {})}
    write_json(directory.plan, document)
    again = plan(config, registry, Path("m"), lambda _: None)[1]
    assert [one.experiment for one in again] == [one.experiment for one in first]
    assert [one.name for one in again] == [one.name for one in first]
    assert problem in again[0].notices[0]
    assert [one.experiment for one in directory.add(again)] == [one.experiment for one in first]
    assert plan(config, registry, Path("m"), lambda _: None)[1][0].notices == ()


def test_extending_a_sweep_keeps_the_names_of_runs(registry: Registry) -> None:
    """A new first value without effect on a configuration does not rename its run."""
    before = make_config("gen=mlp", sweeps=("gen.dcgan.base_channels=8",))
    directory, found = plan(before, registry, Path("m"), lambda _: None)
    directory.write(before)
    directory.add(found)
    more = make_config("gen=mlp", sweeps=("gen.dcgan.base_channels=4,8",))
    _, after = plan(more, registry, Path("m"), lambda _: None)
    assert {one.name for one in after} == {found[0].name}


def test_a_folder_of_other_files_is_refused(registry: Registry) -> None:
    """A folder with files does not become a sweep; an empty one does, and one whose sweep.toml met a full disk."""
    Path("other").mkdir()
    assert SweepDirectory.locate(Path("other"), make_config()).path == Path("other")
    Path("other/trials").mkdir()
    Path("other/.lock").touch()
    assert SweepDirectory.locate(Path("other"), make_config()).path == Path("other")
    Path("other/thesis.txt").touch()
    with pytest.raises(GanforgeError, match="is not a sweep"):
        plan(make_config(), registry, Path("other"), lambda _: None)


# Locks


def test_a_lock_is_inherited_by_child_processes(tmp_path: Path) -> None:
    """One holder at a time; a child process holds the lock after its parent released it, until it is killed."""
    if sys.platform == "win32":
        pytest.skip("Windows does not inherit descriptors; there the lock of the run protects it")
    path = tmp_path / "trial.lock"
    first = acquire_lock(path)
    assert first is not None
    assert acquire_lock(path) is None
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=first.descriptors
    ) as child:
        first.release()
        assert acquire_lock(path) is None
        child.kill()
        child.wait()
        second = acquire_lock(path)
        assert second is not None
        second.release()


# Processes


def test_jobs_share_cores_and_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cores are divided, GPUs take turns, a resumed run keeps its number of threads, and the user's settings win.

    A trial is one process, also if the environment has variables of torchrun.
    """
    monkeypatch.setattr("os.cpu_count", lambda: 9)
    for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    on_gpu = Trial(TrialConfig({}, "x", Experiment(device="cuda:0")), 0)
    on_cpu = Trial(TrialConfig({}, "y", Experiment(device="cpu")), 0)
    directory = SweepDirectory(Path("m"))
    named = make_config()
    config = named.model_copy(update={"base": ()})

    def environment(jobs: int, trial: Trial, stage: Stage = "run", slot: int = 0) -> tuple[str | None, str | None]:
        found = Launcher(directory, config, jobs).environment(trial, stage, slot)
        return found.get("OMP_NUM_THREADS"), found.get("CUDA_VISIBLE_DEVICES")

    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "WORLD_SIZE" not in Launcher(directory, config, 1).environment(on_cpu, "run", 0)
    assert environment(1, on_gpu) == (None, None)
    assert [environment(4, on_gpu, slot=slot)[1] for slot in range(4)] == ["0", "1", "0", "1"]
    assert environment(4, on_cpu, slot=1) == ("2", None)
    assert environment(20, on_cpu)[0] == "1"
    assert "CUDA_VISIBLE_DEVICES" not in Launcher(directory, named, 4).environment(on_gpu, "run", 1)
    run = directory.run(on_cpu).path
    run.mkdir(parents=True)
    write_json(run / "run.json", MANIFEST | {"hardware": MANIFEST["hardware"] | {"threads": 7}})
    assert environment(4, on_cpu, "resume")[0] == environment(1, on_cpu, "resume")[0] == "7"
    assert environment(4, on_cpu, "evaluate")[0] == "2"
    write_json(run / "run.json", MANIFEST | {"hardware": 3})
    assert environment(4, on_cpu, "resume")[0] == "2"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert [environment(2, on_gpu, slot=slot) for slot in range(2)] == [("3", "3"), ("3", "GPU-5")]


# Damage


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "finished"),
        ({"status": ["x"]}, "unfinished"),
        ({"summary": 3}, "unfinished"),
        ({"status": "diverged"}, "diverged"),
        ({"status": "diverged", "error": {"a": 1}}, "unfinished"),
        ({"status": "running"}, "unfinished"),
    ],
)
def test_trial_with_a_damaged_manifest_is_unfinished(changes: dict[str, Any], state: str) -> None:
    """Its next process names the damage; no result is taken from it."""
    trial = Trial(TrialConfig({}, "x", Experiment()), 0)
    scheduler = make_scheduler(make_config())
    run = scheduler.directory.run(trial)
    run.path.mkdir(parents=True)
    write_json(run.manifest, MANIFEST | changes)
    assert scheduler.directory.state(trial) == state
    known = scheduler.known_result(trial)
    assert (None if known is None else known.status) == ("diverged" if state == "diverged" else None)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, None),
        ({"device": "cuda:0", "precision": "bf16", "workers": 7, "compile": "on"}, None),
        ({"seed": 1}, "seed 1, not 0"),
        ({"steps": 3000}, "steps 3000, not 1000"),
        ({"batch_size": 8, "log_every": 1}, "batch_size 8, not 16, log_every 1, not 10"),
    ],
)
def test_a_run_of_other_settings_is_no_result(changes: dict[str, Any], problem: str | None, registry: Registry) -> None:
    """Folders that were exchanged, edited, or trained further by hand are not ranked as the trial, and not changed."""
    config = make_config("steps=1000")
    (trial,) = list_trials(planned(config, registry), (0,))
    scheduler = make_scheduler(config)
    run = scheduler.directory.run(trial)
    run.path.mkdir(parents=True)
    write_json(run.manifest, MANIFEST | {"status": "diverged"})
    run.write_experiment(trial.experiment.model_copy(update=changes))
    result = scheduler.known_result(trial)
    assert result is not None
    if problem is None:
        assert result.status == "diverged"
        return
    assert result.status == "failed"
    assert f"run.toml has other settings than the trial: {problem};" in str(result.error)
    (again,) = scheduler.run(iter([trial]))
    assert (again.status, again.error) == ("failed", result.error)
    assert run.manifest.is_file()


def test_a_run_of_fewer_steps_is_unfinished(registry: Registry) -> None:
    """The status finished in run.json ends no trial before its last step."""
    for steps, state in ((1000, "finished"), (2000, "unfinished")):
        (trial,) = list_trials(planned(make_config(f"steps={steps}"), registry), (0,))
        directory = SweepDirectory(Path(f"m{steps}"))
        directory.run(trial).path.mkdir(parents=True)
        write_json(directory.run(trial).manifest, MANIFEST)
        directory.run(trial).write_experiment(trial.experiment)
        assert directory.state(trial) == state


def make_scheduler(config: SweepConfig, jobs: int = 1) -> Scheduler:
    """Return a scheduler of the sweep `m`."""
    return Scheduler(
        SweepDirectory(Path("m")), config, jobs, create_autospec(SweepCallback, instance=True), Interruption()
    )


@pytest.mark.parametrize("damage", ["lost", "renamed twice"])
def test_a_run_without_its_manifest_is_kept(damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of a run whose run.json is lost is renamed, with all of its files, and the user is informed."""
    (trial,) = list_trials([TrialConfig({}, "x", Experiment())], (0,))
    scheduler = make_scheduler(make_config())
    scheduler.directory.trials.mkdir(parents=True)
    checkpoint = Path("m/x-seed0/checkpoints/step-1")
    checkpoint.mkdir(parents=True)
    (checkpoint / "notes.txt").write_text("three weeks of training")
    if damage == "renamed twice":
        Path("m/x-seed0.damaged-1").mkdir()
    monkeypatch.setattr("sys.executable", "/bin/false")
    scheduler.run(iter([trial]))
    kept = Path("m/x-seed0.damaged-1" if damage == "lost" else "m/x-seed0.damaged-2")
    assert (kept / "checkpoints/step-1/notes.txt").read_text() == "three weeks of training"
    assert not Path("m/x-seed0").exists()
    scheduler.callback.on_message.assert_called_once_with(  # type: ignore[attr-defined]  # a mock
        f"m/x-seed0 has lost its run.json; it is now {kept}"
    )


@pytest.mark.parametrize("name", ["thesis.tmp", "notes/run.toml", ".run.toml.swp"])
def test_notes_of_the_user_are_no_remains(name: str) -> None:
    """A file that no start leaves keeps its folder, also with a name like one of those."""
    (trial,) = list_trials([TrialConfig({}, "x", Experiment())], (0,))
    note = Path("m/x-seed0", name)
    note.parent.mkdir(parents=True)
    note.touch()
    assert SweepDirectory(Path("m")).make_room(trial) == Path("m/x-seed0.damaged-1")
    assert Path("m/x-seed0.damaged-1", name).is_file()


def test_remains_of_a_start_are_removed() -> None:
    """A process that was killed before it wrote run.json leaves empty folders, run.toml and a lock."""
    (trial,) = list_trials([TrialConfig({}, "x", Experiment())], (0,))
    directory = SweepDirectory(Path("m"))
    for folder in ("samples", "checkpoints"):
        Path("m/x-seed0", folder).mkdir(parents=True)
    for file in ("run.toml", ".lock", ".run.json.71.tmp"):
        Path("m/x-seed0", file).touch()
    assert directory.make_room(trial) is None
    assert list(Path("m").iterdir()) == []
    assert directory.make_room(trial) is None


@pytest.mark.parametrize("status", [None, "running", "interrupted"])
def test_a_process_that_ends_early_with_code_0_has_failed(status: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A component may call sys.exit(0): the trial is not started again and again."""
    (trial,) = list_trials([TrialConfig({}, "x", Experiment())], (0,))
    scheduler = make_scheduler(make_config())
    scheduler.directory.trials.mkdir(parents=True)
    if status is not None:
        Path("m/x-seed0").mkdir()
        Path("m/x-seed0/run.json").write_text(json.dumps({"status": status}))
    monkeypatch.setattr("sys.executable", "/bin/true")
    (result,) = scheduler.run(iter([trial]))
    stage = "run" if status is None else "resume"
    assert (result.status, result.error) == (
        "failed",
        f"{stage} ended with exit code 0 without finishing the training (see m/trials/x-seed0.log)",
    )


def test_skipped_default_metrics_have_a_notice(registry: Registry) -> None:
    """Without --metric, a metric that `ganforge evaluate` will skip is named before the training, with the reason."""
    config = make_config("features=pixels", sweeps=("batch_size=4,8",))
    few = config.model_copy(update={"scoring": EvalSpec(num_samples=8)})
    found = planned(few, registry)
    skipped = [line for one in found for line in one.notices if "is skipped" in line]
    assert len(skipped) == len(set(skipped)) > 0
    assert any(line.startswith("kid is skipped: ") for line in skipped)


def test_locked_trials_are_tried_again_at_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    """For any number of trials and jobs: BUSY_SECONDS pass between two attempts, and each has a result in the end."""
    trials = list_trials([TrialConfig({}, "x", Experiment())], (0, 1, 2))
    scheduler = make_scheduler(make_config(), jobs=3)
    scheduler.directory.trials.mkdir(parents=True)
    locks = [acquire_lock(scheduler.directory.trials / f"{trial.name}.lock") for trial in trials[:2]]
    attempts: list[Trial] = []
    original = SweepDirectory.lock_trial

    def count_attempt(self: SweepDirectory, trial: Trial) -> TrialLock | None:
        attempts.append(trial)
        if len(attempts) == 9:
            for lock in locks:
                assert lock is not None
                lock.release()
        return original(self, trial)

    monkeypatch.setattr(SweepDirectory, "lock_trial", count_attempt)
    monkeypatch.setattr("ganforge.sweep.scheduler.BUSY_SECONDS", 0.2)
    monkeypatch.setattr("sys.executable", "/bin/false")
    begun = time.monotonic()
    found = scheduler.run(iter(trials))
    assert sorted(result.trial.name for result in found) == sorted(trial.name for trial in trials)
    assert time.monotonic() - begun >= 3 * 0.2
    assert len(attempts) <= 12
    messages = [call.args[0] for call in scheduler.callback.on_message.call_args_list]  # type: ignore[attr-defined]  # a mock
    assert messages == [f"m/{trial.name} is in use by another process; the sweep waits for it" for trial in trials[:2]]


def test_a_trial_that_is_returned_several_times_has_several_results(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A search may propose the same choices several times at once; each proposal gets their result."""
    one, other = list_trials([TrialConfig({}, "x", Experiment())], (0, 1))
    scheduler = make_scheduler(make_config(), jobs=4)
    scheduler.directory.trials.mkdir(parents=True)
    monkeypatch.setattr("ganforge.sweep.scheduler.BUSY_SECONDS", 0.05)
    monkeypatch.setattr("sys.executable", "/bin/false")
    found = scheduler.run(iter([one, one, one, other]))
    assert sorted(result.trial.seed for result in found) == [0, 0, 0, 1]


@pytest.mark.parametrize("place", ["state", "lock_trial", "make_room", "write_config"])
def test_an_error_in_one_trial_fails_only_that_trial(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If any step raises, the trial fails with the message, its lock is released, and the next trial starts."""
    trials = list_trials([TrialConfig({}, "x", Experiment())], (0, 1))
    scheduler = make_scheduler(make_config())
    scheduler.directory.trials.mkdir(parents=True)
    error = RunDirectoryError("it broke") if place == "lock_trial" else KeyError("it broke")
    original = getattr(SweepDirectory, place)

    def breaks(self: SweepDirectory, trial: Trial) -> object:
        if trial == trials[0]:
            raise error
        return original(self, trial)

    monkeypatch.setattr(SweepDirectory, place, breaks)
    monkeypatch.setattr("sys.executable", "/bin/false")
    first, second = scheduler.run(iter(trials))
    assert (first.trial, first.status) == (trials[0], "failed")
    assert "it broke" in str(first.error)
    assert (second.trial, second.status) == (trials[1], "failed")
    assert str(second.error).startswith("run ended with 1")
    freed = acquire_lock(scheduler.directory.trials / f"{trials[0].name}.lock")
    assert freed is not None
    freed.release()


class Named(Document):
    """A document with any values, and with a type that JSON lacks."""

    values: dict[str, Any]
    pair: tuple[int, int]


@pytest.mark.parametrize("path", ["pictures", "pictures\udcff", "\U0001f480\udc80\u00e9"])
def test_names_that_are_not_utf8_survive_a_sweeps_files(path: str, tmp_path: Path) -> None:
    """plan.json and sweep.toml hold the bytes of a path, so that a sweep of it is resumed."""
    document = Named(values={"paths": [path, {"path": path}]}, pair=(1, 2))
    document.write_json(tmp_path / "plan.json")
    assert Named.read_json(tmp_path / "plan.json") == document
    layer = BaseLayer(origin="command line", values={"data": {"path": path}})
    config = make_config().model_copy(update={"base": (layer,)})
    config.write(tmp_path)
    assert SweepConfig.read(tmp_path) == config

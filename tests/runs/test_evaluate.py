"""`ganforge evaluate` and `TrainedRun.evaluate`: scores of a run that was trained, from any checkpoint, at any time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import ganforge as package
from ganforge.errors import ConfigError, DataError, GanforgeError, RunDirectoryError, TooFewImagesError, UsageError
from ganforge.plugins.registry import Registry
from ganforge.runs import evaluate, launch
from ganforge.runs.launch import ResumeOverrides
from ganforge.runs.setup import prepare
from ganforge.training.callbacks import Callback
from ganforge.training.run_directory import RunDirectory, RunLock
from tests.helpers.evaluation_plugin import scoring_plugin
from tests.helpers.image_folders import pictures, run_on
from tests.helpers.plugins import command, in_process, local, notes
from tests.helpers.run_directories import change_json
from tests.helpers.runs import read_rows, tiny

SMALL = ("gen=mlp", "disc=mlp", "gen.hidden=[8]", "disc.hidden=[8]", "batch_size=10", "steps=4", "checkpoint_every=2")
SCORED = ("metric=gap", "features=rows", "evaluate_every=2", "num_samples=40", "max_eval_time_fraction=1")
KEYS = {"run", "step", "scores", "protocol", "reference", "details", "seconds", "pictures", "recorded"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """Train four steps with an average and a local metric."""
    folder = tmp_path_factory.mktemp("trained")
    registry = Registry.discover([scoring_plugin(folder)], no_plugins=True)
    settings = (*SMALL, *SCORED, "ema_halflife_images=50")
    return launch.start_run(prepare(tiny(registry, *settings), registry), out=folder / "run").run


@pytest.fixture
def run(trained: RunDirectory, tmp_path: Path) -> RunDirectory:
    """Return a copy of the run, in another place than where it was trained."""
    shutil.copytree(trained.path, tmp_path / "moved" / "run")
    return RunDirectory(tmp_path / "moved" / "run")


@pytest.fixture
def plugin(trained: RunDirectory) -> Path:
    """Return the local plugin's file."""
    return trained.path.parent / "scoring.py"


def opened(run: RunDirectory, plugin: Path) -> package.TrainedRun:
    """Open a run with the local plugin."""
    return package.load(run.path, plugins=[plugin])


def test_one_document_and_a_row(run: RunDirectory, plugin: Path) -> None:
    """`--json` prints the contract's keys and nothing else; evaluation.jsonl gets the same, pictures their folder."""
    arguments = ("--metric", "gap,bright", "--features", "classes", "--num-samples", "50", "--checkpoint", "2")
    done = in_process(run.path.parent, "evaluate", "run", *arguments, "--plugin", plugin, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document.keys() == KEYS
    assert (document["run"], document["step"], document["recorded"]) == ("run", 2, True)
    assert document["scores"].keys() == document["reference"].keys() == {"gap", "bright"}
    assert document["protocol"]["fake_images"] == document["protocol"]["real_images"] == 50
    assert document["protocol"]["features"]["name"] == "classes"
    row = read_rows(run.evaluations)[-1]
    assert row == {key: document[key] for key in ("step", "scores", "reference", "details", "protocol", "seconds")} | {
        "source": "evaluate",
        "requested_metrics": ["gap", "bright"],
    }
    assert list(document["pictures"]) == ["first"]
    assert (run.path.parent / document["pictures"]["first"]).read_bytes().startswith(b"\x89PNG")
    assert run.evaluation_picture_path("first", 2).is_file()
    assert "generating 50 fakes …" in done.stderr
    assert "reference: gap …" in done.stderr


def test_report_that_cannot_be_written_is_a_notice(run: RunDirectory, plugin: Path) -> None:
    """The scores are recorded without it; a run that has no report yet gets none."""

    def fail(path: Path) -> None:
        raise RunDirectoryError(f"{path} cannot be read")

    trained = opened(run, plugin)
    trained.report = fail
    for exists in (False, True):
        if exists:
            run.report.touch()
        assert trained.evaluate("gap", num_samples=20, device="cpu", seed=int(exists)).recorded
        assert (f"{run.path} cannot be read" in trained.notices) == exists


def test_evaluation_table_shows_the_protocol(run: RunDirectory, plugin: Path) -> None:
    """Score with its deviation, the reference, the better direction; counts, split, extractor, weights, seed below."""
    words = ("--metric", "gap", "-n", "30", "--quiet", "--no-ema", "--seed", "9", "--plugin", plugin)
    done = command("evaluate", run.path, *words)
    assert done.returncode == 0, done.stderr
    assert notes(done) == []
    row = read_rows(run.evaluations)[-1]
    (line,) = (line for line in done.stdout.splitlines() if "gap" in line)
    assert f"{row['scores']['gap']:.4g} ± 0.25" in line
    assert f"{row['reference']['gap']:.4g}" in line
    assert "lower" in line
    said = " ".join(done.stdout.split())
    assert "30 fakes and 30 real images: test split of mnist" in said
    assert "features: rows (scoring.py, " in said
    assert f"generator {row['protocol']['checkpoint'][:12]}, seed 9" in said
    assert row["protocol"]["weights"] == "generator"
    assert "\x1b" not in done.stdout


def test_the_fix_for_too_few_images_is_possible(registry: Registry, tmp_path: Path) -> None:
    """The error names --num-samples if the data have as many images, and other metrics if they do not."""
    run = launch.start_run(prepare(tiny(registry, *SMALL), registry), out=tmp_path / "run").run
    trained = package.load(run.path)
    for subset, fix in ((50, "--num-samples 100"), (1500, "other metrics: data 'mnist' has 2,000 images in its test")):
        options = {"metric.subset_size": subset}
        with pytest.raises(TooFewImagesError) as caught:
            trained.evaluate("kid", num_samples=99, features="random-convolutions", options=options, device="cpu")
        assert fix in str(caught.value.fix)


def test_the_usual_metrics_are_scored_unless_others_are_named(registry: Registry, tmp_path: Path) -> None:
    """FID, KID, precision and recall with the run's features, modes if they are classifiers; on the whole split.

    A metric that is not named is left out if it does not suit, and a notice names it.
    """
    run = launch.start_run(prepare(tiny(registry, *SMALL), registry), out=tmp_path / "run").run
    trained = package.load(run.path)
    found = trained.evaluate(num_samples=200, features="random-convolutions", device="cpu")
    assert found.scores.keys() == {"fid", "precision", "recall"}
    (said,) = trained.notices
    assert said.startswith("kid is skipped: kid needs 1000 images or more")
    assert found.protocol.metrics.keys() == {"fid", "precision", "recall"}
    assert found.higher_is_better == {"fid": False, "precision": True, "recall": True}
    quick = package.load(run.path).evaluate("sliced-wasserstein", options={"metric.directions": 3}, device="cpu")
    assert quick.protocol.fake_images == 2000
    assert quick.protocol.metrics["sliced-wasserstein"].options == {"directions": 3}
    digits = package.load(run.path).evaluate(num_samples=150, features="digits", device="cpu")
    assert {"fid", "modes", "modes-divergence"} <= digits.scores.keys()


def test_which_checkpoint(run: RunDirectory, plugin: Path) -> None:
    """The newest, the best or a step; the average or the weights: other numbers, and the protocol names each."""
    trained = opened(run, plugin)
    asked: dict[str, Any] = {"metrics": "gap", "num_samples": 40, "device": "cpu"}
    best = trained.manifest.as_dict()["summary"]["best"]
    assert trained.evaluate(**asked, checkpoint="best").step == best["step"]
    assert trained.evaluate(**asked, checkpoint="best").scores["gap"] == best["value"]
    found = [trained.evaluate(**asked, checkpoint=2), trained.evaluate(**asked), trained.evaluate(**asked, ema=False)]
    assert [one.step for one in found] == [2, 4, 4]
    assert len({one.protocol.checkpoint for one in found}) == 3
    assert [one.protocol.weights for one in found] == ["generator_ema", "generator_ema", "generator"]
    train = trained.evaluate(**asked, split="train")
    assert train.protocol.split == "train"
    assert train.protocol.fingerprint == trained.manifest.as_dict()["data"]["fingerprint"]


def test_evaluation_rows_are_not_duplicated(run: RunDirectory, plugin: Path) -> None:
    """Evaluated again to the same scores, no second row is added; another seed adds one; `record=False` adds none."""
    trained = opened(run, plugin)
    before = len(trained.evaluations)
    for seed in (None, None, 3, 3):
        assert trained.evaluate("gap", num_samples=30, seed=seed, device="cpu").recorded
    assert len(trained.evaluations) == before + 2
    assert not trained.evaluate("gap", num_samples=20, device="cpu", record=False).recorded
    assert len(trained.evaluations) == before + 2


def test_a_run_that_trains_is_not_disturbed(run: RunDirectory, plugin: Path) -> None:
    """While another process holds its lock it is scored all the same, and the row is added."""
    with RunLock(run):
        found = opened(run, plugin).evaluate("gap", num_samples=30, device="cpu")
    assert found.recorded
    assert read_rows(run.evaluations)[-1]["scores"] == found.scores


def test_default_metrics_have_a_row_of_their_own(run: RunDirectory, plugin: Path) -> None:
    """The default metrics have a row of their own, which a sweep recognizes, even if they were named before."""
    trained = opened(run, plugin)
    names = ["fid", "precision", "recall", "modes"]
    for metrics in (names, None, None, names):
        trained.evaluate(metrics, num_samples=100, features="digits", device="cpu")
    assert [row.requested_metrics for row in trained.evaluations if row.source == "evaluate"] == [names, None]


def test_rows_live_as_long_as_their_weights(run: RunDirectory, plugin: Path) -> None:
    """Resumed, a run keeps rows of the steps that it has; of steps that it trains again, it makes its own."""
    trained = opened(run, plugin)
    trained.evaluate("gap", num_samples=30, checkpoint=2, device="cpu")
    trained.evaluate("gap", num_samples=30, checkpoint=4, device="cpu")
    launch.resume_run(run, trained.registry, ResumeOverrides(steps=6), callback=lambda _: Callback())
    made = [(row.step, row.source) for row in trained.evaluations]
    assert made == [(2, "training"), (4, "training"), (2, "evaluate"), (4, "evaluate"), (6, "training")]
    shutil.rmtree(run.checkpoint_path(6))
    shutil.rmtree(run.checkpoint_path(4))
    launch.resume_run(run, trained.registry, callback=lambda _: Callback())
    made = [(row.step, row.source) for row in trained.evaluations]
    assert made == [(2, "training"), (2, "evaluate"), (4, "training"), (6, "training")]


def test_a_torn_row_tears_no_other(run: RunDirectory, plugin: Path) -> None:
    """After a crash within a line a new one is begun, so that the new row can be read, also next to links."""
    run.samples.rename(run.path.parent / "elsewhere")
    run.samples.symlink_to(run.path.parent / "elsewhere")
    with run.evaluations.open("a") as file:
        file.write('{"step": 9, "sco')
    found = opened(run, plugin).evaluate("gap", num_samples=30, device="cpu")
    assert read_rows(run.evaluations)[-1]["scores"] == found.scores


def test_a_folder_that_cannot_be_written_keeps_no_scores(run: RunDirectory, plugin: Path) -> None:
    """The scores are given all the same, with a notice."""
    run.evaluations.unlink()
    run.evaluations.mkdir()
    trained = opened(run, plugin)
    found = trained.evaluate("gap", num_samples=30, device="cpu")
    assert found.scores["gap"] is not None
    assert not found.recorded
    assert [line for line in trained.notices if line.startswith("the scores are not recorded: ")]


def test_scores_that_are_not_stored_end_with_exit_code_1(run: RunDirectory, plugin: Path, tmp_path: Path) -> None:
    """They are printed, and an error names the fix; with that, `--out FILE.json`, they are stored."""
    run.evaluations.unlink()
    run.evaluations.mkdir()
    words = ("evaluate", run.path, "--metric", "gap", "-n", "30", "--device", "cpu", "--plugin", plugin, "--json")
    lost = command(*words)
    assert lost.returncode == 1
    assert json.loads(lost.stdout)["recorded"] is False
    assert "error: " in lost.stderr
    assert "--out FILE.json" in lost.stderr
    assert command(*words, "--out", tmp_path / "scores.json").returncode == 0
    assert json.loads((tmp_path / "scores.json").read_text())["scores"] == json.loads(lost.stdout)["scores"]


SHIFTED = """
from ganforge.builtin.models.mlp import MlpGenerator


class Shifted(MlpGenerator):
    \"\"\"MLP generator whose images can be made brighter when they are sampled.\"\"\"

    class SamplingOptions(MlpGenerator.SamplingOptions):
        brighter: float = 0.0

    def forward(self, z, condition=None):
        return super().forward(z, condition) + self.sampling.brighter


@hookimpl
def ganforge_components():
    return [Component(kind="generator", name="shifted", target=Shifted)]
"""


def test_sampling_options(tmp_path: Path) -> None:
    """`--sampling.NAME` changes the fakes; the protocol, the table and the row have the option, `best` does not."""
    plugin = local(tmp_path / "shifted.py", SHIFTED)
    registry = Registry.discover([plugin], no_plugins=True)
    settings = ("gen=shifted", "disc=mlp", "gen.hidden=[8]", "disc.hidden=[8]", "batch_size=10", "steps=2")
    launch.start_run(prepare(tiny(registry, *settings), registry), out=tmp_path / "run")
    words = ("--metric", "sliced-wasserstein", "-n", "20", "--device", "cpu", "--plugin", plugin)
    usual = json.loads(command("evaluate", "run", *words, "--json").stdout)
    done = command("evaluate", "run", *words, "--sampling.brighter", "2")
    assert done.returncode == 0, done.stderr
    assert "sampling: brighter 2.0" in done.stdout
    rows = read_rows(tmp_path / "run" / "evaluation.jsonl")
    assert [row["protocol"]["sampling"] for row in rows] == [{}, {"brighter": 2.0}]
    assert rows[0]["scores"] == usual["scores"] != rows[1]["scores"]
    again = package.load(tmp_path / "run", plugins=[plugin]).evaluate(
        "sliced-wasserstein", num_samples=20, sampling={"brighter": 2}, device="cpu"
    )
    assert again.scores == rows[1]["scores"]
    done = command("evaluate", "run", *words, "--sampling.bright", "2")
    assert done.returncode == 2
    assert "invalid sampling option 'bright'; did you mean 'brighter'" in done.stderr


def test_data_that_is_not_loaded_whole(registry: Registry, tmp_path: Path) -> None:
    """Streamed or loaded, pictures give the same scores; with too few of them for a reference, a notice."""
    root, found = pictures(tmp_path / "pictures"), []
    for stream in ("yes", "no"):
        run = run_on(root, tmp_path / stream, registry, f"data.stream={stream}", "metric=sliced-wasserstein")
        trained = package.load(run.path)
        found.append(trained.evaluate("sliced-wasserstein", device="cpu"))
        assert [line for line in trained.notices if line.startswith("no reference scores: data 'folder' has too few")]
    assert found[0].scores == found[1].scores
    assert found[0].reference == {"sliced-wasserstein": None}
    assert found[0].protocol.split == "train"
    assert found[0].protocol.fake_images == 12


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"metrics": "fidd"}, GanforgeError, "no metric 'fidd'; did you mean 'fid'"),
        ({"metrics": "none"}, ConfigError, "no metric is chosen"),
        ({"metrics": "gap", "num_samples": 2001}, DataError, "2,001 images needs as many real ones"),
        ({"metrics": "gap", "num_samples": 0}, UsageError, "invalid number of images 0"),
        ({"metrics": "gap", "checkpoint": 3}, UsageError, "has no checkpoint of step 3 .available: 2, 4"),
        ({"metrics": "gap", "features": "digit"}, GanforgeError, "no features 'digit'"),
        (
            {"metrics": "gap", "options": {"gen.hidden": [3]}},
            ConfigError,
            "invalid option 'gen.hidden' of an evaluation",
        ),
        ({"metrics": "telling", "options": {"metric.telling.wat": 3}}, ConfigError, "no option 'wat'"),
        ({"metrics": "bright", "features": "rows"}, GanforgeError, "is a classifier"),
        ({"metrics": "raises"}, GanforgeError, "metric 'raises' .* cannot score 2,000 images: RuntimeError"),
    ],
)
def test_invalid_evaluation_arguments_are_refused(
    arguments: dict[str, Any], error: type[GanforgeError], said: str, run: RunDirectory, plugin: Path
) -> None:
    """Invalid arguments raise one message each and write no row."""
    before = run.evaluations.read_bytes()
    with pytest.raises(error, match=said):
        opened(run, plugin).evaluate(**arguments, device="cpu")
    assert run.evaluations.read_bytes() == before


def test_other_data_than_it_was_trained_on_is_refused(run: RunDirectory, plugin: Path) -> None:
    """A manifest with another fingerprint is what a changed folder of pictures looks like."""
    data = run.read_manifest().as_dict()["data"]
    change_json(run.manifest, data=data | {"fingerprint": "0" * 64})
    with pytest.raises(DataError, match=r"was trained on other data: .*fingerprint 000000000000"):
        opened(run, plugin).evaluate("gap", device="cpu")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--checkpoint", "last"], "invalid checkpoint 'last'; give a step, newest or best"),
        (["--split", "dev"], "invalid split 'dev' (available: test, train)"),
        (["--metric", "fid"], "no features 'rows'"),
        (["--metric", "gap", "--features", "pixels"], "this run used a local plugin: pass --plugin "),
        (["--set", "metric"], "invalid setting 'metric'"),
        (["--device", "tpu"], "no device 'tpu'"),
        (["--metric", "fid", "--features", "pixels", "--features.weight", "3"], "no option 'weight'"),
    ],
)
def test_the_command_refuses_in_one_line(words: Sequence[str], said: str, run: RunDirectory) -> None:
    """Exit code 2, one message, nothing on stdout; without its plugin, a run's own metric is not found."""
    done = command("evaluate", run.path, *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stdout == ""


def test_a_run_without_the_plugin_of_its_metric(run: RunDirectory) -> None:
    """Other metrics and features need no local plugin, though run.toml names some of one."""
    words = (
        "--metric",
        "fid",
        "--features",
        "random-convolutions",
        "--num-samples",
        "100",
        "--device",
        "cpu",
        "--json",
    )
    done = command("evaluate", run.path, *words)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["scores"].keys() == {"fid"}


def test_no_best_where_nothing_was_scored(registry: Registry, tmp_path: Path) -> None:
    """A run that was not evaluated while it trained has no best checkpoint: an error with a fix."""
    run = launch.start_run(prepare(tiny(registry, *SMALL), registry), out=tmp_path / "run").run
    with pytest.raises(UsageError, match="has no best checkpoint: the training had no evaluation"):
        package.load(run.path).evaluate("sliced-wasserstein", checkpoint="best", device="cpu")
    done = command("evaluate", run.path, "--checkpoint", "best", "--metric", "sliced-wasserstein", "--device", "cpu")
    assert done.returncode == 2, done.stderr


def test_no_best_where_no_score_was_finite(tmp_path: Path) -> None:
    """Evaluations that are not finite are an error of their own; a step without a checkpoint is exit code 2, too."""
    file = scoring_plugin(tmp_path)
    registry = Registry.discover([file], no_plugins=True)
    settings = (*SMALL, "metric=infinite", "features=rows", "evaluate_every=2", "num_samples=40")
    prepared = prepare(tiny(registry, *settings, "max_eval_time_fraction=1"), registry)
    launch.start_run(prepared, out=tmp_path / "run", callback=Callback())
    for word, said in [
        ("best", "the best_metric of all 2 evaluations is not finite"),
        ("7", "has no checkpoint of step 7 (available: 2, 4)"),
    ]:
        done = command("evaluate", "run", "--checkpoint", word, "--plugin", file, "--device", "cpu")
        assert done.returncode == 2
        assert said in " ".join(done.stderr.split())


def test_the_features_own_errors_are_shown(run: RunDirectory, plugin: Path, tmp_path: Path) -> None:
    """A file of weights that is not there is named if no metric was chosen; so is the reason that left none."""
    weights = {"features.digits.weights": str(tmp_path / "missing.safetensors")}
    with pytest.raises(GanforgeError, match=r"missing\.safetensors"):
        opened(run, plugin).evaluate(num_samples=150, features="digits", options=weights, device="cpu")
    with pytest.raises(DataError, match="fid needs"):
        opened(run, plugin).evaluate(num_samples=1, features="pixels", device="cpu")


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"image": "1×28"},
        {"image": 28},
        {"fingerprint": None},
        {"sizes": 5},
        {"sizes": None},
        {"class_names": 10},
        {"name": None},
        {"image": "0×28×28"},
    ],
)
def test_manifest_without_data_is_damaged(data: Any, run: RunDirectory, plugin: Path) -> None:
    """Any missing key or other type is one message, which names run.json."""
    recorded = run.read_manifest().as_dict()["data"]
    change_json(run.manifest, data=recorded | data if isinstance(data, dict) and data else data)
    for use in (lambda: opened(run, plugin).evaluate("gap", device="cpu"), lambda: opened(run, plugin).sample(2)):
        with pytest.raises(RunDirectoryError, match=r"run\.json is damaged: .*data"):
            use()


def test_a_generator_that_draws_no_numbers_has_no_scores(
    run: RunDirectory, plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NaN would be black images as bytes: the scores are null, one notice has the reason, and the row is there."""
    trained = opened(run, plugin)
    with torch.no_grad():
        for weight in trained.generator().parameters():
            weight.fill_(float("nan"))
    newest = trained.load()
    monkeypatch.setattr(evaluate, "rebuild_generator", lambda *_: newest)
    found = trained.evaluate("gap", num_samples=100, device="cpu")
    assert found.scores == {"gap": None}
    assert found.reference["gap"] is not None
    said = "the generator returns numbers that are not finite in evaluation mode: 100 of 100 images"
    assert trained.notices.count(said) == 1
    assert read_rows(run.evaluations)[-1]["details"] == {"gap": {"error": said}}

"""Damaged files, full disks, numbers that explode, two processes at once: nothing is lost, one line has the reason."""

from __future__ import annotations

import asyncio
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import ganforge as package
from ganforge.components import Discriminator, ImageSpec
from ganforge.components.spec import Component
from ganforge.errors import CheckpointError, ConfigError, DivergedError, GanforgeError, RunDirectoryError, TrainingError
from ganforge.plugins import Plugins, Source
from ganforge.plugins.registry import Registry
from ganforge.runs import launch
from ganforge.runs.clean import clean_runs
from ganforge.runs.launch import open_finished
from ganforge.runs.setup import prepare
from ganforge.runs.trained_run import TrainedRun
from ganforge.training import checkpoint as checkpoints
from ganforge.training.callbacks import Callback
from ganforge.training.run_directory import RunDirectory, RunLock
from tests.helpers.image_folders import equal_pictures, noise, run_on, save
from tests.helpers.plugins import command
from tests.helpers.run_directories import change_json
from tests.helpers.runs import read_rows, tiny

Ganforge = Callable[..., subprocess.CompletedProcess[str]]
SMALL = ("gen=mlp", "disc=mlp", "gen.hidden=[8]", "disc.hidden=[8]", "batch_size=10", "checkpoint_every=2")


UMASK = os.umask(0)
os.umask(UMASK)


class Notes(Callback):
    """Messages for the user."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def on_message(self, message: str) -> None:
        self.lines.append(message)


@pytest.fixture
def run(registry: Registry, tmp_path: Path) -> RunDirectory:
    """Train six steps, with a checkpoint after every second one."""
    run = RunDirectory(tmp_path / "run")
    launch.start_run(prepare(tiny(registry, *SMALL, "steps=6"), registry), out=run.path)
    return run


@pytest.mark.parametrize("name", ["generator.safetensors", "optimizers.safetensors", "state.json", "checksums.json"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_checkpoint_is_named_and_skipped(name: str, damage: str, run: RunDirectory) -> None:
    """A flipped byte, a cut or a missing file: the one before is used, and one line names what is damaged."""
    file = run.checkpoint_path(6) / name
    content = bytearray(file.read_bytes())
    if damage == "remove":
        file.unlink()
    elif damage == "truncate":
        file.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 3] ^= 1
        file.write_bytes(content)
    notes: list[str] = []
    found = checkpoints.load_newest(run, notes.append)
    assert found is not None
    assert found.step == 4
    assert len(notes) == 1
    assert str(run.checkpoint_path(6)) in notes[0]


def test_files_of_a_run_have_the_permissions_of_the_umask(run: RunDirectory) -> None:
    """Weights have the permissions of the other files of a run."""
    modes = {path.stat().st_mode & 0o777 for path in run.path.rglob("*") if path.is_file() and path.name != ".lock"}
    assert modes == {0o666 & ~UMASK}


def test_pictures_of_steps_that_are_made_again_are_removed(run: RunDirectory, registry: Registry) -> None:
    """A resumed run keeps no picture of a step that it may never reach, or may reach with other weights."""
    kept = sorted(path.name for path in run.samples.iterdir())
    later = [run.sample_path(99), run.evaluation_picture_path("fid", 99)]
    others = [run.evaluation_picture_path("fid", 6), run.samples / "mine.png", run.evaluation_pictures / ".fid.7.tmp"]
    for path in (*later, *others):
        path.write_bytes(b"")
    launch.resume_run(run, registry, launch.ResumeOverrides(steps=8))
    assert not any(path.exists() for path in (*later, others[-1]))
    assert all(path.exists() for path in others[:-1])
    assert {"mine.png", *kept} < {path.name for path in run.samples.iterdir()}


@pytest.mark.parametrize("content", ["[" * 100_000, '{"status": ' * 50_000, "", "[]", "\x00"])
def test_a_damaged_manifest_is_one_message(content: str, run: RunDirectory) -> None:
    """Any content of it: the command names the file that cannot be read."""
    run.manifest.write_text(content, encoding="utf-8")
    done = command("resume", run.path)
    assert done.returncode == RunDirectoryError.exit_code
    assert "run.json" in done.stderr
    assert "should not happen" not in done.stderr


@pytest.mark.parametrize("qualified", [{}, {"gen": []}, {"gen": ["ganforge/dcgan"]}])
def test_foreign_qualified_names_in_a_manifest_are_ignored(
    qualified: dict[str, list[str]], run: RunDirectory, registry: Registry
) -> None:
    """The components are then found by the names in the experiment."""
    change_json(run.manifest, qualified=qualified)
    assert len(TrainedRun(run, registry).sample(2)) == 2


@pytest.mark.parametrize("damage", [3, "mlp", {"gen": 3}, {"gen": [3]}])
def test_damaged_value_of_a_manifest_is_named(damage: object, run: RunDirectory, registry: Registry) -> None:
    """A value of another type is one message that names the file and the key."""
    change_json(run.manifest, qualified=damage)
    with pytest.raises(RunDirectoryError, match=r"run\.json is damaged: qualified"):
        TrainedRun(run, registry).sample(2)


def test_without_a_whole_checkpoint_there_is_one_clear_error(run: RunDirectory) -> None:
    """If all checkpoints are damaged, resuming and sampling exit 1 with one message and change nothing."""
    for step in checkpoints.steps(run):
        (run.checkpoint_path(step) / "generator.safetensors").write_bytes(b"\x00" * 100)
    before = run.manifest.read_text()
    for words in (("resume", run.path, "--steps", "9"), ("sample", run.path, "--out", "a.png")):
        done = command(*words)
        assert done.returncode == 1
        assert "has no valid checkpoint" in done.stderr
        assert "Traceback" not in done.stderr
    assert run.manifest.read_text() == before
    assert not Path("a.png").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("layers.0.weight"), "lacks layers.0.weight"),
        (lambda tensors: tensors.update(more=torch.zeros(1)), "has an unknown more"),
        (lambda tensors: tensors.update({"layers.0.bias": torch.zeros(9)}), r"layers.0.bias is torch.float32 \(9,\)"),
        (lambda tensors: tensors.update({"layers.0.bias": torch.zeros(8).half()}), "layers.0.bias is torch.float16"),
    ],
)
def test_a_checkpoint_of_another_network_is_refused(
    change: Callable[[dict[str, torch.Tensor]], object], message: str, run: RunDirectory, registry: Registry
) -> None:
    """Names, shapes and types are compared before any weight is set, even where all checksums agree."""
    folder = run.checkpoint_path(6)
    tensors = load_file(folder / "generator.safetensors")
    change(tensors)
    content = {**checkpoints.load(folder).tensors, "generator": tensors}
    checkpoints.save(run, checkpoints.Checkpoint(content, checkpoints.load(folder).state))
    with pytest.raises(CheckpointError, match=message):
        launch.resume_run(run, registry, launch.ResumeOverrides(steps=8))


def test_no_pickle_is_ever_read(run: RunDirectory, tmp_path: Path) -> None:
    """A pickle that would run code, put in place of a checkpoint's file with a right checksum, is refused unread."""
    trap = tmp_path / "sprung"

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (trap,))  # type: ignore[return-value]

    file = run.checkpoint_path(6) / "generator.safetensors"
    torch.save(Trap(), file)
    sums = json.loads((run.checkpoint_path(6) / "checksums.json").read_text())
    sums["generator.safetensors"] = checkpoints._sync_and_digest(file)
    (run.checkpoint_path(6) / "checksums.json").write_text(json.dumps(sums))
    notes: list[str] = []
    found = checkpoints.load_newest(run, notes.append)
    assert found is not None
    assert found.step == 4
    assert not trap.exists()


def test_of_two_processes_the_second_is_refused(run: RunDirectory, registry: Registry, ganforge: Ganforge) -> None:
    """A run that is in use is not resumed; once its holder is gone, it is."""
    with RunLock(run):
        done = ganforge("resume", run.path, "--steps", "8")
        assert done.returncode == 2
        assert "is in use by another process" in done.stderr
    assert launch.resume_run(run, registry, launch.ResumeOverrides(steps=8)).status == "finished"


def test_missing_folders_are_created_on_resume(run: RunDirectory, registry: Registry) -> None:
    """A run whose folder of samples was removed resumes; without checkpoints it restarts from its first step."""
    shutil.rmtree(run.samples)
    assert launch.resume_run(run, registry, launch.ResumeOverrides(steps=8), callback=lambda _: Notes()).steps == 8
    assert run.samples.is_dir()
    shutil.rmtree(run.checkpoints)
    notes = Notes()
    assert launch.resume_run(run, registry, callback=lambda _: notes).status == "finished"
    assert any("it restarts from its first step" in line for line in notes.lines)
    assert checkpoints.steps(run)[0] == 8
    steps = [row["step"] for row in read_rows(run.metrics)]
    assert steps == sorted(set(steps))


@pytest.mark.parametrize("name", ["checkpoints", "samples", "evaluation"])
def test_folders_that_are_links_are_refused(name: str, run: RunDirectory, registry: Registry) -> None:
    """Files of another folder are not changed as those of a run: it is neither resumed nor cleaned."""
    folder, elsewhere = run.path / name, run.path.parent / "elsewhere"
    folder.mkdir(exist_ok=True)
    folder.rename(elsewhere)
    (elsewhere / "step-00000099.png").touch()
    folder.symlink_to(elsewhere)
    before = sorted(elsewhere.rglob("*"))
    with pytest.raises(RunDirectoryError, match=f"{name} is a link"):
        launch.resume_run(run, registry, launch.ResumeOverrides(steps=8))
    notices: list[str] = []
    assert clean_runs(run.path, keep=1, dry_run=False, notice=notices.append) == []
    assert notices == [f"{run.path} is skipped: {folder} is a link, which is not followed"]
    assert sorted(elsewhere.rglob("*")) == before


@pytest.mark.parametrize("damage", ["lost", "zeroed", "of another type", "without a number of images"])
def test_lost_rows_before_the_checkpoint_are_named(damage: str, registry: Registry, tmp_path: Path) -> None:
    """A resumed run names how many rows of metrics.jsonl are lost up to its checkpoint, and the first of them."""
    run = RunDirectory(tmp_path / "run")
    launch.start_run(prepare(tiny(registry, *SMALL, "steps=6", "log_every=2"), registry), out=run.path)
    lines = run.metrics.read_text(encoding="utf-8").splitlines(keepends=True)
    row = json.loads(lines[1])
    step = row["step"]
    others = {"lost": "", "zeroed": "\0" * len(lines[1]) + "\n", "of another type": lines[1].replace(": 0.", ': "0.')}
    others["without a number of images"] = json.dumps(row | {"images_seen": math.nan}) + "\n"
    run.metrics.write_text("".join([lines[0], others[damage], *lines[2:]]), encoding="utf-8")
    notes = Notes()
    launch.resume_run(run, registry, launch.ResumeOverrides(steps=8), callback=lambda _: notes)
    (line,) = notes.lines
    assert f"lacks 1 of {len(lines)} rows up to step" in line
    assert f"the first of step {step}" in line


def test_a_manifest_that_is_removed_during_the_training_is_written_again(registry: Registry, tmp_path: Path) -> None:
    """The end of a run is recorded, with everything that run.json had."""
    run = RunDirectory(tmp_path / "run")

    class Remover(Callback):
        """Remove run.json at the first row."""

        def on_log(self, row: object) -> None:
            run.manifest.unlink(missing_ok=True)

    prepared = prepare(tiny(registry, *SMALL, "steps=6", "log_every=2"), registry)
    launch.start_run(prepared, out=run.path, callback=Remover())
    manifest = run.read_manifest()
    assert (manifest.status, manifest.seed) == ("finished", 0)
    assert manifest.summary is not None
    assert manifest.summary.steps == 6


def test_other_data_is_refused(run: RunDirectory, registry: Registry) -> None:
    """A run continues only with the data whose fingerprint it recorded."""
    data = run.read_manifest().as_dict()["data"]
    change_json(run.manifest, data=data | {"fingerprint": "0" * 64})
    with pytest.raises(RunDirectoryError, match="was trained on other data"):
        launch.resume_run(run, registry, launch.ResumeOverrides(steps=8))


def test_changed_environment_is_reported_on_resume(run: RunDirectory, registry: Registry) -> None:
    """Another torch, another count of threads or another plugin is named, since bits may then differ."""
    manifest = run.read_manifest().as_dict()
    run.update_manifest(
        versions={**manifest["versions"], "torch": "1.0"}, hardware={**manifest["hardware"], "threads": 64}
    )
    notes = Notes()
    launch.resume_run(run, registry, launch.ResumeOverrides(steps=8), callback=lambda _: notes)
    assert len(notes.lines) == 1
    assert "torch 1.0 →" in notes.lines[0]
    assert "threads 64 →" in notes.lines[0]


def test_seed_other_than_the_checkpoints_is_reported(run: RunDirectory, registry: Registry) -> None:
    """A run.toml edited after the checkpoint is used, with a warning that bits differ."""
    run.write_experiment(run.read_experiment().model_copy(update={"seed": 7}))
    notes = Notes()
    launch.resume_run(run, registry, launch.ResumeOverrides(steps=8), callback=lambda _: notes)
    assert len(notes.lines) == 1
    assert "seed 0 → 7" in notes.lines[0]


def test_half_of_a_checkpoint_never_has_its_name(
    run: RunDirectory, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while it removes an old checkpoint, a run leaves no folder called step-… that is not whole."""

    def killed(folder: Path) -> None:
        (folder / "state.json").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            checkpoints.prune(run, newest=6, keep=1, best=None)
    for step in checkpoints.steps(run):
        assert checkpoints.load(run.checkpoint_path(step)).step == step
    assert launch.resume_run(run, registry, launch.ResumeOverrides(steps=8)).status == "finished"
    assert not list(run.checkpoints.glob(".*"))


def test_a_checkpoint_without_a_generator_is_one_clear_error(run: RunDirectory, registry: Registry) -> None:
    """Checksums that agree do not make it whole: sampling names the missing file."""
    for step in checkpoints.steps(run):
        folder = run.checkpoint_path(step)
        (folder / "generator.safetensors").unlink()
        sums = json.loads((folder / "checksums.json").read_text())
        del sums["generator.safetensors"]
        (folder / "checksums.json").write_text(json.dumps(sums))
    with pytest.raises(CheckpointError, match="the checkpoint of step 6 has no file generator"):
        TrainedRun(run, registry).sample(2)


def test_a_plugin_installed_later_is_not_mistaken_for_a_run_s_own(run: RunDirectory, registry: Registry) -> None:
    """A second plugin with a generator `mlp` makes the bare name ambiguous, but not for a run that has its own."""
    plugins = Plugins()
    plugins.components = list(registry.plugins.components)
    plugins.components.append((Component(kind="generator", name="mlp", target=TwoHeads), Source("other-mlp", "1.0")))
    both = Registry(plugins)
    assert launch.resume_run(run, both, launch.ResumeOverrides(steps=8)).status == "finished"
    assert len(TrainedRun(run, both).sample(2)) == 2


def test_a_finished_run_is_only_extended(run: RunDirectory, registry: Registry) -> None:
    """Resuming it unchanged names the flags that extend it; with them it continues from its last step."""
    with pytest.raises(RunDirectoryError, match="is finished: it has trained 6 of 6 steps"):
        launch.resume_run(run, registry)
    with pytest.raises(RunDirectoryError) as caught:
        launch.resume_run(run, registry, launch.ResumeOverrides(steps=3))
    assert caught.value.fix == "train it further: --steps 7 or more, or --epochs"
    outcome = launch.resume_run(run, registry, launch.ResumeOverrides(steps=9))
    assert (outcome.status, outcome.steps) == ("finished", 9)
    assert run.read_experiment().steps == 9


def test_divergence_keeps_the_last_good_checkpoint(registry: Registry, tmp_path: Path) -> None:
    """With an absurd learning rate the run ends as `diverged`, names the step, and every checkpoint kept is finite."""
    run = RunDirectory(tmp_path / "run")
    settings = (*SMALL, "steps=400", "optimizer.name=sgd", "optimizer.lr=1e12", "checkpoint_every=1")
    outcome = launch.start_run(prepare(tiny(registry, *settings), registry), out=run.path)
    assert outcome.status == "diverged"
    assert outcome.error is not None
    assert outcome.error.startswith("step ")
    assert run.read_manifest().status == "diverged"
    for step in checkpoints.steps(run):
        for tensors in checkpoints.load(run.checkpoint_path(step)).tensors.values():
            assert all(bool(value.isfinite().all()) for value in tensors.values() if value.is_floating_point())


@pytest.mark.slow
@pytest.mark.parametrize(("limit", "message"), [(4096, "could not be written"), (16, "cannot be written")])
def test_a_full_disk_fails_the_run_and_loses_nothing(
    limit: int, message: str, run: RunDirectory, ganforge: Ganforge
) -> None:
    """If no byte more can be written, it exits 1 with the reason; all saved files are whole, and it continues later.

    limit: bytes a file may have: room for run.json and none for a checkpoint, or not even for the rows to keep.
    """
    script = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); import ganforge.__main__"
    command = [sys.executable, "-c", script, "resume", str(run.path), "--steps", "20"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 1, done.stderr
    assert message in done.stderr
    assert "should not happen" not in done.stderr
    assert "Traceback" not in done.stderr
    assert checkpoints.load_newest(run, pytest.fail).step == 6  # type: ignore[union-attr]
    assert not list(run.checkpoints.glob(".*"))
    again = ganforge("resume", run.path, "--steps", "20", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["steps"] == 20


def test_a_place_that_cannot_be_written_is_an_error(registry: Registry) -> None:
    """A run directory without write access, even for the superuser, is one clear message."""
    prepared = prepare(tiny(registry, *SMALL, "steps=1"), registry)
    with pytest.raises(GanforgeError, match="/proc/ganforge-run cannot be created"):
        launch.start_run(prepared, out=Path("/proc/ganforge-run"))


def test_moving_a_run_changes_nothing(run: RunDirectory, registry: Registry, tmp_path: Path) -> None:
    """A run directory may be moved, and continues at its new place."""
    moved = run.path.rename(tmp_path / "elsewhere")
    assert launch.resume_run(RunDirectory.open(moved), registry, launch.ResumeOverrides(steps=8)).steps == 8


def test_data_that_moved_is_named(registry: Registry, ganforge: Ganforge, tmp_path: Path) -> None:
    """`--data.path` continues and scores a run whose data moved, records its place, and refuses other data.

    Options that change the images are refused.
    """
    equal_pictures(tmp_path / "here")
    run = run_on(tmp_path / "here", tmp_path / "run", registry)
    there, other = (tmp_path / "here").rename(tmp_path / "there"), tmp_path / "other"
    save(shutil.copytree(there, other) / "cat" / "00.png", noise("RGB", (16, 16)))
    assert "no such folder or file: " in ganforge("resume", run.path, "--steps", "7").stderr
    scoring = ("evaluate", run.path, "--metric", "sliced-wasserstein", "-n", "10")
    for words in (("resume", run.path, "--steps", "7"), scoring):
        refused = ganforge(*words, "--data.path", other)
        assert refused.returncode != 0
        assert "trained on other data" in refused.stderr
        assert ganforge(*words, "--data.path", "there").returncode == 0
        assert run.read_experiment().data.options["path"] == str(there)
    assert ganforge(*scoring).returncode == 0
    with pytest.raises(ConfigError, match=r"data\.size of a run cannot change"):
        launch.resume_run(run, registry, launch.ResumeOverrides(data={"size": 8}))
    with pytest.raises(ConfigError, match=r"root"):
        launch.resume_run(run, registry, launch.ResumeOverrides(data={"root": there}))


def test_only_the_newest_checkpoints_and_the_best_are_kept(registry: Registry, tmp_path: Path) -> None:
    """With keep_checkpoints=2, two newest and the best by the chosen score remain, whenever the best was."""
    run = RunDirectory(tmp_path / "run")
    evaluation = ("evaluate_every=2", "max_eval_time_fraction=1", "num_samples=20")
    settings = (*SMALL, "steps=12", "keep_checkpoints=2", *evaluation)
    launch.start_run(prepare(tiny(registry, *settings), registry), out=run.path)
    rows = [json.loads(line) for line in run.evaluations.read_text().splitlines()]
    best = min(rows, key=lambda row: row["scores"]["sliced-wasserstein"])["step"]
    assert [row["step"] for row in rows] == [2, 4, 6, 8, 10, 12]
    assert set(checkpoints.steps(run)) == {10, 12, best}
    assert run.read_manifest().as_dict()["summary"]["best"]["step"] == best


def test_a_damaged_checkpoint_never_counts_among_those_kept(run: RunDirectory, registry: Registry) -> None:
    """Resumed from before a damaged checkpoint, a run that keeps one always has a whole one."""
    experiment = run.read_experiment().model_copy(update={"keep_checkpoints": 1, "checkpoint_every": 1})
    run.write_experiment(experiment)
    (run.checkpoint_path(6) / "state.json").write_text("damaged")
    notes = Notes()
    launch.resume_run(run, registry, launch.ResumeOverrides(steps=5), callback=lambda _: notes)
    found = checkpoints.load_newest(run, notes.on_message)
    assert found is not None
    assert found.step == 5


def test_weights_without_a_gradient_do_not_hinder_resuming(registry: Registry, tmp_path: Path) -> None:
    """An optimizer has no state for weights that a loss does not reach; the run continues all the same."""
    plugins, source = Plugins(), Source("ganforge-heads", "1.0")
    plugins.components = list(registry.plugins.components)
    plugins.components.append((Component(kind="discriminator", name="two-heads", target=TwoHeads), source))
    heads = Registry(plugins)
    settings = ("gen=mlp", "gen.hidden=[8]", "disc=two-heads", "batch_size=10", "steps=2")
    launch.start_run(prepare(tiny(heads, *settings), heads), out=tmp_path / "run")
    assert (
        launch.resume_run(RunDirectory(tmp_path / "run"), heads, launch.ResumeOverrides(steps=4)).status == "finished"
    )


def with_discriminator(registry: Registry, target: type[Discriminator]) -> Registry:
    """Return a registry with the discriminator `own`, too."""
    plugins, source = Plugins(), Source("ganforge-heads", "1.0")
    component = Component(kind="discriminator", name="own", target=target)
    plugins.components = [*registry.plugins.components, (component, source)]
    return Registry(plugins)


class TwoHeads(Discriminator):
    """A discriminator with an unused head."""

    def __init__(self, options: Any, image: ImageSpec) -> None:
        super().__init__(options, image)
        self.unused = nn.Linear(3, 3)
        self.layer = nn.Linear(image.numel, 1)

    def forward(self, images: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        logits: torch.Tensor = self.layer(images.flatten(1)).squeeze(1)
        return logits


class Bomb(TwoHeads):
    """A discriminator that passes the preflight, and breaks in its fifth batch of ten."""

    batches = 0
    error: type[BaseException] = RuntimeError

    def forward(self, images: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        if len(images) == 10:
            type(self).batches += 1
            if type(self).batches == 5:
                raise self.error("it is the fifth batch")
        return super().forward(images, labels)


class Panic(BaseException):
    """Panic of a library in Rust: no Exception."""


@pytest.mark.parametrize("error", [RuntimeError, FileNotFoundError, Panic, asyncio.CancelledError, SystemExit])
def test_a_component_that_breaks_fails_the_run(
    error: type[BaseException], registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is `failed`, with the component's own words; from Python it is a TrainingError with the cause."""
    monkeypatch.setattr(Bomb, "error", error)
    monkeypatch.setattr(Bomb, "batches", 0)
    bombs = with_discriminator(registry, Bomb)
    settings = ("gen=mlp", "gen.hidden=[8]", "disc=own", "batch_size=10", "steps=9")
    outcome = launch.start_run(prepare(tiny(bombs, *settings), bombs), out=tmp_path / "run")
    assert (outcome.status, outcome.steps) == ("failed", 1)
    assert outcome.error is not None
    assert f"step 2: {error.__name__}: it is the fifth batch" in outcome.error
    assert RunDirectory(tmp_path / "run").read_manifest().status == "failed"
    with pytest.raises(TrainingError, match="fifth batch") as raised:
        open_finished(outcome, bombs)
    assert isinstance(raised.value.__cause__, error)


class Disturber(TwoHeads):
    """A discriminator that changes the working folder and forks."""

    def forward(self, images: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        logits = super().forward(images, labels)
        os.chdir("/")
        if len(images) == 10:
            os.fork()
        return logits


def test_what_a_component_does_to_the_process_is_undone(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative run directory is complete, and has each row once, if a component changes the folder and forks."""
    monkeypatch.chdir(tmp_path)
    disturbed = with_discriminator(registry, Disturber)
    settings = ("gen=mlp", "gen.hidden=[8]", "disc=own", "batch_size=10", "steps=3", "log_every=1")
    outcome = launch.start_run(prepare(tiny(disturbed, *settings), disturbed), out=Path("run"))
    assert outcome.status == "finished"
    assert [row["step"] for row in read_rows(tmp_path / "run/metrics.jsonl")] == [1, 2, 3]


class GradientsOff(TwoHeads):
    """A discriminator that turns off gradients in its batches of ten."""

    def forward(self, images: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        if len(images) == 10:
            torch.set_grad_enabled(False)
        return super().forward(images, labels)


def test_gradients_that_a_component_turns_off_end_the_run(registry: Registry, tmp_path: Path) -> None:
    """Without gradients nothing would learn, in silence; the run fails with the fix, and gradients are on again."""
    own = with_discriminator(registry, GradientsOff)
    settings = ("gen=mlp", "gen.hidden=[8]", "disc=own", "batch_size=10", "steps=3")
    outcome = launch.start_run(prepare(tiny(own, *settings), own), out=tmp_path / "run")
    assert outcome.status == "failed"
    assert "has turned off gradients" in (outcome.error or "")
    assert torch.is_grad_enabled()


def test_divergence_is_an_error_in_python(tmp_path: Path) -> None:
    """`ganforge.train` raises DivergedError, so that a sweep cannot take a diverged run for a result."""
    experiment = package.Experiment(
        gen="mlp",
        disc="mlp",
        data={"name": "mnist", "options": {"source": "sample"}},
        steps=300,
        batch_size=10,
        precision="fp32",
        optimizer={"name": "sgd", "lr": 1e12},
    )
    with pytest.raises(DivergedError, match="is not a finite number"):
        package.train(experiment, out=tmp_path / "run")

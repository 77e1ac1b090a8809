"""Distributed training with real processes: torchrun and gloo."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from ganforge.config import to_document
from ganforge.errors import ConfigError, DataError
from ganforge.plugins.registry import Registry
from ganforge.runs.launch import wait_for_ranks
from ganforge.runs.manifest import first_manifest
from ganforge.runs.session import Outcome, RankSetup, run_rank
from ganforge.runs.setup import prepare
from ganforge.training import checkpoint as checkpoints
from ganforge.training.build import build
from ganforge.training.distributed import SINGLE_PROCESS, DistContext
from ganforge.training.run_directory import RunDirectory
from ganforge.training.state import digest, synchronized_tensors
from ganforge.training.sync_batchnorm import SyncedBatchNorm
from tests.helpers.checkpoints import digests, wait_for_checkpoint
from tests.helpers.plugins import local
from tests.helpers.processes_worker import CASES, train
from tests.helpers.runs import ROOT, read_rows_without_times, tiny

KEEP = "keep_checkpoints=1000000"
#: Largest differences of weights after 20 steps. Training amplifies those of DCGAN most: see test_textbook_loop.
TOLERANCES = {"bce": 1e-6, "term": 1e-6, "batch-norm": 1e-5, "float16": 1e-5}
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")

#: R1 (Mescheder et al. 2018, eq. 9), the squared slope at real images, a gradient of a gradient; and a term whose state
#: differs between ranks.
SLOPE = """
from torch import nn

import torch

from ganforge import Generator, LossTerm

class Slope(LossTerm):
    phases = ("disc",)

    def forward(self, step):
        real = step.real.clone().requires_grad_()
        (slope,) = torch.autograd.grad(step.discriminate(real).logits.sum(), real, create_graph=True)
        return slope.square().flatten(1).sum(1)

class Uneven(LossTerm):
    phases = ("disc",)

    def __init__(self, options):
        super().__init__(options)
        self.register_buffer("rank", torch.zeros(()))

    def forward(self, step):
        self.rank.fill_(torch.distributed.get_rank())
        return 0 * step.real_output.logits

class Still(Generator):
    def __init__(self, options, image):
        super().__init__(options, image)
        self.layers = nn.Sequential(nn.Linear(self.latent_dim, image.height * image.width), nn.Tanh())
        self.shape = (image.channels, image.height, image.width)

    def forward(self, z, condition=None):
        return self.layers(0 * z).reshape(len(z), *self.shape)

@hookimpl
def ganforge_components():
    terms = [Component(kind="term", name=cls.__name__.lower(), target=cls) for cls in (Slope, Uneven)]
    return [*terms, Component(kind="generator", name="still", target=Still)]
"""


def environment() -> dict[str, str]:
    """Return the environment of processes that share two cores and import the tests' modules."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with every case, trained by two processes."""
    folder = tmp_path_factory.mktemp("two")
    plugin = local(folder / "slope.py", SLOPE)
    command = [*TORCHRUN, str(ROOT / "tests" / "helpers" / "processes_worker.py"), str(folder), str(plugin)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment(), cwd=folder, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("case", list(TOLERANCES))
def test_two_processes_train_what_one_does(case: str, trained: Path, tmp_path: Path) -> None:
    """After 20 steps of the same global batches all weights agree: BCE, double backward, batch norm, float16."""
    registry = Registry.discover([trained / "slope.py"], no_plugins=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # as many as both processes have together; with one, sums are rounded in another order
    try:
        train(case, tmp_path, registry, SINGLE_PROCESS)
    finally:
        torch.set_num_threads(threads)
    one, two = (checkpoints.load(RunDirectory(folder / case).checkpoint_path(20)) for folder in (tmp_path, trained))
    compared = 0
    for file in ("generator", "discriminator", *(["generator_ema"] if case == "bce" else [])):
        assert one.tensors[file].keys() == two.tensors[file].keys()
        for name, values in one.tensors[file].items():
            difference = (values.double() - two.tensors[file][name].double()).abs().max()
            assert float(difference) < TOLERANCES[case], (file, name)
            compared += 1
    assert compared >= 8
    rows = zip(
        *(read_rows_without_times(RunDirectory(folder / case).metrics) for folder in (tmp_path, trained)), strict=True
    )
    for ours, theirs in rows:
        # Each process compares the images of its own part of a batch, and rows have their mean.
        assert ours.pop("health/diversity") == pytest.approx(theirs.pop("health/diversity"), rel=0.1)
        assert ours == pytest.approx(theirs, abs=1e-4 if case == "float16" else 1e-5)


def test_two_processes_find_the_same_and_go_back_together(trained: Path) -> None:
    """Both ranks detect a collapse at the same step, roll back three times and stop, like a single process."""
    first, second = (json.loads((trained / f"collapse-{rank}.json").read_text()) for rank in (0, 1))
    status, health = first
    assert first == second
    assert status == "diverged"
    found = [(alert["alert"], alert["since_step"], alert["until_step"]) for alert in health]
    assert found == [("collapse", 1, 50)] * 3 + [("collapse", 1, None)]
    state = checkpoints.load(RunDirectory(trained / "collapse").checkpoint_path(40)).state
    assert state["rollbacks"] == 3


def test_processes_that_differ_are_noticed(trained: Path) -> None:
    """State that differs between ranks ends the run on every rank, and is not saved."""
    for rank in (0, 1):
        status, message = json.loads((trained / f"uneven-{rank}.json").read_text())
        assert status == "failed"
        assert "the state of a term (it must change in after_step), differ between the 2 ranks: " in message
    assert checkpoints.steps(RunDirectory(trained / "uneven")) == []


def test_maximum_is_that_of_all_ranks(trained: Path) -> None:
    """A signal or a weight that is not finite on one rank is known to all."""
    assert [json.loads((trained / f"maximum-{rank}.json").read_text()) for rank in (0, 1)] == [1, 1]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="a process's threads are listed in /proc, as on Linux")
def test_no_thread_outlives_the_processes_talk(trained: Path) -> None:
    """Gloo's threads end with the process group: a surviving thread aborts the interpreter at exit."""
    for rank in (0, 1):
        names = json.loads((trained / f"threads-{rank}.json").read_text())
        assert names
        assert [name for name in names if "gloo" in name] == []


def launched(run: RunDirectory, *settings: str) -> subprocess.Popen[str]:
    """Start two ranks and wait for their first checkpoint."""
    flags = [f"--set={setting}" for setting in (*settings, "data.source=sample", "precision=fp32", "device=cpu")]
    launcher = subprocess.Popen(
        [*TORCHRUN, "-m", "ganforge", "run", *flags, "--quiet", "--out", "run"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=run.path.parent,
    )
    wait_for_checkpoint(run, launcher)
    return launcher


def ranks(launcher: subprocess.Popen[str]) -> dict[int, int]:
    """Return torchrun's processes by rank."""
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    found = {}
    for child in children:
        variables = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        rank = next((text for text in variables if text.startswith(b"RANK=")), None)
        if rank is not None:
            found[int(rank.removeprefix(b"RANK="))] = int(child)
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="the processes of torchrun are found in /proc, as on Linux")
@pytest.mark.parametrize("killed", [pytest.param(0, marks=pytest.mark.heavy), 1])
def test_killed_rank_ends_all_and_the_run_resumes(killed: int, trained: Path, tmp_path: Path) -> None:
    """Kill -9 of either rank ends both within 15 s; two ranks resume to the same bits, and a single one resumes too."""
    settings = (*CASES["dropout"][:-2], "steps=100000", "checkpoint_every=10", KEEP)
    run = RunDirectory(tmp_path / "run")
    launcher = launched(run, *settings)
    os.kill(ranks(launcher)[killed], signal.SIGKILL)
    begun = time.monotonic()
    _, errors = launcher.communicate(timeout=60)
    assert time.monotonic() - begun < 15
    assert launcher.returncode != 0
    if killed == 1:  # rank 0 survives and reports the loss
        assert "rank 0 of 2 lost the others" in errors
        assert run.read_manifest().status == "failed"
    later = [step for step in checkpoints.steps(run) if step > 50]
    for step in later:  # checkpoints after step 50 are damaged, so that the run resumes from step 50 or earlier
        (run.checkpoint_path(step) / "checksums.json").unlink()
    resume = [*TORCHRUN, "-m", "ganforge", "resume", "run", "--steps", "60", "--quiet"]
    done = subprocess.run(
        resume, capture_output=True, text=True, env=environment(), cwd=tmp_path, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    straight = RunDirectory(trained / "dropout")
    assert digests(run) == digests(straight)
    alone = [sys.executable, "-m", "ganforge", "resume", "run", "--steps", "62", "--json", "--quiet"]
    done = subprocess.run(
        alone, capture_output=True, text=True, env=environment(), cwd=tmp_path, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 62


@pytest.mark.parametrize(
    ("settings", "ranks", "message", "fix"),
    [
        ((), 7, "batch of 60 cannot be shared equally by 7 processes", "--batch-size 56"),
        (("batch_size=61",), 2, "batch of 61 cannot be shared equally by 2 processes", "--batch-size 60"),
        (("gradient_accumulation=4",), 2, "of 60 .* by 2 processes, each in 4 parts", "--batch-size 56"),
        (("generator_batch_size=3",), 4, "batch of 3 .* by 4 processes", "--generator-batch-size 4"),
    ],
)
def test_a_batch_that_cannot_be_shared_equally_is_refused(
    settings: tuple[str, ...], ranks: int, message: str, fix: str, registry: Registry
) -> None:
    """Ranks, and the parts of each, have equally many images; the message names the nearest size."""
    with pytest.raises(ConfigError, match=message) as caught:
        prepare(tiny(registry, *settings), registry, dist=DistContext(0, ranks, 0))
    assert fix in str(caught.value.fix)


def test_rank_with_other_data_is_refused(registry: Registry, tmp_path: Path) -> None:
    """Ranks of several machines must read the same data as the main one."""
    prepared = prepare(tiny(registry, *CASES["bce"]), registry)
    manifest, document = first_manifest(prepared), to_document(prepared.resolved.experiment)

    class Rank(DistContext):
        """Rank that has received the main one's setup."""

        def broadcast_object(self, _: object) -> Any:
            return RankSetup(RunDirectory(tmp_path), document, manifest, "0" * 64, restore=False)

    with pytest.raises(DataError, match=r"rank 1 has other data than the main rank: fingerprint .*, not 000000000000"):
        run_rank(registry, Rank(rank=1))


@pytest.mark.parametrize(("status", "waits"), [("finished", 1), ("interrupted", 0), ("failed", 0)])
def test_ranks_wait_for_each_other_at_the_end_of_a_finished_run(status: str, waits: int, tmp_path: Path) -> None:
    """A rank that was interrupted or failed may be alone, and does not wait."""
    calls: list[int] = []

    class Rank(DistContext):
        """Rank that notes when it waits."""

        def all_reduce_max(self, value: int) -> int:
            calls.append(value)
            return value

    wait_for_ranks(Rank(), Outcome(RunDirectory(tmp_path), status, 1, 1, None, 1.0, {}))
    assert len(calls) == waits


def test_shared_batch_norm_draws_and_scores_alone() -> None:
    """SyncedBatchNorm in eval mode communicates nothing and equals plain batch norm."""
    for tracked in (True, False):
        original = torch.nn.BatchNorm2d(3, track_running_stats=tracked)
        images = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(1))
        original(images)  # remembers statistics where it does
        shared = SyncedBatchNorm(original, 2).eval()
        torch.testing.assert_close(shared(images), original.eval()(images))


def test_numbers_of_any_shape_have_a_digest() -> None:
    """A single number, a matrix and low precision are hashed by their bytes; another number gives another digest."""
    tensors = [torch.tensor(1.5), torch.ones(2, 3), torch.ones(2, dtype=torch.bfloat16)]
    assert digest(tensors) == digest([tensor.clone() for tensor in tensors])
    assert digest(tensors) != digest([torch.tensor(1.25), *tensors[1:]])


def test_ranks_compare_all_weights_but_no_statistics_of_batch_norm(registry: Registry) -> None:
    """Any weight of either network that differs is found; buffers of networks differ by rank."""
    gan = build(tiny(registry, *CASES["batch-norm"][:4]))
    before = digest(synchronized_tensors(gan))
    for network in (gan.generator, gan.discriminator):
        for buffer in network.buffers():
            buffer.add_(1)
    assert digest(synchronized_tensors(gan)) == before
    for weight in (*gan.generator.parameters(), *gan.discriminator.parameters()):
        original = weight.data
        weight.data = original + 1
        assert digest(synchronized_tensors(gan)) != before
        weight.data = original
    assert digest(synchronized_tensors(gan)) == before


def test_invalid_setting_is_printed_by_rank_zero_only(tmp_path: Path) -> None:
    """Rank 0 alone prints the message of an invalid setting under torchrun; the others exit silently."""
    command = [*TORCHRUN, "-m", "ganforge", "run", "--data.source", "sample", "--critic-steps", "0", "--out", "run"]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment(), cwd=tmp_path, timeout=120, check=False
    )
    assert done.returncode != 0
    assert done.stderr.count("critic_steps = 0") == 1
    assert "lost the others" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_signal_to_torchrun_saves_once_and_ends_all(tmp_path: Path) -> None:
    """SIGTERM to the launcher stops both ranks at one saved step within seconds; the run's status is interrupted."""
    settings = (*CASES["dropout"][:-2], "steps=1000000", "checkpoint_every=50")
    run = RunDirectory(tmp_path / "run")
    launcher = launched(run, *settings)
    launcher.send_signal(signal.SIGTERM)
    begun = time.monotonic()
    _, errors = launcher.communicate(timeout=60)
    assert time.monotonic() - begun < 15
    manifest = run.read_manifest().as_dict()
    assert manifest["status"] == "interrupted", errors
    assert checkpoints.steps(run)[0] == manifest["summary"]["steps"]
    assert errors.count("resume with: torchrun --nproc-per-node 2 -m ganforge resume run") == 1

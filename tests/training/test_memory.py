"""Out-of-memory errors, the allocator's kept memory, and resuming on another device."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ganforge.errors import ConfigError
from ganforge.plugins.registry import Registry
from ganforge.runs import launch
from ganforge.runs.setup import prepare
from ganforge.training.build import GANComponents
from ganforge.training.memory import is_out_of_memory, keep_freed_memory
from ganforge.training.run_directory import RunDirectory
from ganforge.training.trial_steps import TrialSteps, parts_that_fit
from tests.helpers.plugins import command
from tests.helpers.runs import tiny
from tests.helpers.updates import MLP, stepped, take_steps

CPU = torch.device("cpu")

#: The command line with little address space left once torch is there.
LIMITED = """
import resource, sys, torch, torchvision
from ganforge.cli.app import main
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv.pop(1)), resource.RLIM_INFINITY))
torch.set_num_threads(1)
main()
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="address space is limited as on Linux")
@pytest.mark.parametrize("precision", ["fp32", pytest.param("auto", marks=pytest.mark.heavy)])
def test_a_batch_without_memory_is_answered_with_one_that_fits(precision: str, tmp_path: Path) -> None:
    """A process that runs out of memory names a batch size that fits, and that size trains."""

    def limited(size: str, out: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", LIMITED, str(250_000_000), "run", "--gen", "mlp", "--disc", "mlp", "--quiet"]
        command += ["--data.source", "sample", "--steps", "1", "--precision", precision, "--device", "cpu"]
        command += ["--batch-size", size, "--gen.hidden", "[512]", "--disc.hidden", "[512]", "--out", out]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=200, check=False)

    done = limited("8192", "large")
    assert done.returncode == 1, done.stderr
    assert "cpu has not enough memory for batches of 8,192 images;" in done.stderr
    assert "Traceback" not in done.stderr
    fix = next(line for line in done.stderr.splitlines() if line.startswith("→"))
    size = fix.split("--batch-size ")[1].split(",")[0]
    assert int(size) < 8192
    assert f"--gradient-accumulation {8192 // int(size)}" in fix
    done = limited(size, "fitting")
    assert done.returncode == 0, done.stderr


def test_what_counts_as_missing_memory() -> None:
    """Failed allocations of the CPU, a GPU and Python count as out of memory; other errors do not."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("could not create a primitive"))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_a_batch_is_halved_until_it_fits(
    assemble: Callable[..., GANComponents], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If memory suffices for 20 images, a batch of 60 is split into four parts; if for none, the result is None."""
    limit = 20

    def run(trial: TrialSteps, steps: int) -> None:
        if len(trial.batches["disc"].images) > limit:
            raise torch.OutOfMemoryError

    monkeypatch.setattr(TrialSteps, "run", run)
    gan = assemble(*MLP)
    assert parts_that_fit(gan, CPU, "fp32") == 4
    limit = 0
    assert parts_that_fit(gan, CPU, "fp32") is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc has such an allocator")
def test_freed_memory_is_used_again(assemble: Callable[..., GANComponents]) -> None:
    """Training with kept blocks causes hardly any page faults."""
    if not keep_freed_memory():
        pytest.skip("this C library's allocator cannot be told to keep memory; glibc's can")
    gan = assemble("gen=mlp", "disc=mlp")
    gan_step = stepped(gan, 5)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    take_steps(gan_step, 20)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert faults < 20 * 500  # 1,000 a step otherwise, measured in a new process


def test_resume_on_another_device_warns_of_other_bits(registry: Registry, tmp_path: Path) -> None:
    """A run of a missing GPU is refused with a fix; `--device cpu` resumes it and warns of other bits."""
    run = RunDirectory(tmp_path / "run")
    launch.start_run(prepare(tiny(registry, *MLP, "steps=2"), registry), out=run.path)
    there = run.read_experiment().model_copy(update={"device": "cuda:7", "precision": "tf32", "cuda_graphs": "on"})
    run.write_experiment(there)
    run.update_manifest(device="cuda:7", precision="tf32")
    with pytest.raises(ConfigError, match="no device 'cuda:7'") as caught:
        launch.resume_run(run, registry, launch.ResumeOverrides(steps=4))
    assert "--device cpu" in str(caught.value.fix)
    with pytest.warns(UserWarning, match="device cuda:7 → cpu.*other bits"):
        outcome = launch.resume_run(run, registry, launch.ResumeOverrides(steps=4, device="cpu"))
    assert outcome.status == "finished"
    here = run.read_experiment()
    assert (here.device, here.precision, here.cuda_graphs) == ("cpu", "fp32", "off")
    assert run.read_manifest().device == "cpu"


def test_resume_takes_a_device(registry: Registry, tmp_path: Path) -> None:
    """`ganforge resume RUN --device NAME` reaches the engine, whose error names a missing device."""
    launch.start_run(prepare(tiny(registry, *MLP, "steps=2"), registry), out=tmp_path / "run")
    refused = command("resume", "run", "--steps", "3", "--device", "cuda:9")
    assert refused.returncode == 2
    assert "no device 'cuda:9'" in refused.stderr

"""Published methods as local plugins: the engine has no special case for any of them."""

from __future__ import annotations

import ast
import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import ganforge as package
from ganforge.runs import launch
from ganforge.runs.setup import prepare
from ganforge.training import checkpoint as checkpoints
from ganforge.training.callbacks import Callback
from ganforge.training.run_directory import RunDirectory
from tests.helpers.methods_worker import BATCH_DEPENDENT, FOLDER, METHODS, PLAIN_STEPS, Method
from tests.helpers.plugins import command
from tests.helpers.runs import ROOT, read_rows_without_times

FILES = sorted(FOLDER.glob("*.py"))
STEPS, HALF = 20, 10
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")

every_method = pytest.mark.parametrize("method", list(METHODS.values()), ids=list(METHODS))
every_file = pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Method], RunDirectory]:
    """Train a method for 20 steps, once for all tests."""
    runs: dict[str, RunDirectory] = {}

    def train(method: Method) -> RunDirectory:
        if method.name not in runs:
            resolved = method.resolve(f"checkpoint_every={HALF}", f"sample_every={STEPS}")
            folder = tmp_path_factory.mktemp("methods") / method.name
            outcome = launch.start_run(prepare(resolved, method.registry), out=folder, callback=Callback())
            assert (outcome.status, outcome.error) == ("finished", None)
            runs[method.name] = outcome.run
        return runs[method.name]

    return train


def largest_difference(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> tuple[float, str]:
    """Return the largest difference of two sets of tensors, and the tensor's name."""
    assert ours.keys() == theirs.keys()
    return max((float((value.double() - theirs[name].double()).abs().max()), name) for name, value in ours.items())


@every_file
def test_method_imports_public_names_only(path: Path) -> None:
    """A plugin imports ganforge's public names, torch and the standard library, and has no globals that change."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
            if node.module == "ganforge":
                assert {alias.name for alias in node.names} <= set(package.__all__)
        else:
            assert not isinstance(node, ast.Global)
            continue
        for module in modules:
            assert module == "ganforge" or module.partition(".")[0] in {"torch", *sys.stdlib_module_names}


@every_file
def test_method_is_listed_and_described(path: Path) -> None:
    """`list` has each component of the file, and `describe` shows each."""
    listed = command("list", "--plugin", path, "--json")
    assert listed.returncode == 0, listed.stderr
    own = [row for row in json.loads(listed.stdout) if row["distribution"] == path.name]
    assert own
    for row in own:
        described = command("describe", row["kind"], row["name"], "--plugin", path)
        assert described.returncode == 0, described.stderr
        assert described.stdout.startswith(f"{row['name']} · {row['kind']} · {path.name}")


@every_method
def test_method_trains(method: Method, trained: Callable[[Method], RunDirectory]) -> None:
    """In 20 steps each component's weights or state change, each number is finite, and each term is logged."""
    run = trained(method)
    first, last = (checkpoints.load(run.checkpoint_path(step)).tensors for step in (HALF, STEPS))
    assert first.keys() == last.keys()
    assert {"generator", "discriminator"} <= first.keys()
    for file in first.keys() - {"optimizers"}:  # gradient descent has no state
        tensors = first[file]
        assert any(not torch.equal(value, last[file][name]) for name, value in tensors.items()), file
    rows = read_rows_without_times(run.metrics)
    assert len(rows) == STEPS
    for row in rows:
        assert all(math.isfinite(value) for value in row.values() if isinstance(value, float))
    columns = {column for row in rows for column in row}
    terms = [ref.name for ref in method.resolve().experiment.term]
    for name in terms:
        assert any(column == f"term/{name}" or column.startswith(f"term/{name}/") for column in columns)
    logged = re.findall(r'step\.log\("([^"]+)"', method.path.read_text())
    assert {"loss/discriminator", "loss/generator", *logged} <= columns


@every_method
def test_method_resumes_to_the_same_bits(
    method: Method, trained: Callable[[Method], RunDirectory], tmp_path: Path
) -> None:
    """Stopped after 10 steps and resumed, a run ends with the tensors and rows of one that was not stopped."""
    straight = trained(method)
    stopped = RunDirectory(tmp_path / "run")
    shutil.copytree(straight.path, stopped.path)
    shutil.rmtree(stopped.checkpoint_path(STEPS))
    outcome = launch.resume_run(stopped, method.registry, callback=lambda _: Callback())
    assert (outcome.status, outcome.error) == ("finished", None)
    ours, theirs = (checkpoints.load(run.checkpoint_path(STEPS)) for run in (straight, stopped))
    assert ours.tensors.keys() == theirs.tensors.keys()
    for file, tensors in ours.tensors.items():
        assert tensors.keys() == theirs.tensors[file].keys()
        for name, value in tensors.items():
            assert torch.equal(value, theirs.tensors[file][name]), (file, name)
    assert read_rows_without_times(straight.metrics) == read_rows_without_times(stopped.metrics)


@every_method
def test_gradient_accumulation_changes_nothing(method: Method) -> None:
    """Two parts of a batch give the update of the whole batch, within rounding: weights, state and logged numbers."""
    if method.name in BATCH_DEPENDENT:
        pytest.skip(f"by design: {BATCH_DEPENDENT[method.name]}")
    (whole, rows), (parts, part_rows) = (
        method.train_plainly(PLAIN_STEPS, f"gradient_accumulation={count}") for count in (1, 2)
    )
    difference, name = largest_difference(whole, parts)
    assert difference < 1e-5, name
    for row, part_row in zip(rows, part_rows, strict=True):
        row.pop("health/diversity"), part_row.pop("health/diversity")  # each part compares its own images
        assert row == pytest.approx(part_row, rel=1e-3, abs=1e-4)


def test_state_that_moves_in_forward_is_noticed(tmp_path: Path) -> None:
    """A mutant of LeCam that moves its means in `forward` fails the law above: the tolerance is small enough."""
    source = METHODS["lecam"].path.read_text()
    line = "        real = (step.real_output"
    moved = source.replace(line, f"        with torch.no_grad():\n            self.after_step(step)\n{line}")
    assert moved != source
    path = tmp_path / "lecam.py"
    path.write_text(moved)
    mutant = Method("lecam", path, (*METHODS["lecam"].settings, "term.decay=0.5"))
    whole, parts = (mutant.train_plainly(PLAIN_STEPS, f"gradient_accumulation={count}")[0] for count in (1, 2))
    assert largest_difference(whole, parts)[0] > 1e-5


@pytest.mark.slow
def test_two_ranks_train_what_one_does(tmp_path: Path) -> None:
    """Two gloo ranks give the weights and state of one, for every method whose batch can be cut."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    worker = [*TORCHRUN, str(ROOT / "tests" / "helpers" / "methods_worker.py"), str(tmp_path)]
    done = subprocess.run(worker, capture_output=True, text=True, env=environment, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    compared = 0
    for method in METHODS.values():
        if method.name not in BATCH_DEPENDENT:
            one, _ = method.train_plainly(PLAIN_STEPS)
            difference, name = largest_difference(one, torch.load(tmp_path / f"{method.name}.pt"))
            assert difference < 1e-6, (method.name, name)
            compared += 1
    assert compared == len(METHODS) - len(BATCH_DEPENDENT)

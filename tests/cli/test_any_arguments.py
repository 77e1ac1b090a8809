"""Law of all arguments: none leads to a traceback, or to a message that blames a bug of ganforge."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ganforge.components.spec import FLAGS
from ganforge.config import Experiment
from tests.helpers.plugins import command

NAMES = ("dcgan", "mlp", "bce", "mnist", "normal", "adam", "cosine", "fid", "digits", "folder", "wgan", "none", "auto")
OPTIONS = (
    "lr",
    "betas",
    "weight",
    "every",
    "base_channels",
    "latent_dim",
    "source",
    "path",
    "init",
    "name",
    "0",
    "all",
)
EDGES = ("", "-1", "0", "nan", "1e999", "9" * 400, "[]", "[[]]", "{a=1}", "a,b", "=", "é", "🔥", "[bold]", "/dev/null")
COMMANDS = ("list", "describe", "check", "runs", "compare", "sample", "evaluate", "report", "resume", "sweep --dry-run")
OPTION_NAMES = ("--json", "--checkpoint", "-n", "--out", "--metric", "--sort", "--where", "--set", "--seeds", "--sweep")

sections = st.sampled_from(sorted({*FLAGS, *Experiment.model_fields, "optimizer.gen", "schedules.gen.lr", "gen.mlp"}))
keys = sections | st.tuples(sections, st.sampled_from(NAMES + OPTIONS)).map(".".join)
values = st.sampled_from(NAMES + EDGES) | st.integers(-2, 99).map(str)
pairs = st.tuples(keys, values)
flags = pairs.map(lambda pair: [f"--{pair[0]}", pair[1]]) | pairs.map(lambda pair: ["--set", "=".join(pair)])
runs = st.lists(flags, min_size=1, max_size=4).map(lambda parts: ["run", "--dry-run", *itertools.chain(*parts)])
others = st.tuples(st.sampled_from(COMMANDS), st.lists(values | st.sampled_from(OPTION_NAMES), max_size=5)).map(
    lambda parts: [*parts[0].split(), *parts[1]]
)


def check(arguments: list[str]) -> None:
    """Run a command line, which must work or end with a usage error."""
    finished = command(*arguments)
    assert finished.returncode in {0, 2, 4}, (arguments, finished.stderr)
    assert "a bug of" not in finished.stderr, (arguments, finished.stderr)


@settings(derandomize=True, deadline=None, max_examples=8, suppress_health_check=list(HealthCheck))
@given(arguments=runs | others)
def test_no_arguments_lead_to_a_bug(arguments: list[str]) -> None:
    """Mistaken settings, options and paths are errors with exit code 2, or work."""
    check(arguments)


@pytest.mark.heavy
@settings(deadline=None, max_examples=3000, suppress_health_check=list(HealthCheck))
@given(arguments=runs | others)
def test_no_arguments_of_thousands_lead_to_a_bug(arguments: list[str]) -> None:
    """The law above, for thousands of random arguments (`pytest -m heavy tests/cli/test_any_arguments.py`)."""
    check(arguments)


def test_names_that_are_lists(tmp_path: Path) -> None:
    """A list within a list of names is an error about the name."""
    finished = command("run", "--dry-run", "--augment", "[[]]")
    assert finished.returncode == 2
    assert "no augmentation '[]'" in finished.stderr

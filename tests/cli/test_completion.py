"""Completion in shells: names, options of the chosen components, settings and their values."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pexpect
import platformdirs
import pytest

from ganforge.cli._completion import completions
from tests.helpers.home import remove_home
from tests.helpers.plugins import HEADER, distribution, local, provides

SHELLS: dict[str, Callable[[str], dict[str, str]]] = {
    "bash": lambda line: {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)},
    "zsh": lambda line: {"_TYPER_COMPLETE_ARGS": line},
    "fish": lambda line: {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
}
PROGRAM = "import sys; sys.argv[0] = 'ganforge'; from ganforge.cli import main; main()"

WIDE = """
from pydantic import PositiveInt
from ganforge import Generator

class Wide(Generator):
    class Options(Generator.Options):
        width: PositiveInt = 8
        'Width of [the] layer, about which this text says so much that no shell would show it on one line.'

    def forward(self, z, condition=None): ...

""" + provides("generator", "wide", "PLACE").replace("'PLACE'", "Wide")


def asked(shell: str, line: str, folder: Path, **environment: str) -> str:
    """Return what ganforge answers to a shell that completes the end of a line."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "_GANFORGE_COMPLETE": f"complete_{shell}",
            "XDG_CACHE_HOME": str(folder / "cache"),
            **SHELLS[shell](line),
            **environment,
        },
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("shell", list(SHELLS))
def test_each_shell_gets_names_and_options(shell: str, tmp_path: Path) -> None:
    """Component names come with their summaries; the options of the chosen generator are those that it has."""
    names = asked(shell, "ganforge run --gen ", tmp_path)
    assert "dcgan" in names
    assert "mlp" in names
    assert shell == "bash" or "Transposed convolutions with batch norm" in names
    options = asked(shell, "ganforge run --gen mlp --disc dcgan --gen.h", tmp_path)
    assert "--gen.hidden" in options
    assert "base_channels" not in options
    assert len(options.strip().splitlines()) == 1, "a text that is wrapped breaks zsh's and fish's scripts"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ganforge describe dc", {"dcgan"}),
        ("ganforge describe text", {"textbook"}),
        ("ganforge list feat", {"features"}),
        ("ganforge list pre", {"preset"}),
        ("ganforge check ganf", {"ganforge"}),
        ("ganforge check bc", {"bce"}),
        ("ganforge run --gen mlp --set gen.h", {"gen.hidden="}),
        ("ganforge run --set sample_e", {"sample_every="}),
        ("ganforge evaluate a-run --metric kid --set metric.s", {"metric.subset_size=", "metric.subsets="}),
    ],
)
def test_names_kinds_and_keys_are_completed(line: str, expected: set[str], tmp_path: Path) -> None:
    """`describe`, `list` and `check` complete names and kinds, `--set` the keys of settings and options."""
    assert set(asked("bash", line, tmp_path, GANFORGE_PLUGINS="ganforge").split()) == expected


def test_options_follow_the_chosen_components() -> None:
    """Options of the default, of the last named component, and of several metrics, each with its name."""
    assert dict(completions(["--gen", "mlp", "--gen=dcgan"], "--gen.b")).keys() == {"--gen.base_channels"}
    assert dict(completions([], "--disc.")).keys() == {"--disc.base_channels", "--disc.init"}
    assert completions(["--gen", "nothing"], "--gen.") == []
    assert "--metric.directions" in dict(completions([], "--metric"))
    several = dict(completions(["--metric", "kid", "--metric", "fid,sliced-wasserstein"], "--metric.s"))
    assert several.keys() == {"--metric.sliced-wasserstein.directions"}


def test_optimizers_and_schedules_are_completed() -> None:
    """Phases, options of the optimizer that a phase has, targets of schedules, and names of both kinds."""
    words = ["--optimizer", "sgd", "--optimizer.gen", "rmsprop"]
    assert {"--optimizer.gen", "--optimizer.gen.schedule"} <= dict(completions(words, "--optimizer.")).keys()
    assert dict(completions(words, "--optimizer.gen.a")).keys() == {"--optimizer.gen.alpha"}
    assert dict(completions(words, "--optimizer.disc.n")).keys() == {"--optimizer.disc.nesterov"}
    assert [word for word, _ in completions(["--optimizer.gen"], "a")] == ["adam", "adamw"]
    assert [word for word, _ in completions(["--optimizer.schedule"], "c")] == ["constant", "cosine"]
    targets = dict(completions(["--ema-halflife-images", "9"], "--schedules.")).keys()
    assert {"--schedules.optimizer.gen.lr", "--schedules.optimizer.disc.betas.1"} <= targets
    assert "--schedules.ema_halflife_images" in targets
    assert not any("warmup" in target or "clip" in target for target in targets), "only real numbers have schedules"
    words = ["--schedules.optimizer.gen.lr", "cosine"]
    assert "--schedules.optimizer.gen.lr.final" in dict(completions(words, "--schedules.optimizer.gen.lr."))
    assert [word for word, _ in completions(["--optimizer", "sgd", "--optimizer.nesterov"], "")] == ["true", "false"]


def test_values_and_settings_are_completed() -> None:
    """Choices of an option, of a setting, and every setting's flag with what it does."""
    assert [word for word, _ in completions(["--gen", "dcgan", "--gen.init"], "")] == ["default", "normal"]
    assert [word for word, _ in completions(["--precision"], "")] == ["auto", "fp32", "tf32", "bf16", "fp16"]
    assert completions(["--on-nan"], "r") == [("rollback", "")]
    assert completions(["--gen.base_channels"], "") == []
    flags = dict(completions([], "--critic"))
    assert flags["--critic-steps"].startswith("Discriminator updates in a row")


def test_a_local_plugin_is_completed_afresh(tmp_path: Path) -> None:
    """Its options are read each time, since its file changes; a long text is cut, and its brackets stay text."""
    file = local(tmp_path / "wide.py", WIDE)
    ((flag, text),) = completions(["--plugin", str(file), "--gen", "wide"], "--gen.w")
    assert flag == "--gen.width"
    assert text.startswith("Width of \\[the] layer")
    assert text.endswith("…")
    file.write_text(file.read_text().replace("width:", "weight:"))
    assert dict(completions(["--plugin", str(file), "--gen", "wide"], "--gen.w")).keys() == {"--gen.weight"}


def test_options_are_kept_until_their_module_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cached answer imports nothing; a changed file or a damaged cache is read again; a missing cache is harmless."""
    place = distribution(tmp_path / "site", "wide-plugin", provides("generator", "wide", "wide_networks:Wide"))
    (place / "wide_networks.py").write_text(HEADER + WIDE)
    monkeypatch.syspath_prepend(str(place))
    words = ["--gen", "wide"]
    assert "--gen.width" in dict(completions(words, "--gen."))
    cache = Path(platformdirs.user_cache_path("ganforge"), "completion.json")
    (entry,) = json.loads(cache.read_text()).values()
    assert "width" in entry["options"]
    with monkeypatch.context() as patch:
        patch.setattr("ganforge.plugins.registry.Registry.load", lambda *_: pytest.fail("imported again"))
        assert "--gen.width" in dict(completions(words, "--gen."))
    cache.write_text("{ torn")
    assert "--gen.width" in dict(completions(words, "--gen."))
    cache.unlink()
    cache.mkdir()
    assert "--gen.width" in dict(completions(words, "--gen."))


def test_options_are_completed_without_a_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a home folder has no cache, and nothing is written in its place."""
    remove_home(monkeypatch)
    assert "--gen.base_channels" in dict(completions(["--gen", "dcgan"], "--gen.b"))
    assert list(Path.cwd().iterdir()) == []


def test_completing_imports_no_torch_once_it_is_known(tmp_path: Path) -> None:
    """The second answer comes from a process without torch, numpy and torchvision."""
    program = (
        "import sys; from ganforge.cli._completion import completions; "
        "print(completions([], '--gen.b')[0][0], *[name for name in ('torch', 'numpy') if name in sys.modules])"
    )
    said = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")},
        )
        said.append(done.stdout.split())
    assert said[0][0] == said[1][0] == "--gen.base_channels"
    assert "torch" in said[0]
    assert said[1] == ["--gen.base_channels"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_real_shell_completes(shell: str, tmp_path: Path) -> None:
    """In an interactive shell that has sourced ganforge's script, Tab after `--gen.b` writes the option out."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed: apt-get install {shell}")
    command = tmp_path / "bin" / "ganforge"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{PROGRAM}" "$@"\n')
    command.chmod(0o755)
    source = f"source_{shell}"
    environment = {
        **os.environ,
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "TERM": "dumb",
    }
    lines = {
        "bash": f'eval "$(_GANFORGE_COMPLETE={source} ganforge)"',
        "zsh": f'autoload -Uz compinit; compinit -D; eval "$(_GANFORGE_COMPLETE={source} ganforge)"',
        "fish": f"_GANFORGE_COMPLETE={source} ganforge | source",
    }
    flags = {"bash": ["--norc", "-i"], "zsh": ["-f", "-i"], "fish": ["-i", "--no-config"]}[shell]
    with pexpect.spawn(shell, flags, env=environment, encoding="utf-8", timeout=60, dimensions=(40, 200)) as terminal:
        terminal.sendline(lines[shell] + "; echo re''ady")
        terminal.expect("ready")
        terminal.send("ganforge run --gen dcgan --gen.b\t")
        terminal.expect("ase_channels")
        terminal.sendcontrol("u")
        terminal.send("ganforge run --gen dcgan --set gen.b\t")
        terminal.expect("ase_channels=")
        terminal.sendcontrol("u")
        terminal.send("ganforge describe textb\t")
        terminal.expect("ook")

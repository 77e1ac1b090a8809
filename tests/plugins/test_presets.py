"""Laws of presets: listed, described and used by name; validated when they are used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ganforge import Preset
from ganforge.builtin.presets import QUICK, TEXTBOOK
from ganforge.config import preset_layer
from ganforge.errors import PluginError, UnknownComponentError
from ganforge.plugins import Policy, discover
from ganforge.plugins.registry import Registry
from tests.helpers.plugins import HEADER, command, distribution

TINY = 'steps = 3\ngen = "mlp"\n\n[optimizer]\nlr = 0.001\n'
SMALL = ("--disc", "mlp", "--data.source", "sample", "--batch-size", "8", "--precision", "fp32", "--dry-run", "--json")


def presets(*texts: str) -> str:
    """Return the source of a hook that returns presets, given as their arguments."""
    items = ", ".join(f"Preset({text})" for text in texts)
    return f"from ganforge import Preset\n\n@hookimpl\ndef ganforge_presets():\n    return [{items}]\n"


def tiny(name: str = "tiny", settings: object = TINY) -> str:
    """Return the arguments of a preset."""
    return f"name={name!r}, summary='Three steps.', settings={settings!r}"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder on this process's path, to install distributions into."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def local(folder: Path, *texts: str) -> Path:
    """Write a local plugin with presets."""
    file = folder / "mine.py"
    file.write_text(HEADER + presets(*texts))
    return file


def test_the_textbook_comes_through_the_hook() -> None:
    """The built-in presets are the built-in plugin's; without it there are none."""
    assert [preset for preset, _ in discover(Policy(none=True)).presets] == [TEXTBOOK, QUICK]
    assert discover(Policy(none=True, blocked=frozenset({"builtin"}))).presets == []


@pytest.mark.parametrize("settings", [TINY, {"steps": 3, "gen": "mlp", "optimizer": {"lr": 0.001}}])
def test_a_preset_is_a_layer_below_the_user_s(settings: object, here: Path) -> None:
    """`run --preset` applies a table or TOML text; the plan names preset and plugin, and the command line wins."""
    distribution(here, f"tiny-{len(str(settings))}", presets(tiny(settings=settings)), version="2.0")
    plan = json.loads(command("run", "--preset", "tiny", "--steps", "2", *SMALL).stdout)
    assert (plan["experiment"]["steps"], plan["experiment"]["gen"]["name"]) == (2, "mlp")
    assert plan["experiment"]["optimizer"]["gen"]["adam"]["lr"] == 0.001
    assert plan["origins"]["steps"] == "command line"
    assert plan["origins"]["gen"] == f"preset tiny (tiny-{len(str(settings))} 2.0)"


def test_presets_are_listed_and_described(tmp_path: Path) -> None:
    """`list` has presets after the components, `list preset` alone; `describe` shows the settings of one."""
    file = local(tmp_path, tiny())
    rows = json.loads(command("list", "--plugin", file, "--json").stdout)
    assert [(row["kind"], row["name"]) for row in rows[-3:]] == [
        ("preset", "quick"),
        ("preset", "textbook"),
        ("preset", "tiny"),
    ]
    for kind in ("preset", "Presets"):
        assert json.loads(command("list", kind, "--plugin", file, "--json").stdout) == rows[-3:]
    document = json.loads(command("describe", "tiny", "--plugin", file, "--json").stdout)
    assert document == {**rows[-1], "settings": {"steps": 3, "gen": "mlp", "optimizer": {"lr": 0.001}}}
    shown = command("describe", "preset", "textbook").stdout
    assert "Settings of --preset textbook" in shown
    assert "optimizer.lr" in shown


def test_unknown_presets_are_answered_with_the_nearest(tmp_path: Path) -> None:
    """The message names the nearest preset and its plugin, for every command that takes one."""
    file = local(tmp_path, tiny())
    for arguments in (("run", "--preset", "tyny"), ("sweep", "--preset", "tyny"), ("describe", "preset", "tyny")):
        refused = command(*arguments, "--plugin", file)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "no preset 'tyny'; did you mean 'tiny' (mine.py local)?" in refused.stderr


def test_presets_of_one_name(here: Path) -> None:
    """A preset name of two plugins is ambiguous; `distribution/name` selects one."""
    distribution(here, "a-preset", presets(tiny("fast")))
    distribution(here, "b-preset", presets(tiny("fast", "steps = 4")))
    registry = Registry.discover()
    with pytest.raises(UnknownComponentError, match="2 plugins provide a preset 'fast'"):
        preset_layer("fast", registry)
    assert preset_layer("b-preset/fast", registry).values == {"steps": 4}
    rows = json.loads(command("list", "preset", "--json").stdout)
    assert {row["name"]: row.get("problem") for row in rows if row["name"] not in {"quick", "textbook"}} == {
        f"{letter}-preset/fast": f"another plugin has a preset of this name; write {letter}-preset/fast"
        for letter in "ab"
    }


def test_settings_are_validated_when_they_are_used(tmp_path: Path) -> None:
    """Invalid TOML and unknown settings are errors with preset and plugin, and others are not affected."""
    file = local(tmp_path, tiny("torn", "steps ="), tiny("wrong", {"stepz": 3}))
    assert command("list", "--plugin", file).returncode == 0
    with pytest.raises(PluginError, match=r"preset 'torn' \(mine.py local\) is not TOML: "):
        preset_layer("torn", Registry.discover([file]))
    refused = command("run", "--preset", "wrong", "--plugin", file, *SMALL)
    assert refused.returncode == 2
    assert "invalid setting 'stepz' (preset wrong (mine.py local)); did you mean 'steps'?" in refused.stderr
    found = json.loads(command("doctor", "--plugin", file, "--json").stdout)
    assert [(problem["distribution"], problem["stage"]) for problem in found["problems"]] == [("mine.py", "preset")]
    assert ["torn", "wrong"] in [plugin["presets"] for plugin in found["plugins"]]


WRONG = {
    "raises": ("1 / 0", "ZeroDivisionError"),
    "bad-name": (tiny("Tiny"), "preset name 'Tiny' is not lower-case letters"),
    "bad-summary": ("name='tiny', summary='a\\nb', settings={}", "summary of preset 'tiny' is not one line"),
    "bad-settings": (tiny(settings=3), "settings of preset 'tiny' are neither a table nor TOML text: 3"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_hook_skips_the_plugin(name: str, here: Path) -> None:
    """A hook that raises or returns what is malformed is a problem of its plugin, at the stage `presets`."""
    text, reason = WRONG[name]
    distribution(here, f"{name}-preset", presets(text))
    (problem,) = discover(Policy()).problems
    assert (problem.distribution, problem.stage) == (f"{name}-preset", "presets")
    assert reason in problem.error


def test_a_distribution_provides_a_preset_once(here: Path) -> None:
    """Two presets of one name in one plugin are a problem: `distribution/name` would be ambiguous."""
    distribution(here, "double-preset", presets(tiny(), tiny()))
    (problem,) = discover(Policy()).problems
    assert problem.error == "provides preset 'tiny' twice"


def test_a_preset_must_be_well_formed() -> None:
    """A preset checks its fields where its author writes it."""
    with pytest.raises(ValueError, match="lower-case"):
        Preset(name="a b", summary="", settings={})

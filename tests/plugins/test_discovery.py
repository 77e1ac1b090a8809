"""Laws of finding plugins: all come the same way, and what is broken is skipped, named, and harms nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import NamedTuple

import pytest

from ganforge import builtin
from ganforge.components.spec import API
from ganforge.errors import ConfigError, StrictPluginError, UnknownComponentError
from ganforge.plugins import Plugins, Policy, discover
from ganforge.plugins.installed import installed_plugins
from ganforge.plugins.policy import IMPORT_TIMEOUT_SECONDS
from ganforge.plugins.registry import Registry
from tests.helpers.plugins import command, distribution, in_process, notes, provides, shown_on_terminal


class Broken(NamedTuple):
    """A broken plugin: its source, the stage at which it fails, the message; and its entry point if that is wrong."""

    source: str
    stage: str
    said: str
    value: str | None = None


HOOK = "@hookimpl\ndef ganforge_components():\n    "
BROKEN = {
    "missing-import": Broken(
        "import no_such_module", "import", "ModuleNotFoundError: No module named 'no_such_module'"
    ),
    "error-at-import": Broken(
        "x = 1\nx / 0", "import", "ZeroDivisionError: division by zero (error_at_import.py, line 4)"
    ),
    "exit-at-import": Broken("raise SystemExit(7)", "import", "SystemExit: 7 (exit_at_import.py, line 3)"),
    "syntax-error": Broken("def (:", "import", "SyntaxError: invalid syntax (syntax_error.py, line 3)"),
    "no-module": Broken("", "import", "ModuleNotFoundError: No module named 'nowhere'", value="nowhere"),
    "no-attribute": Broken("", "import", "has no attribute 'nothing'", value="no_attribute:nothing"),
    "bad-value": Broken("", "import", "entry point 'plugin' is 'not a module'", value="not a module"),
    "unspeakable": Broken(
        "class E(Exception):\n    def __str__(self): return 1 / 0\nraise E",
        "import",
        "E: an error that cannot be shown",
    ),
    "hangs-at-import": Broken(
        "import time\ntime.sleep(3600)",
        "import",
        "PluginTimeoutError: it took longer than 0.5 s (hangs_at_import.py, line 4)",
    ),
    "hangs-on": Broken(
        "import time\nwhile True:\n    try:\n        time.sleep(3600)\n    except Exception:\n        pass",
        "import",
        "PluginTimeoutError: it took longer than 0.5 s (hangs_on.py, line 6)",
    ),
    "hangs-in-hook": Broken(
        f"import time\n{HOOK}time.sleep(3600)",
        "components",
        "PluginTimeoutError: it took longer than 0.5 s (hangs_in_hook.py",
    ),
    "none-plugin": Broken("plugin = None", "hooks", "implements no hook", value="none_plugin:plugin"),
    "angry-object": Broken(
        "class P:\n    @property\n    def ganforge_started(self): raise RuntimeError('do not touch')\nplugin = P()",
        "hooks",
        "RuntimeError: do not touch (angry_object.py, line 5)",
        value="angry_object:plugin",
    ),
    "unknown-hook": Broken(
        "@hookimpl\ndef ganforge_component():\n    return []",
        "hooks",
        "no hook 'ganforge_component'; did you mean 'ganforge_components'?",
    ),
    "wrong-arguments": Broken(
        "ganforge_helper = 1\n@hookimpl\ndef ganforge_finished(run, tint):\n    pass", "hooks", "tint"
    ),
    "unmarked": Broken(
        "def ganforge_components():\n    return []",
        "hooks",
        "ganforge_components is not marked with @ganforge.hookimpl",
    ),
    "no-hook": Broken("def components():\n    return []", "hooks", "implements no hook with @ganforge.hookimpl"),
    "list-not-hook": Broken("ganforge_components = []", "hooks", "is ganforge_components meant to be one?"),
    "exit-in-hook": Broken(f"{HOOK}raise SystemExit('bye')", "components", "SystemExit: bye (exit_in_hook.py, line 5)"),
    "error-in-hook": Broken(
        f"{HOOK}yield 1 / 0", "components", "ZeroDivisionError: division by zero (error_in_hook.py"
    ),
    "gives-none": Broken(f"{HOOK}pass", "components", "returns a NoneType; it must return a list"),
    "gives-words": Broken(f"{HOOK}return ['dcgan']", "components", "a list with a str, not a ganforge.Component"),
    "gives-twice": Broken(
        f"{HOOK}return 2 * [Component(kind='loss', name='hinge', target='a:B')]",
        "components",
        "provides loss 'hinge' twice",
    ),
    "bad-name": Broken(provides("loss", "Hinge_Loss"), "components", "'Hinge_Loss' is not lower-case letters"),
    "reserved-name": Broken(provides("loss", "name"), "components", "'name' is a word of the configuration"),
    "bad-kind": Broken(
        provides("looss", "hinge"), "components", "invalid component kind 'looss' (available: generator,"
    ),
    "bad-target": Broken(provides("loss", "hinge", "losses.Hinge"), "components", "target 'losses.Hinge' of 'hinge'"),
    "bad-api": Broken(provides("loss", "hinge", api="2"), "components", "api of 'hinge' is not the number"),
    "bad-summary": Broken(
        provides("loss", "hinge", summary="\x1b[31mred"), "components", "summary of 'hinge' is not one"
    ),
    "bad-paper": Broken(provides("loss", "hinge", paper=2014), "components", "paper of 'hinge' is not one line"),
    "bad-tags": Broken(provides("loss", "hinge", tags="fast"), "components", "tags of 'hinge' is not a sequence"),
    "bad-requires": Broken(
        provides("loss", "hinge", requires=3), "components", "requires of 'hinge' is not a sequence"
    ),
}


@pytest.fixture(autouse=True)
def _forget_modules(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Begin with none of the fake plugins among this process's modules."""
    folder = str(tmp_path_factory.getbasetemp())
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(folder):
            del sys.modules[name]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder on this process's path, to install distributions into."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.fixture(scope="module")
def wreck(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with every kind of broken distribution, and a good one that prints while it is imported."""
    folder = tmp_path_factory.mktemp("wreck")
    for name, broken in BROKEN.items():
        distribution(folder, name, broken.source, value=broken.value)
    distribution(folder, "good-losses", "print('hello')\n" + provides("loss", "soft-hinge"), version="2.1")
    return folder


@pytest.fixture(scope="module")
def listed(wreck: Path) -> subprocess.CompletedProcess[str]:
    """`ganforge list --json` with all of it installed."""
    return in_process(wreck, "list", "--json", PYTHONPATH=str(wreck), GANFORGE_PLUGIN_SECONDS="0.5")


@pytest.fixture(scope="module")
def found(wreck: Path) -> Plugins:
    """All of it, discovered in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(wreck))
        return discover(Policy(seconds=0.5))


def test_built_ins_have_no_way_of_their_own() -> None:
    """The built-in components come through the same group and hook as any; without the entry point there are none."""
    entry_point = next(
        point for point in entry_points(group="ganforge") if point.dist and point.dist.name == "ganforge"
    )
    assert entry_point.load() is builtin
    plugins = discover(Policy(none=True))
    assert [component for component, _ in plugins.components] == list(builtin.ganforge_components())
    assert {source.distribution for _, source in plugins.components} == {"ganforge"}
    assert discover(Policy(none=True, blocked=frozenset({"builtin"}))).components == []


def test_a_distribution_appears_with_its_name_and_version(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A component is listed under the name in its distribution's METADATA; nothing that it prints reaches stdout."""
    distribution(here, "more-losses", "print('hello')\n" + provides("loss", "hinge"), version="3.2.1")
    registry = Registry.discover()
    source = registry.find("loss", "hinge").source
    assert (source.distribution, source.version, source.path) == ("more-losses", "3.2.1", None)
    assert registry.plugins.problems == []
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "hello\n")


@pytest.mark.parametrize("name", BROKEN)
def test_broken_plugins_are_skipped(name: str, found: Plugins) -> None:
    """Each kind of broken plugin is one problem, at its stage, with its author's line; no component of it is left."""
    (problem,) = [problem for problem in found.problems if problem.distribution == name]
    assert (problem.version, problem.stage) == ("1.0", BROKEN[name].stage)
    assert BROKEN[name].said in problem.error
    assert problem.error.isprintable()
    assert "bootstrap" not in problem.error
    assert "_manager.py" not in problem.error
    assert name not in {source.distribution for _, source in found.components}
    assert name not in {source.distribution for _, source in found.admitted}


def test_nothing_else_suffers(found: Plugins) -> None:
    """Next to every kind of broken plugin, the good one and the built-ins are what they are alone."""
    assert {problem.distribution for problem in found.problems} == set(BROKEN)
    alone = discover(Policy(none=True))
    good = [(component, source) for component, source in found.components if source.distribution != "ganforge"]
    assert [(component.name, str(source)) for component, source in good] == [("soft-hinge", "good-losses 2.1")]
    assert [pair for pair in found.components if pair not in good] == alone.components
    assert found.manager.get_plugins() == {plugin for plugin, _ in found.admitted}


def test_list_works_and_prints_one_line_per_problem(listed: subprocess.CompletedProcess[str]) -> None:
    """`list` answers with what works, exit 0; stderr has one line for each problem, and stdout none of it."""
    assert listed.returncode == 0
    rows = json.loads(listed.stdout)
    assert {row["distribution"] for row in rows} == {"ganforge", "good-losses"}
    lines = notes(listed)
    assert len(lines) == len(BROKEN)
    for name, broken in BROKEN.items():
        (line,) = [line for line in lines if line.startswith(f"plugin {name} 1.0 is skipped ({broken.stage}): ")]
        assert "ganforge doctor" in line
    assert [line for line in listed.stderr.splitlines() if not line.startswith("note: ")] == ["hello"]


@pytest.mark.slow
def test_a_run_of_something_else_works(wreck: Path, tmp_path: Path) -> None:
    """Next to every kind of broken plugin a run trains, and prints one line for each of them."""
    flags = "--gen mlp --gen.hidden [8] --disc mlp --disc.hidden [8] --data.source sample --steps 2 --precision fp32"
    place = tmp_path / "run"
    arguments: tuple[str | Path, ...] = (*flags.split(), "--out", place, "--json")
    done = in_process(wreck, "run", *arguments, PYTHONPATH=str(wreck), GANFORGE_PLUGIN_SECONDS="0.5")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "finished"
    assert sum("is skipped" in line for line in notes(done)) == len(BROKEN)


@pytest.mark.parametrize("seconds", ["soon", "0", "-1", "inf"])
def test_patience_must_be_a_number(seconds: str) -> None:
    """An invalid number of seconds in GANFORGE_PLUGIN_SECONDS is one clear error."""
    with pytest.raises(ConfigError, match="it must be a number of seconds"):
        Policy.from_environment({"GANFORGE_PLUGIN_SECONDS": seconds})
    assert Policy.from_environment({}).seconds == IMPORT_TIMEOUT_SECONDS


def test_doctor_exits_3_and_reports_every_problem(wreck: Path) -> None:
    """`doctor --json` holds each problem with its stage, error and the author's own traceback, and exits 3."""
    finished = in_process(wreck, "doctor", "--json", PYTHONPATH=str(wreck), GANFORGE_PLUGIN_SECONDS="0.5")
    assert finished.returncode == 3
    document = json.loads(finished.stdout)
    assert document.keys() >= {"versions", "hardware", "plugins", "problems"}
    assert {plugin["distribution"] for plugin in document["plugins"]} == {"ganforge", "good-losses"}
    problems = {problem["distribution"]: problem for problem in document["problems"]}
    assert problems.keys() == {*BROKEN, "good-losses"}  # whose target is nowhere, as importing it shows
    for name, problem in problems.items():
        assert problem.keys() >= {"distribution", "version", "stage", "error"}
        assert problem["stage"] == (BROKEN[name].stage if name in BROKEN else "component")
    details = problems["error-at-import"]["details"]
    assert details.startswith("  File ")
    assert "x / 0" in details
    assert "importlib" not in details


def test_doctor_prints_it_for_people(here: Path) -> None:
    """`doctor` shows a problem, its stage and its traceback as text, and exits 3."""
    distribution(here, "error-at-import", BROKEN["error-at-import"].source)
    finished = command("doctor")
    assert finished.returncode == 3
    assert "problem: error-at-import 1.0 (import): ZeroDivisionError: division by zero" in finished.stdout
    assert "x / 0" in finished.stdout


def test_doctor_names_every_component_in_80_columns() -> None:
    """The table of plugins fits a terminal of 80 columns, and cuts no name of a component, command or preset."""
    lines = shown_on_terminal(80, "doctor", "--no-plugins")
    assert max(map(len, lines)) <= 80
    words = {word.strip(",") for line in lines for word in line.split()}
    (plugin,) = json.loads(command("doctor", "--no-plugins", "--json").stdout)["plugins"]
    names = [name.partition("/")[2] for name in plugin["components"]]
    assert {*names, *plugin["commands"], *plugin["presets"]} <= words


def test_doctor_shows_the_lines_of_plugins(here: Path) -> None:
    """A plugin's own line, such as a tracker without a login, is shown; a hook that fails is a problem."""
    hook = "from ganforge import hookimpl\n@hookimpl\ndef ganforge_doctor() -> str | None:\n    return "
    for name, value in {"without-login": "'not logged in: runs are not tracked'", "with-login": "None"}.items():
        distribution(here, name, hook + value)
    finished = command("doctor")
    assert finished.returncode == 0
    assert "without-login: not logged in: runs are not tracked\n" in finished.stdout
    assert "with-login:" not in finished.stdout
    distribution(here, "broken", f"{hook}1 / 0")
    finished = command("doctor")
    assert finished.returncode == 3
    assert "problem: broken 1.0 (doctor): division by zero" in finished.stdout


def test_strict_stops_at_the_first(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GANFORGE_STRICT_PLUGINS=1 turns a problem of any stage into an error with exit code 3; 0 and nothing do not."""
    distribution(here, "too-new", provides("loss", "hinge", api=API + 1))
    finished = in_process(here, "list", PYTHONPATH=str(here), GANFORGE_STRICT_PLUGINS="1")
    assert (finished.returncode, finished.stdout) == (3, "")
    assert "plugin too-new 1.0 is skipped (api)" in finished.stderr
    distribution(here, "no-hook", BROKEN["no-hook"].source)
    monkeypatch.setenv("GANFORGE_STRICT_PLUGINS", "1")
    with pytest.raises(StrictPluginError, match="no-hook"):
        Registry.discover()
    monkeypatch.setenv("GANFORGE_STRICT_PLUGINS", "0")
    assert len(Registry.discover().plugins.problems) == 2


def test_a_newer_interface_costs_one_component(here: Path) -> None:
    """Only those of a plugin's components that need a newer interface are skipped, even of a kind not known here."""
    source = (
        "@hookimpl\ndef ganforge_components():\n"
        f"    yield Component(kind='loss', name='later', target='a:B', api={API + 1})\n"
        f"    yield Component(kind='scheduler', name='cosine', target='a:B', api={API + 1})\n"
        "    yield Component(kind='loss', name='now', target='a:B')\n"
    )
    distribution(here, "half-new", source)
    plugins = discover(Policy())
    assert [component.name for component, source in plugins.components if source.distribution == "half-new"] == ["now"]
    assert [problem.stage for problem in plugins.problems] == ["api", "api"]
    assert f"'later' needs interface version {API + 1}; this ganforge offers {API}" in plugins.problems[0].error


def test_damaged_distributions_affect_no_others(here: Path) -> None:
    """A distribution whose entry points Python cannot read is named if it is ours; all others are found."""
    distribution(here, "good-losses", provides("loss", "hinge"))
    distribution(here, "torn", "")
    (here / "torn-1.0.dist-info" / "entry_points.txt").write_text("[ganforge]\nno equals sign\n")
    distribution(here, "somebody-else", "")
    (here / "somebody_else-1.0.dist-info" / "entry_points.txt").write_text("[console_scripts]\nno equals sign\n")
    distribution(here, "binary", "")
    (here / "binary-1.0.dist-info" / "entry_points.txt").write_bytes(b"\xff\xfe")
    distribution(here, "nameless", provides("loss", "squared"), version="4.0")
    (here / "nameless-4.0.dist-info" / "METADATA").unlink()
    plugins = discover(Policy())
    assert {(problem.distribution, problem.stage) for problem in plugins.problems} == {
        ("torn", "metadata"),
        ("binary", "metadata"),
    }
    sources = {component.name: str(source) for component, source in plugins.components}
    assert sources["hinge"] == "good-losses 1.0"
    assert sources["squared"] == "nameless 4.0"
    assert sources["dcgan"].startswith("ganforge ")


def test_entry_points_are_those_that_python_finds(here: Path) -> None:
    """Comments, spaces, extras and other groups are read as `importlib.metadata` reads them, wherever they lie."""
    for name, folder in (("spaced", "spaced-1.0.dist-info"), ("developed", "developed.egg-info")):
        (here / folder).mkdir()
        (here / folder / "METADATA").write_text(f"Name: {name}\nVersion: 1.0\n")
        (here / folder / "entry_points.txt").write_text(
            f"[other]\nx = y:z\n\n[ganforge]\n# none = none\n  {name} = a.b : c.d [extra] \n{name}2=a\n[last]\nx = y\n"
        )
    (here / "whole-1.0.dist-info").write_text("[ganforge]\nwhole = a\n")
    plugins, problems = installed_plugins()
    assert problems == []
    expected = {(point.dist and point.dist.name, point.name, point.value) for point in entry_points(group="ganforge")}
    assert {(plugin.source.distribution, plugin.name, plugin.target) for plugin in plugins} == expected
    assert ("developed", "developed2", "a") in expected


def test_errors_about_names_mention_what_is_skipped(here: Path) -> None:
    """The error about a component that is not there names the plugins that are broken or blocked."""
    distribution(here, "no-hook", BROKEN["no-hook"].source)
    with pytest.raises(UnknownComponentError) as caught:
        Registry.discover().find("loss", "sliding")
    assert caught.value.fix is not None
    assert "no-hook (see ganforge doctor)" in caught.value.fix
    with pytest.raises(UnknownComponentError, match="blocked: no-hook"):
        Registry.discover(no_plugins=True).find("loss", "sliding")
    finished = in_process(here, "describe", "sliding", PYTHONPATH=str(here))
    assert finished.returncode == 2
    assert "no-hook (see ganforge doctor)" in finished.stderr


def test_near_names_are_suggested_with_their_owner(here: Path) -> None:
    """An unknown name near a known one is answered with that one and whose it is."""
    distribution(here, "more-losses", provides("loss", "hinge"), version="3.2")
    with pytest.raises(UnknownComponentError) as caught:
        Registry.discover().find("loss", "hinje")
    assert caught.value.message == "no loss 'hinje'; did you mean 'hinge' (more-losses 3.2)?"


def given(plugins: Plugins) -> set[str]:
    """Return the distributions that gave components."""
    return {source.distribution for _, source in plugins.components}


def test_lists_allow_and_block(here: Path) -> None:
    """The allow-list admits only what it names, the other blocks what it names; both go by distribution or entry point.

    A blocked plugin is not even imported. Dashes, underscores and case do not count. Only its name
    blocks ganforge's own plugin.
    """
    distribution(here, "some-losses", provides("loss", "hinge"), entry="first")
    distribution(here, "more-losses", provides("loss", "squared"), entry="second")
    assert given(discover(Policy.from_environment({}))) == {"ganforge", "some-losses", "more-losses"}
    assert given(discover(Policy.from_environment({"GANFORGE_PLUGINS": "Some_Losses"}))) == {"ganforge", "some-losses"}
    assert given(discover(Policy.from_environment({"GANFORGE_PLUGINS": "second"}))) == {"ganforge", "more-losses"}
    blocked = Policy.from_environment({"GANFORGE_DISABLE_PLUGINS": "first, builtin"})
    assert given(discover(blocked)) == {"more-losses"}
    del sys.modules["some_losses"]
    both = Policy.from_environment({"GANFORGE_PLUGINS": "some-losses", "GANFORGE_DISABLE_PLUGINS": "some-losses"})
    assert given(discover(both)) == {"ganforge"}
    assert given(discover(Policy.from_environment({}, no_plugins=True))) == {"ganforge"}
    assert "some_losses" not in sys.modules


def test_names_that_block_nothing_are_warned_about(here: Path) -> None:
    """A word in either list that is not the name of an installed plugin is reported; broken and blocked ones count."""
    distribution(here, "some-losses", provides("loss", "hinge"))
    distribution(here, "no-hook", BROKEN["no-hook"].source)
    finished = in_process(
        here,
        "list",
        "--json",
        PYTHONPATH=str(here),
        GANFORGE_PLUGINS="some-loses",
        GANFORGE_DISABLE_PLUGINS="no-hook,some-losses",
    )
    assert notes(finished) == ["GANFORGE_PLUGINS or GANFORGE_DISABLE_PLUGINS: no plugin is named 'some-loses'"]
    assert {row["distribution"] for row in json.loads(finished.stdout)} == {"ganforge"}


def test_a_distribution_on_the_path_twice_counts_once(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first copy on the path is the one that Python imports; the second neither clashes nor is a problem."""
    distribution(here, "some-losses", provides("loss", "hinge"), version="2.0")
    second = distribution(tmp_path / "second", "some-losses", provides("loss", "hinge"), version="1.0")
    monkeypatch.setattr(sys, "path", [*sys.path, str(second), str(here)])
    registry = Registry.discover()
    assert str(registry.find("loss", "hinge").source) == "some-losses 2.0"
    assert registry.plugins.problems == []


def test_one_module_behind_two_entry_points_counts_once(here: Path) -> None:
    """A second entry point to the same module is a problem of its own, and takes nothing from the first."""
    hooks = "@hookimpl\ndef ganforge_finished(status):\n    pass\n" + provides("loss", "hinge")
    distribution(here, "a-losses", hooks)
    distribution(here, "b-losses", "", value="a_losses")
    plugins = discover(Policy())
    assert [(problem.distribution, problem.error) for problem in plugins.problems] == [
        ("b-losses", "another entry point refers to the same module")
    ]
    assert [source.distribution for source in plugins.listeners] == ["a-losses"]
    ((plugin, _),) = [pair for pair in plugins.admitted if pair[1].distribution == "a-losses"]
    assert plugins.implementations(plugin).keys() == {"ganforge_finished", "ganforge_components"}


def test_classes_of_one_name_are_two_plugins(here: Path) -> None:
    """Plugins differ by their distributions, whatever their objects are called."""
    body = (
        "class Plugin:\n    @hookimpl\n    def ganforge_components(self):\n        yield Component(kind='loss', {})\n"
    )
    for letter in "ab":
        source = body.format(f"name='{letter}', target='x:Y'") + "plugin = Plugin()\n"
        distribution(here, f"{letter}-losses", source, value=f"{letter}_losses:plugin")
    plugins = discover(Policy())
    assert plugins.problems == []
    assert given(plugins) == {"ganforge", "a-losses", "b-losses"}


def test_a_distribution_gives_a_name_once(here: Path) -> None:
    """The second of two entry points of one distribution that give the same component is skipped."""
    distribution(here, "some-losses", provides("loss", "hinge"))
    (here / "other.py").write_text((here / "some_losses.py").read_text())
    points = here / "some_losses-1.0.dist-info" / "entry_points.txt"
    points.write_text("[ganforge]\nfirst = some_losses\nsecond = other\n")
    registry = Registry.discover()
    assert [problem.error for problem in registry.plugins.problems] == ["provides loss 'hinge' twice"]
    assert registry.find("loss", "hinge").qualified_name == "some-losses/hinge"


@pytest.fixture
def clash(here: Path) -> Path:
    """Install a distribution that gives a generator called as one of ganforge's own."""
    return distribution(here, "my-dcgan", provides("generator", "dcgan", "ganforge.builtin.models.mlp:MlpGenerator"))


def test_built_in_name_cannot_be_overridden(clash: Path) -> None:
    """A bare name that two plugins give means neither; both full names work."""
    registry = Registry.discover()
    with pytest.raises(UnknownComponentError) as caught:
        registry.find("generator", "dcgan")
    assert caught.value.message == "2 plugins provide a generator 'dcgan'"
    assert caught.value.fix == "write ganforge/dcgan or my-dcgan/dcgan"
    assert (
        registry.find("generator", "ganforge/dcgan").component.target == "ganforge.builtin.models.dcgan:DcganGenerator"
    )
    assert registry.find("generator", "My_Dcgan/dcgan").component.target == "ganforge.builtin.models.mlp:MlpGenerator"
    assert registry.find("discriminator", "dcgan").source.distribution == "ganforge"


def test_clashes_in_list_and_describe(clash: Path) -> None:
    """`list` shows both in full with a word about it, `describe` refuses the bare name and takes the full one."""
    rows = json.loads(command("list", "gen", "--json").stdout)
    clashing = {row["name"]: row["problem"] for row in rows if "problem" in row}
    assert clashing.keys() == {"ganforge/dcgan", "my-dcgan/dcgan"}
    assert clashing["my-dcgan/dcgan"] == "another plugin has a generator of this name; write my-dcgan/dcgan"
    for arguments in (("dcgan",), ("gen", "dcgan")):
        refused = command("describe", *arguments)
        assert refused.returncode == 2
        assert "ganforge/dcgan or my-dcgan/dcgan" in refused.stderr


def test_clashes_in_a_run(clash: Path) -> None:
    """`run` refuses the bare name; the full one is planned with its plugin, written down in full and found again."""
    options = ("--disc", "mlp", "--data.source", "sample", "--steps", "1", "--batch-size", "8")
    refused = command("run", "--gen", "dcgan", *options, "--dry-run")
    assert refused.returncode == 2
    assert "ganforge/dcgan or my-dcgan/dcgan" in refused.stderr
    planned = command(
        "run",
        "--gen",
        "my-dcgan/dcgan",
        "--gen.latent-dim",
        "7",
        *options,
        "--precision",
        "fp32",
        "--dry-run",
        "--json",
    )
    plan = json.loads(planned.stdout)
    assert ("dcgan", "my-dcgan") in {(item["name"], item["distribution"]) for item in plan["components"]}
    assert plan["experiment"]["gen"]["name"] == "my-dcgan/dcgan"
    assert plan["experiment"]["gen"]["my-dcgan/dcgan"]["latent_dim"] == 7
    described = command("describe", "gen", "my-dcgan/dcgan", "--json")
    assert json.loads(described.stdout)["name"] == "my-dcgan/dcgan"

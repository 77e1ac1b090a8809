"""Laws of the registry: classes are imported on demand, and checked before use."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ganforge.components.spec import KINDS, Component, Kind
from ganforge.errors import PluginError, UnknownComponentError
from ganforge.plugins import Plugins, Source
from ganforge.plugins.first_party import FIRST_PARTY
from ganforge.plugins.registry import INTERFACES, Entry, Registry
from tests.helpers.plugins import local, provides
from tests.helpers.runs import ROOT

SOURCE = Source("some-plugin", "1.0")
LOSS = """
import ganforge
class {name}(ganforge.Loss):
    def discriminator_loss(self, *, real, fake): return fake.logits - real.logits
    def generator_loss(self, *, real, fake): return -fake.logits
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that writes a module where this process can import it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    written: list[str] = []

    def module(name: str, source: str) -> None:
        monkeypatch.delitem(sys.modules, name, raising=False)
        written.append(name)
        (tmp_path / f"{name}.py").write_text(source)

    return module


def registry_of(**fields: object) -> tuple[Registry, Entry]:
    """Return a registry with one component of a plugin, and its entry."""
    values: dict[str, Any] = {"kind": "loss", "name": "mine", "target": "losses_under_test:Mine", **fields}
    component = Component(**values)
    registry = Registry(Plugins(components=[(component, SOURCE)]))
    return registry, registry.find(component.kind, "mine")


def refusal(**fields: object) -> PluginError:
    """Return the error that loading such a component raises; it names the component and whose it is."""
    registry, entry = registry_of(**fields)
    with pytest.raises(PluginError) as caught:
        registry.load(entry)
    assert f"{entry.component.kind} 'mine' (some-plugin 1.0)" in caught.value.message
    return caught.value


def test_what_is_not_installed_is_named_with_who_brings_it() -> None:
    """The table of components and presets of ganforge's other distributions equals their own; messages use it."""
    folders = ROOT / "plugins"
    brought: dict[str, dict[str, set[str]]] = {}
    for name in FIRST_PARTY:
        module = name.replace("-", "_")
        code = (
            f"import {module} as m; print(*(f'{{c.kind}}/{{c.name}}' for c in m.ganforge_components()), "
            "*(f'preset/{p.name}' for p in getattr(m, 'ganforge_presets', list)()))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=folders / name, capture_output=True, text=True, check=True
        )
        for word in done.stdout.split():
            kind, _, component = word.partition("/")
            brought.setdefault(name, {}).setdefault(kind, set()).add(component)
    assert brought == {name: {kind: {*names} for kind, names in kinds.items()} for name, kinds in FIRST_PARTY.items()}
    with pytest.raises(UnknownComponentError, match="ganforge-losses provides it") as caught:
        Registry.discover(no_plugins=True).find("loss", "hinge")
    assert caught.value.fix is not None
    assert "./plugins/ganforge-losses" in caught.value.fix
    with pytest.raises(UnknownComponentError, match="no preset 'best' is installed; ganforge-resnet provides it"):
        Registry.discover(no_plugins=True).find_preset("best")


def test_a_target_is_imported_when_it_is_loaded(write: Callable[..., None]) -> None:
    """Finding a component imports nothing of it; loading it does, and only once."""
    write("losses_under_test", LOSS.format(name="Mine"))
    registry, entry = registry_of()
    assert "losses_under_test" not in sys.modules
    cls = registry.load(entry)
    assert cls is sys.modules["losses_under_test"].Mine
    del sys.modules["losses_under_test"]
    assert registry.load(entry) is cls


def test_a_class_is_as_good_as_its_name(write: Callable[..., None]) -> None:
    """A component may give its class itself, which is then what is loaded."""
    namespace: dict[str, Any] = {"__name__": "anywhere"}
    exec(LOSS.format(name="Mine"), namespace)  # noqa: S102 - source of our own
    registry, entry = registry_of(target=namespace["Mine"])
    assert registry.load(entry) is namespace["Mine"]
    assert entry.component.target_text == "anywhere:Mine"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_needs_its_own_interface(kind: Kind, registry: Registry) -> None:
    """A class that does not extend its kind's interface is refused, whatever else it is; the interface is named."""
    other = (
        "ganforge.builtin.models.mlp:MlpGenerator" if kind in {"loss", "term"} else "ganforge.builtin.losses.bce:Bce"
    )
    error = refusal(kind=kind, target=other)
    assert f"{other} does not extend ganforge.{INTERFACES[kind]}" in error.message
    assert error.fix is not None
    interface = f"ganforge.components:{INTERFACES[kind]}"
    assert f"{interface} does not define " in refusal(kind=kind, target=interface).message


@pytest.mark.parametrize("target", ["losses_under_test:number", "losses_under_test:function"])
def test_target_that_is_not_a_class_is_refused(target: str, write: Callable[..., None]) -> None:
    """A target that is a function or a value is refused."""
    write("losses_under_test", "number = 1\ndef function(): pass\n")
    assert "does not extend ganforge.LossTerm" in refusal(target=target).message


def test_missing_methods_are_named(write: Callable[..., None]) -> None:
    """An abstract class is refused before anybody calls it, with every method that it lacks."""
    write("losses_under_test", "import ganforge\nclass Mine(ganforge.Loss): pass\n")
    assert "losses_under_test:Mine does not define discriminator_loss, generator_loss" in refusal().message


FOREIGN = "does not extend the options of its interface"
OPTIONS = {
    "class Options: pass": FOREIGN,
    "Options = None": FOREIGN,
    "from pydantic import BaseModel\n    class Options(BaseModel): pass": FOREIGN,
    "class Options(ganforge.Generator.Options): pass": FOREIGN,
    "class Options(ganforge.Loss.Options, frozen=False): pass": "must stay frozen and forbid unknown keys",
    "class Options(ganforge.Loss.Options, extra='ignore'): pass": "must stay frozen and forbid unknown keys",
    "class Options(ganforge.Loss.Options):\n        name: str = 'x'": "has a field 'name', a word of the configuration",
}


@pytest.mark.parametrize("options", OPTIONS)
def test_options_extend_the_interfaces(options: str, write: Callable[..., None]) -> None:
    """Options that are not the interface's own, that can be changed or that take any key are refused."""
    write("losses_under_test", LOSS.format(name="Mine") + f"    {options}\n")
    assert OPTIONS[options] in refusal().message


@pytest.mark.parametrize("recommended", ["['critic_steps']", "None", "{5: 'critic_steps'}"])
def test_recommendations_are_settings(recommended: str, write: Callable[..., None]) -> None:
    """Recommended values are a table of settings by name, or the component is refused."""
    write("losses_under_test", LOSS.format(name="Mine") + f"    recommended = {recommended}\n")
    assert "recommended is not a table of settings" in refusal().message


def test_any_term_may_be_a_loss(write: Callable[..., None]) -> None:
    """The kind `loss` accepts terms that do not separate the networks' losses."""
    write("losses_under_test", "import ganforge\nclass Mine(ganforge.LossTerm):\n    def forward(self, step): ...\n")
    registry, entry = registry_of()
    assert registry.load(entry).__name__ == "Mine"


@pytest.mark.parametrize("phase", ["generator", "name", "Encoder", "a/b", 5])
def test_phases_of_optimized_in_are_names(phase: object, write: Callable[..., None]) -> None:
    """A phase that is misspelled, or that would clash with a key, is refused; `gen` is named as the right one."""
    write("losses_under_test", LOSS.format(name="Mine") + f"    optimized_in = {{'head': {phase!r}}}\n")
    error = refusal()
    assert f"optimized_in has an invalid phase {phase!r}" in error.message
    assert error.fix is not None
    assert '"gen"' in error.fix


def test_words_of_a_kind_are_reserved() -> None:
    """Names that share a table or a mapping with others of their kind are refused; other kinds may have them."""
    for kind, name in (("optimizer", "gen"), ("term", "loss"), ("augmentation", "generator"), ("schedule", "none")):
        with pytest.raises(ValueError, match="is a word of the configuration"):
            Component(kind=kind, name=name, target="a:B")  # type: ignore[arg-type] # the kinds are literals
    assert Component(kind="metric", name="loss", target="a:B").name == "loss"


def test_requirements_are_checked_before_importing(write: Callable[..., None]) -> None:
    """A missing or outdated requirement is named with the command that installs it; the target is not even imported."""
    write("losses_under_test", "raise RuntimeError\n")
    missing = refusal(requires=("no-such-distribution>=2",))
    assert "needs no-such-distribution>=2, which is not installed" in missing.message
    assert missing.fix == "python -m pip install 'no-such-distribution>=2'"
    old = refusal(requires=("pluggy>=900",))
    assert "needs pluggy>=900, which does not fit the installed 1." in old.message
    assert "has an invalid requirement 'not a requirement'" in refusal(requires=("not a requirement",)).message
    assert "losses_under_test" not in sys.modules


def test_requirements_that_are_met_or_do_not_apply(write: Callable[..., None]) -> None:
    """An installed requirement satisfies; one whose marker does not apply here needs nothing."""
    write("losses_under_test", LOSS.format(name="Mine"))
    registry, entry = registry_of(requires=("pluggy>=1", "no-such-distribution; python_version < '3'"))
    assert registry.load(entry).__name__ == "Mine"


IMPORTS = {
    "raise RuntimeError('no GPU here')": "RuntimeError: no GPU here (losses_under_test.py, line 1)",
    "import sys\nsys.exit(3)": "SystemExit: 3 (losses_under_test.py, line 2)",
    "def (": "SyntaxError",
    "import no_such_module": "No module named 'no_such_module' (losses_under_test.py, line 1)",
}


@pytest.mark.parametrize("source", IMPORTS)
def test_targets_that_cannot_be_imported(source: str, write: Callable[..., None]) -> None:
    """Any exception during the import of a target is the plugin's error, with its author's line."""
    write("losses_under_test", source)
    assert IMPORTS[source] in refusal().message


def test_targets_that_are_not_there(write: Callable[..., None]) -> None:
    """A module that is missing is named; a class that is missing too, with the nearest one."""
    assert "No module named 'nowhere'" in refusal(target="nowhere:Mine").message
    write("losses_under_test", LOSS.format(name="Mine"))
    error = refusal(target="losses_under_test:Mime")
    assert error.message.endswith("losses_under_test has no 'Mime'; did you mean 'Mine'?")


def test_importing_a_target_prints_nothing_to_stdout(
    write: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Importing a component prints nothing to stdout, which is for results."""
    write("losses_under_test", "print('hello')\n" + LOSS.format(name="Mine"))
    registry, entry = registry_of()
    registry.load(entry)
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "hello\n")


def test_local_files_of_one_name_are_separate_modules(tmp_path: Path) -> None:
    """Each local file is a module of its own: its targets mean its own classes, also after another was loaded."""
    files = []
    for letter in "ab":
        source = provides("loss", letter, "mine:Mine") + LOSS.format(name="Mine") + f"    letter = {letter!r}\n"
        files.append(local(tmp_path / letter / "mine.py", source))
    registry = Registry.discover(files, no_plugins=True)
    again = Registry.discover(files[1:], no_plugins=True)
    assert [registry.load(registry.find("loss", letter)).letter for letter in "ab"] == ["a", "b"]
    assert again.load(again.find("loss", "b")).letter == "b"

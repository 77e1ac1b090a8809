"""README and docs/ are true: their commands parse, their examples run, their lists are complete."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pkgutil
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image

import ganforge as package
from ganforge import testing
from ganforge.cli.app import app
from ganforge.components.spec import KINDS
from ganforge.config import (
    SECTIONS,
    Experiment,
    Layer,
    command_line_layer,
    preset_layer,
    read_document,
)
from ganforge.config.resolve import resolve
from ganforge.errors import UnknownComponentError
from ganforge.plugins import hookspecs
from ganforge.plugins.discovery import HOOKS
from ganforge.plugins.registry import INTERFACES, Registry
from tests.helpers.docs import DOCS, ROOT, blocks, prose
from tests.helpers.image_folders import equal_pictures
from tests.helpers.plugins import command as run_command

README, KOREAN, CONTRIBUTING = ROOT / "README.md", ROOT / "README.ko.md", ROOT / "CONTRIBUTING.md"
PAGES = [README, KOREAN, CONTRIBUTING, ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
METHODS = DOCS / "recipes" / "methods.md"
SCRIPTS = DOCS / "scripts"

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
SPAN = re.compile(r"`([^`\n]+)`")
#: Commands of other programs that the docs may show.
OTHERS = (
    *("python -m pytest", "python -m http.server ", "pre-commit ", "ruff check .", "ruff format --check .", "mypy"),
    *("lint-imports", "mkdocs "),
)
#: Replacement that makes the training of the examples short.
SHORT = ("epochs=20", 'steps=2, batch_size=8, precision="fp32"')
SMALL = {"name": "mlp", "options": {"hidden": [16]}}

Ganforge = Callable[..., subprocess.CompletedProcess[str]]


def write_files(page: Path, folder: Path) -> None:
    """Save the titled blocks of a page under their titles."""
    for block in blocks(page):
        if block.title is not None:
            place = folder / block.title
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(block.text, encoding="utf-8")


def named(paths: list[Path]) -> dict[str, Any]:
    """Return arguments for parametrize, with the pages' names as ids."""
    return {"argvalues": paths, "ids": [path.name for path in paths]}


# Generated pages


@pytest.mark.parametrize("script", ["make_commands", "make_configuration"])
def test_generated_page_is_current(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands and the settings in docs/ are those of the code, for any width of the terminal."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.setenv("COLUMNS", "30")
    module = importlib.import_module(script)
    expected = module.inserted(module.PAGE, module.NAME, module.render())
    assert module.PAGE.read_text(encoding="utf-8") == expected, f"run python docs/scripts/{script}.py"


def test_every_setting_is_listed(registry: Registry) -> None:
    """configuration.md has a row for each setting, and for each option of each built-in component."""
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")
    options = {
        f"{section}.{name}"
        for section, kind in SECTIONS.items()
        for entry in registry.of_kind(kind)
        for name in registry.load(entry).Options.model_fields
    }
    settings = Experiment.model_fields.keys() - {"optimizer", "schedules"}
    assert [name for name in sorted(settings | options) if f"| `{name}` |" not in text] == []
    for kind in ("optimizer", "schedule"):
        for entry in registry.of_kind(kind):
            _, heading, section = text.partition(f"### {kind} `{entry.component.name}`\n")
            assert heading, f"{kind} {entry.component.name} has no heading"
            rows = re.findall(r"^\| `(?:[\w.]+\.)?(\w+)` \|", section.partition("\n##")[0], re.MULTILINE)
            assert set(registry.load(entry).Options.model_fields) <= set(rows), f"{kind} {entry.component.name}"


def test_every_environment_variable_is_documented() -> None:
    """docs/ has each GANFORGE_… variable that the code reads, and no other."""
    variable = re.compile(r"\bGANFORGE_[A-Z_]+\b")
    read = {name for file in (ROOT / "ganforge").rglob("*.py") for name in variable.findall(file.read_text("utf-8"))}
    documented = {name for page in DOCS.rglob("*.md") for name in variable.findall(page.read_text("utf-8"))}
    assert documented == read


# Scripts


def test_every_script_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripts of docs/ use names that exist."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    for file in sorted(SCRIPTS.glob("*.py")):
        importlib.import_module(file.stem)


def test_mutants_are_small_faults_of_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each kind of fault is found at its place and compiles; texts, types and assertions have none."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    source = b"""
@decorated(8)
def f(a: Literal[8], b=1) -> Literal[8]:
    \'\'\'Text 8.\'\'\'
    assert a == 8
    x: Literal[8] = a + b
    if not a < b and g("\xc3\xa9", x):
        a.b = x
        raise ValueError(f"{a + 8}")
    h(a)
    return x
"""
    mutants = importlib.import_module("sample_mutants").Finder("f.py", source).mutants
    assert [(mutant.line, mutant.code) for mutant in mutants] == [
        (3, "(2)"),
        (6, "(a - b)"),
        (7, "(not (not a < b and g('é', x)))"),
        (7, "(not a < b or g('é', x))"),
        (7, "(a < b)"),
        (7, "(a <= b)"),
        (7, "(g(x, 'é'))"),
        (8, "pass"),
        (9, "pass"),
        (10, "pass"),
        (11, "(None)"),
    ]
    for mutant in mutants:
        before, after = source.splitlines(), mutant.applied(source).splitlines()
        compile(mutant.applied(source), "f.py", "exec")
        assert [number for number, line in enumerate(after, 1) if line != before[number - 1]] == [mutant.line]


@pytest.mark.parametrize("script", ["make_gallery", "make_benchmarks"])
def test_recipes_of_scripts_resolve(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The flags of each recipe of the gallery and of the benchmarks are valid with this repository's plugins."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    packages = first_party_packages(monkeypatch)
    for recipe in importlib.import_module(script).RECIPES:
        if not getattr(recipe, "textbook", False):
            check_ganforge(["run", *shlex.split(recipe.flags)], resolved=True, plugins=packages)


# Interfaces and hooks


def parameters(function: Callable[..., Any]) -> list[str]:
    """Return the names of a function's parameters."""
    return [name for name in inspect.signature(function).parameters if name != "self"]


def test_every_hook_is_documented_with_its_parameters() -> None:
    """The table and the examples of plugins.md have each hook with the parameters of hookspecs.py."""
    specified = {name: parameters(getattr(hookspecs, name)) for name in HOOKS}
    spans = re.findall(r"^\| `(ganforge_\w+)\((.*?)\)` \|", prose(DOCS / "plugins.md"), re.MULTILINE)
    assert {name: re.findall(r"\w+", given) for name, given in spans} == specified
    written = {
        node.name: [argument.arg for argument in node.args.args]
        for block in blocks(DOCS / "plugins.md", "python")
        for node in ast.walk(ast.parse(block.text))
        if isinstance(node, ast.FunctionDef) and node.name in HOOKS
    }
    assert written == specified


def test_every_hook_and_interface_is_tested() -> None:
    """Each hook is implemented, and each interface extended, in a file of this suite."""
    sources = [file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("*.py")]
    implemented = {name for source in sources for name in re.findall(r"def (ganforge_\w+)\(", source)}
    assert set(HOOKS) <= implemented
    extended = {
        name for source in sources for name in re.findall(r"^class \w+\((?:ganforge\.)?(\w+)\)", source, re.MULTILINE)
    }
    assert {*INTERFACES.values(), "Loss"} <= extended


def test_every_method_in_the_table_has_its_parameters() -> None:
    """The table of plugins.md has every method that a component must implement, with the interface's parameters."""
    section = prose(DOCS / "plugins.md").partition("\n## Interfaces\n")[2].partition("\n## ")[0]
    spans = re.findall(r"`([A-Z]\w+)\.(\w+)\((.*?)\)`", section)
    written = {(owner, method): re.findall(r"\w+", given) for owner, method, given in spans}
    interfaces = {*INTERFACES.values(), "Loss"}
    assert {owner for owner, _ in written} == interfaces
    for (owner, method), given in written.items():
        assert given == parameters(getattr(getattr(package, owner), method)), f"{owner}.{method}"
    for interface in interfaces:
        required = getattr(getattr(package, interface), "__abstractmethods__", ())
        assert {(interface, method) for method in required} <= written.keys()


def test_every_public_name_has_a_place_in_interfaces() -> None:
    """interfaces.md shows each name of ganforge.__all__ and each hook, and no name that does not exist."""
    text = (DOCS / "interfaces.md").read_text(encoding="utf-8")
    shown = re.findall(r"^::: (ganforge(?:\.\w+)+)$", text, re.MULTILINE)
    assert {f"ganforge.{name}" for name in package.__all__} <= set(shown)
    inner = {"CHECKS", "CheckFailed", "CheckSkipped"}  # names for the kit's own modules and tests
    assert {f"ganforge.testing.{name}" for name in testing.__all__ if name not in inner} <= set(shown)
    assert [name for name in HOOKS if f"- {name}\n" not in text] == []
    for path in shown:
        pkgutil.resolve_name(path)


# Architecture


def rows(text: str, header: str) -> Iterator[tuple[str, str]]:
    """Yield the two cells of each row of the table with that header."""
    for line in text.partition(f"| {header} |\n| --- | --- |\n")[2].partition("\n\n")[0].splitlines():
        first, second = line.strip("| ").split(" | ")
        yield first, second


def test_the_layers_are_those_of_the_contract() -> None:
    """architecture.md shows import-linter's layers, in their order."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    layers = [re.findall(r"ganforge\.(\w+)", layer) for layer in contracts[0]["layers"]]
    table = rows(prose(DOCS / "architecture.md"), "layer, the highest first | purpose")
    assert [SPAN.findall(first) for first, _ in table] == layers


def test_the_files_of_the_architecture_are_there() -> None:
    """Each file that architecture.md names in a folder's row lies in that folder."""
    table = list(rows(prose(DOCS / "architecture.md"), "folder | files"))
    assert len(table) > 5
    for folder, files in table:
        for name in re.findall(r"`(\w+\.py)`", files):
            assert (ROOT / "ganforge" / folder.strip("`") / name).is_file(), f"{folder} {name}"


# Links


@pytest.mark.parametrize("page", **named(PAGES))
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    """Each relative link names an existing file, and each anchor a heading of it."""
    for link in LINK.findall(prose(page)):
        if link.startswith(("https://", "mailto:")):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.is_file(), f"{page.name}: {link} leads nowhere"
        assert not page.is_relative_to(DOCS) or target.is_relative_to(DOCS), (
            f"{page.name}: {link} leads out of the site"
        )
        assert not anchor or anchor in anchors(target), f"{page.name}: {link} names no heading"


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub and MkDocs give to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


# The README, in two languages


def test_readmes_have_the_same_structure() -> None:
    """The Korean README has the same code, links and pictures, in the same order, and the same headings' levels."""
    assert blocks(KOREAN) == blocks(README)
    # Pages that are translated are linked in either language.
    english, korean = (LINK.findall(prose(page).replace("docs/ko/", "docs/")) for page in (README, KOREAN))
    assert [link for link in korean if link != "README.md"] == [link for link in english if link != "README.ko.md"]
    levels = [re.findall(r"^(#+) ", prose(page), re.MULTILINE) for page in (README, KOREAN)]
    assert levels[0] == levels[1]


def test_the_readme_opens_with_two_commands() -> None:
    """Both commands are the promised ones, and CI runs the second."""
    first, second = (block.text.strip() for block in blocks(README, "bash")[:2])
    assert first == "python -m pip install . && ganforge run --gen dcgan --disc dcgan --data mnist"
    assert second == "python -m pip install '.[test]' && python -m pytest -n auto --dist loadfile"
    assert second in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", **named([README, KOREAN]))
def test_nothing_is_left_to_be_filled_in(page: Path) -> None:
    """Markers in the README have been replaced by measurements."""
    assert re.findall(r"\bTIME_[A-Z]+\b", page.read_text(encoding="utf-8")) == []


def test_contributors_run_what_ci_runs() -> None:
    """.ci/run has each command of CONTRIBUTING.md's check."""
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    commands = blocks(CONTRIBUTING, "bash")[1].text.splitlines()
    assert len(commands) > 1
    assert [command for command in commands if command not in ci] == []


# Commands


def shell_commands(page: Path) -> Iterator[str]:
    """Yield each command of a page's bash blocks."""
    for block in blocks(page, "bash"):
        for line in block.text.replace("\\\n", " ").splitlines():
            yield from filter(None, (part.strip() for part in line.partition(" #")[0].split("&&")))


@pytest.mark.parametrize("page", **named(PAGES))
def test_commands_can_be_given(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command in a block is accepted by its program, with every option's name, type and value."""
    write_files(page, tmp_path)
    written = write_projects(page, tmp_path)
    if any("./plugins/" in block.text or page.name == "gallery.md" for block in blocks(page, "bash")):
        written += first_party_packages(monkeypatch)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for command in shell_commands(page):
        words = shlex.split(command)
        if words[0] == "torchrun":
            words = words[words.index("-m") + 1 :]
        if words[0] == "ganforge":
            check_ganforge(words[1:], resolved=True, plugins=written)
        elif words[:4] == ["python", "-m", "pip", "install"]:
            for word in (word for word in words[4:] if word != "-e"):
                place, extra = re.fullmatch(r"(\.[\w/-]*)(?:\[(\w+)\])?", word).groups()  # type: ignore[union-attr]
                assert any((folder / place / "pyproject.toml").is_file() for folder in (ROOT, tmp_path)), command
                assert place != "." or extra is None or extra in extras, command
        elif words[0] == "python" and words[1].endswith(".py"):
            assert (ROOT / words[1]).is_file(), command
        else:
            assert command.startswith(OTHERS), f"{page.name}: {command!r} is checked by nothing"


@pytest.mark.parametrize("page", **named(PAGES))
def test_commands_within_sentences_exist(page: Path) -> None:
    """`ganforge …` in a sentence names an existing command and existing flags."""
    for span in SPAN.findall(prose(page)):
        words = shlex.split(span.replace("…", ""))
        if words[:1] == ["ganforge"] and len(words) > 1:
            check_ganforge(words[1:], resolved=False)


def first_party_packages(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Make the packages of plugins/ importable, and return the folders of those with hooks; others are files alone."""
    packages = [file.parent for file in sorted(ROOT.glob("plugins/*/ganforge_*/__init__.py"))]
    for path in packages:
        monkeypatch.syspath_prepend(str(path.parent))
    return [path for path in packages if "entry-points" in (path.parent / "pyproject.toml").read_text("utf-8")]


def write_projects(page: Path, folder: Path) -> list[Path]:
    """Create the projects of a page's `new-plugin` commands; return their packages."""
    for words in map(shlex.split, shell_commands(page)):
        if words[:2] == ["ganforge", "new-plugin"]:
            done = run_command(*words[1:], "--out", folder)
            assert done.returncode == 0, done.stderr
    return [place.parent for place in folder.glob("*/*/__init__.py") if (place.parents[1] / "pyproject.toml").is_file()]


def check_ganforge(words: list[str], *, resolved: bool, plugins: Sequence[Path] = ()) -> None:
    """Parse a command line; resolve the settings of `run`."""
    root: Any = typer.main.get_command(app)
    if words[0].startswith("-"):
        assert words[0] in {"--help", *(name for parameter in root.params for name in parameter.opts)}
        return
    command = root.get_command(None, words[0])
    if hasattr(command, "commands"):
        words = words[1:]
        if not words and not resolved:
            return
        command = command.commands[words[0]]
    try:
        context = command.make_context(words[0], words[1:])
    except Exception as error:
        # A sentence may leave the run's name out; all other words have been parsed by then.
        if resolved or type(error).__name__ != "MissingParameter":
            raise AssertionError(f"ganforge {shlex.join(words)}: {error}") from error
        return
    given = context.params
    if words[0] == "run" and resolved:
        registry = Registry.discover([*plugins, *map(Path, given["plugin"] or [])], no_plugins=True)
        layers = [preset_layer(given["preset"], registry)] if given["preset"] else []
        layers += [Layer(str(path), read_document(Path(path))) for path in given["config"] or []]
        layers.append(command_line_layer(given["settings"] or []))
        resolve(layers, registry)


@pytest.mark.parametrize("page", **named([page for page in PAGES if blocks(page, "toml")]))
def test_configurations_are_valid(page: Path, registry: Registry) -> None:
    """Each TOML block is a configuration without unknown keys, or a plugin's pyproject.toml."""
    for block in blocks(page, "toml"):
        document = tomllib.loads(block.text)
        if block.title == "pyproject.toml":
            assert document["project"]["entry-points"]["ganforge"]
        else:
            resolve([Layer(str(block.title), document)], registry)


def test_the_message_that_is_shown_is_the_real_one(registry: Registry) -> None:
    """README and quick start quote the message for a misspelled generator."""
    with pytest.raises(UnknownComponentError) as caught:
        registry.find("generator", "dcgn")
    for page in (README, DOCS / "quickstart.md"):
        assert f"error: {caught.value.message}" in [block.text.strip() for block in blocks(page, "text")]


# Examples that run


@pytest.mark.filterwarnings("default:MNIST")  # meant for users: the sample replaces the full dataset
@pytest.mark.parametrize("page", **named([README, DOCS / "quickstart.md"]))
def test_python_examples_run(page: Path) -> None:
    """A page's Python code runs, in its order; only the training is shortened."""
    untitled = [block.text for block in blocks(page, "python") if block.title is None]
    source = "\n".join(untitled)
    assert SHORT[0] in source
    namespace: dict[str, Any] = {}
    exec(compile(source.replace(*SHORT), page.name, "exec"), namespace)  # noqa: S102 - our own page
    assert namespace["run"].manifest.status == "finished"
    assert ("digits.png" not in source) or Path("digits.png").stat().st_size > 0


@pytest.mark.filterwarnings("default:MNIST")  # meant for users: the sample replaces the full dataset
def test_the_readmes_plugin_trains(tmp_path: Path) -> None:
    """The loss of the README trains; it has at most twenty lines."""
    write_files(README, tmp_path)
    file = tmp_path / "my_loss.py"
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 20
    short = Experiment.model_validate(
        {"gen": SMALL, "disc": SMALL, "loss": "my-hinge", "steps": 2, "batch_size": 8, "precision": "fp32"}
    )
    run = package.train(short, plugins=[file])
    assert run.manifest.status == "finished"
    assert run.experiment.loss.name == "my-hinge"


@pytest.mark.slow
def test_the_example_plugins_train_and_listen(tmp_path: Path, ganforge: Ganforge) -> None:
    """The generator, the loss and the listener of plugins.md work with the command line: every event arrives."""
    write_files(DOCS / "plugins.md", tmp_path)
    arguments = """
        --plugin my_gan.py --plugin watch.py --gen small --gen.width 16 --disc mlp --disc.hidden [16]
        --loss squares --steps 2 --batch-size 8 --precision fp32 --data.source sample
        --log-every 1 --evaluate-every 2 --num-samples 8 --out example --json
    """
    done = ganforge("run", *arguments.split())
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "finished"
    run = package.load("example", plugins=["my_gan.py"])
    assert run.experiment.optimizer["gen"].options["lr"] == 1e-4, "the loss recommends it"
    assert run.experiment.gen.options["width"] == 16
    heard = [line.split()[0] for line in (run.path / "listeners.log").read_text(encoding="utf-8").splitlines()]
    assert set(heard) == {"started", "row", "images", "checkpoint", "evaluated", "finished"}
    assert heard[0] == "started"
    assert heard[-1] == "finished"


@pytest.mark.slow
def test_the_example_command_and_preset_work(tmp_path: Path, ganforge: Ganforge) -> None:
    """The preset of plugins.md trains, and its command reads the run."""
    write_files(DOCS / "plugins.md", tmp_path)
    small = "--gen.hidden [16] --disc.hidden [16] --data.source sample --steps 2 --precision fp32 --out example --json"
    done = ganforge("run", "--preset", "small", "--plugin", "my_presets.py", *small.split())
    assert done.returncode == 0, done.stderr
    experiment = package.load("example").experiment
    assert (experiment.gen.name, experiment.optimizer["gen"].options["lr"]) == ("mlp", 1e-3)
    done = ganforge("--plugin", "my_command.py", "brightness", "example", "-n", "16")
    assert (done.returncode, done.stderr) == (0, "")
    assert 0 <= float(done.stdout) <= 255
    listed = ganforge("--plugin", "my_command.py", "--help").stdout
    assert "Print the brightness of a generator's images." in " ".join(listed.replace("│", " ").split())


@pytest.mark.slow
def test_the_ten_minutes_work(tmp_path: Path, ganforge: Ganforge) -> None:
    """The first commands of plugins.md work, one after the other; the work of pip is done by hand (CI has pip)."""
    (block,) = [block for block in blocks(DOCS / "plugins.md", "bash") if "new-plugin" in block.text]
    made, installed, listed, trained, checked, tested = map(shlex.split, block.text.splitlines())
    done = ganforge(*made[1:])
    assert done.returncode == 0, done.stderr
    assert installed[-1] == "./my-gan[test]"
    package_path = str(distribution_of(tmp_path / "my-gan"))
    done = ganforge(*listed[1:], "--json", PYTHONPATH=package_path)
    assert ("my-gan", "my-gan") in {(row["name"], row["distribution"]) for row in json.loads(done.stdout)}
    short = ("--data.source", "sample", "--steps", "2", "--batch-size", "8", "--precision", "fp32", "--json")
    done = ganforge(*trained[1:-2], *short, PYTHONPATH=package_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "finished"
    done = ganforge(*checked[1:], "--json", PYTHONPATH=package_path)
    assert done.returncode == 0, done.stdout
    assert [report["failed"] for report in json.loads(done.stdout)] == [[], []]
    assert tested == ["python", "-m", "pytest", "my-gan"]


def distribution_of(project: Path) -> Path:
    """Write the metadata that pip installs for a project, and return the folder for the path."""
    document = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    metadata = project / f"{document['name'].replace('-', '_')}-{document['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Name: {document['name']}\nVersion: {document['version']}\n", encoding="utf-8")
    points = [f"{name} = {value}" for name, value in document["entry-points"]["ganforge"].items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[ganforge]", *points, ""]), encoding="utf-8")
    return project


RECIPES = [block.title for block in blocks(DOCS / "recipes.md", "python") if block.title is not None]


@pytest.mark.parametrize("file", RECIPES)
def test_recipes_are_conformant(file: str, tmp_path: Path) -> None:
    """Each file of recipes.md passes every check of its kind."""
    write_files(DOCS / "recipes.md", tmp_path)
    registry = Registry.discover([tmp_path / file], no_plugins=True)
    components = [entry.component for entry in registry.entries if entry.source.path is not None]
    assert components
    for component in components:
        testing.check_component(component.kind, component.name, registry=registry).raise_for_failures()


def test_there_is_a_recipe_for_each_kind(tmp_path: Path) -> None:
    """recipes.md has a recipe of every kind."""
    write_files(DOCS / "recipes.md", tmp_path)
    registry = Registry.discover([tmp_path / file for file in RECIPES], no_plugins=True)
    assert {entry.component.kind for entry in registry.entries if entry.source.path is not None} == set(KINDS)


def test_every_method_is_in_the_docs() -> None:
    """recipes/methods.md includes each file of tests/methods, under its own name."""
    text = METHODS.read_text(encoding="utf-8")
    included = re.findall(r'^```python title="(.+)"\n--8<--\ntests/methods/(.+)\n--8<--\n```$', text, re.MULTILINE)
    assert [title for title, _ in included] == [file for _, file in included]
    assert sorted(file for _, file in included) == sorted(
        path.name for path in (ROOT / "tests" / "methods").glob("*.py")
    )


def test_the_example_dataset_trains(tmp_path: Path, ganforge: Ganforge) -> None:
    """The streamed dataset of plugins.md trains from a file of the described shape."""
    write_files(DOCS / "plugins.md", tmp_path)
    np.save(tmp_path / "faces.npy", np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8))
    arguments = """
        --plugin my_data.py --data big-array --data.path faces.npy --workers 1 --gen mlp --gen.hidden [8] --disc mlp
        --disc.hidden [8] --steps 5 --batch-size 8 --precision fp32 --evaluate-every 5 --num-samples 8 --json
    """
    done = ganforge("run", *arguments.split())
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "finished"


def test_the_example_format_is_checked_and_converted(tmp_path: Path, ganforge: Ganforge) -> None:
    """The format of plugins.md is found by its extension, and its pictures become a folder with the same pixels."""
    write_files(DOCS / "plugins.md", tmp_path)
    root = equal_pictures(tmp_path)
    lines = [f"{path.relative_to(root)} {int(path.parent.name == 'dog')}" for path in sorted(root.glob("*/*.png"))]
    (root / "pictures.lst").write_text("\n".join(lines), encoding="utf-8")
    done = ganforge("data", "check", "pictures.lst", "--plugin", "my_format.py")
    assert "2 classes: cat (5), dog (7)" in done.stdout
    assert ganforge("data", "convert", "pictures.lst", "out", "--plugin", "my_format.py").returncode == 0
    expected = [np.asarray(Image.open(path)) for path in sorted(root.glob("*/*.png"))]
    written = [np.asarray(Image.open(path)) for path in sorted((root / "out").rglob("*.png"))]
    assert np.array_equal(written, expected)


def test_the_example_package_is_found(tmp_path: Path, ganforge: Ganforge) -> None:
    """The example package provides its generator under its own name and version."""
    write_files(DOCS / "plugins.md", tmp_path)
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (tmp_path / "my_gan.py").rename(tmp_path / "ganforge_small" / "networks.py")
    distribution_of(tmp_path)
    done = ganforge("describe", "generator", "small", "--json", PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["distribution"], found["version"]) == (project["name"], project["version"])
    assert found["options"]["properties"]["width"]["description"] == "Width of the hidden layer."
    assert str(tmp_path) not in sys.path

"""Source of classes of a notebook: a plugin that another process can load."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from ganforge.errors import PluginError, UsageError
from ganforge.plugins import class_source
from ganforge.plugins.class_source import GivenClass, plugin_source
from ganforge.plugins.local import load_text
from ganforge.plugins.registry import Registry
from tests.helpers.notebooks import session

IMPORTS = """
import math
import torch
import torch.nn.functional as F
import ganforge
import ganforge as gf
from ganforge import LossTerm
from torch import cat as join, nn
"""


def source(names: dict[str, Any], *classes: str) -> str:
    """Return the plugin of some losses of a session."""
    return plugin_source([GivenClass("loss", name.lower(), names[name]) for name in classes])


def loaded(names: dict[str, Any], name: str) -> Any:
    """Return a class, loaded from its source."""
    return getattr(load_text(source(names, name))[0], name)


def test_everything_that_a_class_names_comes_along() -> None:
    """Functions, classes, constants, other names of them and imports of any cell, and nothing else."""
    mine = """
class Mine(Base):
    '''One line.'''
    shift = sum(i for i in TABLE["a"])
    def value(self, x):
        return other(join([x, x])) + self.helped(x).sum()
    def discriminator_loss(self, *, real, fake):
        return real.logits
    def generator_loss(self, *, real, fake):
        return fake.logits
"""
    cells = (
        IMPORTS,
        "SLOPE = 0.25\nTABLE = {'a': [1, 2], 'b': (None, True)}",
        "unused = torch.ones(3)\ndef unused_too(): return unused",
        "leaky = lambda x: F.leaky_relu(x, SLOPE)",
        "class Base(gf.Loss):\n    def helped(self, x):\n        return helper(x)",
        "def helper(x, factor=math.pi):\n    return leaky(x) * factor + TABLE['a'][1] + Mine.shift\nother = helper",
        mine,
    )
    with session(*cells) as names:
        text = source(names, "Mine")
        x = torch.tensor([-1.0, 2.0])
        expected = names["Mine"](names["Mine"].Options()).value(x)
    assert "unused" not in text
    assert "import LossTerm" not in text
    assert "from torch import cat as join" in text
    assert "kind='loss', name='mine', target=Mine, summary='One line.'" in text
    cls = load_text(text)[0].Mine
    assert torch.equal(cls(cls.Options()).value(x), expected)


def test_definitions_stand_in_an_order_that_runs() -> None:
    """Bases, decorators and defaults are above what needs them, whichever names the other; helpers of theirs, too."""
    parent = """
class Parent(gf.Loss):
    def discriminator_loss(self, *, real, fake): return Child.made
    def generator_loss(self, *, real, fake): return 0
"""
    cells = (
        IMPORTS,
        parent,
        "def twice(f):\n    return wrap(f)\ndef wrap(f):\n    f.mark = LEVEL\n    return f\nLEVEL = 3",
        "class Child(Parent):\n    made = twice(lambda: 1)\n    @twice\n    def f(self): return Parent\n",
    )
    with session(*cells) as names:
        for name in ("Parent", "Child"):
            module, _ = load_text(source(names, name))
            assert module.Child.f.mark == 3
            assert module.Child.__mro__[1] is module.Parent


def test_types_of_options_come_along() -> None:
    """An assignment that calls nothing is copied, with the names in it, such as the type of an option."""
    loss = """
class A(gf.Loss):
    class Options(gf.Loss.Options):
        modes: Modes = None
    def discriminator_loss(self, *, real, fake): return 1
    def generator_loss(self, *, real, fake): return 1
"""
    cells = (f"{IMPORTS}from typing import Literal", "Mode = Literal['a', 'b']\nModes = list[Mode] | None", loss)
    with session(*cells) as names:
        cls = loaded(names, "A")
    assert cls.Options(modes=["b"]).modes == ["b"]
    with pytest.raises(ValueError, match="modes"):
        cls.Options(modes=["c"])


def test_the_newest_definition_counts() -> None:
    """A class of an edited cell has its new source; a class without methods is found among all cells."""
    first = "class Options(ganforge.Loss.Options):\n    a: int = 1\n"
    loss = (
        "class L(ganforge.Loss):\n    Options = Options\n    def discriminator_loss(self, *, real, fake): return 1\n"
        "    def generator_loss(self, *, real, fake): return 1\n"
    )
    with session(IMPORTS, first, first.replace("1", "2"), loss, loss.replace("1", "7")) as names:
        cls = loaded(names, "L")
    assert cls.Options().a == 2
    assert cls(cls.Options()).generator_loss(real=None, fake=None) == 7


def test_postponed_annotations_stay_postponed() -> None:
    """A cell with `from __future__ import annotations` may name in annotations what is defined later."""
    cell = "from __future__ import annotations\nclass A:\n    def f(self) -> A: return math.inf"
    with session(IMPORTS, cell) as names:
        assert loaded(names, "A")().f() == math.inf


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        (
            "noise = torch.zeros(3)\nclass A:\n    def f(self): return noise",
            "noise (needed by A) is a Tensor that",
        ),
        ("def make():\n    class A: pass\n    return A\nA = make()", "A (needed by A) is defined within make()"),
        ("exec('class A:\\n    def f(self): pass')", "the source of A (needed by A) is not known"),
        (
            "import own_file_of_a_test as own\nclass A:\n    x = own.x",
            "module own is a file of yours: write `from",
        ),
        ("def f(): return net\nnet = nn.Linear(1, 1)\nclass A:\n    x = f", "net (needed by f) is a Linear that only"),
    ],
)
def test_what_cannot_be_saved_is_named(
    cell: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error has the name, its user, and the fix, before anything runs."""
    (tmp_path / "own_file_of_a_test.py").write_text("x = 1")
    monkeypatch.syspath_prepend(str(tmp_path))
    with session(IMPORTS, cell) as names, pytest.raises(UsageError) as caught:
        source(names, "A")
    assert caught.value.message.startswith(f"A cannot be saved with the run: {problem}")
    assert "plugins=[FILE]" in str(caught.value.fix)


def test_a_user_s_own_file_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions and classes that a cell imports from a file next to it come along, since others may lack the file."""
    (tmp_path / "own_helpers_of_a_test.py").write_text("K = 2\ndef helper(x):\n    return K * x\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    cell = "from own_helpers_of_a_test import helper\nclass A:\n    def f(self): return helper(3)"
    with session(IMPORTS, cell) as names:
        text = source(names, "A")
    assert "own_helpers" not in text
    assert load_text(text)[0].A().f() == 6


def test_a_damaged_distribution_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed packages are still imported, not copied, if the list of distributions cannot be read."""

    def fail() -> None:
        raise ValueError("damaged")

    monkeypatch.setattr(class_source, "packages_distributions", fail)
    class_source._installed_packages.cache_clear()
    with session(IMPORTS, "class A:\n    def f(self): return nn.Linear, join") as names:
        text = source(names, "A")
    class_source._installed_packages.cache_clear()
    assert "from torch import nn" in text
    assert "from torch import cat as join" in text


def test_two_meanings_of_a_name_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another file may use a name that the notebook has for something else; neither is taken for the other."""
    (tmp_path / "own_names_of_a_test.py").write_text("K = 2\ndef helper(x):\n    return K * x\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    cell = "from own_names_of_a_test import helper\nK = 5\nclass A:\n    def f(self): return helper(K)"
    with session(IMPORTS, cell) as names, pytest.raises(UsageError, match="K has two meanings in different files"):
        source(names, "A")


def test_an_error_of_the_source_has_its_line() -> None:
    """Code that fails when it is loaded again is an error that names the line of components.py."""
    cell = "count = [0]\nclass A:\n    assert not count[0]\n    count[0] = 1\nclass B:\n    x = count"
    with session(IMPORTS, cell) as names:
        text = source(names, "A")  # with the present content of the list
        with pytest.raises(PluginError, match=r"AssertionError \(components\.py, line \d+\)"):
            load_text(text)


def test_components_of_classes_join_the_registry(registry: Registry) -> None:
    """They are found by name, qualified by the file; a class that lacks the interface is an error of its owner."""
    classes: Sequence[str] = ("A",)
    with session(IMPORTS, "class A:\n    def f(self): pass") as names:
        extended = Registry.discover(no_plugins=True).with_classes(source(names, *classes))
    entry = extended.find("loss", "components.py/a")
    assert (entry.name, str(entry.source)) == ("a", "components.py local")
    with pytest.raises(PluginError, match=r"loss 'a' \(components.py local\): .*:A does not extend ganforge\.LossTerm"):
        extended.load(entry)
    assert registry.get("loss", "a") is None

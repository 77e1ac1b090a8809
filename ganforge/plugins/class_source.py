"""Source of classes that a user gives in place of names, as the text of a local plugin.

A class of a notebook or a script exists in one process only. Its statement is copied, with the functions, classes,
constants and imports that it names, so that another process can load it with `--plugin`.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import linecache
import symtable
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from types import FunctionType, ModuleType
from typing import NamedTuple

from ganforge.components.spec import Kind, is_line
from ganforge.errors import UsageError
from ganforge.utils.tracebacks import SITE_FOLDERS

#: Flag of a function that was compiled with `from __future__ import annotations`.
FUTURE_ANNOTATIONS = 0x1000000
#: Scopes of functions that run where they are written.
COMPREHENSIONS = frozenset({"listcomp", "setcomp", "dictcomp", "genexpr"})

TITLE = '"""Components that were given to ganforge.train as classes."""\n'


class GivenClass(NamedTuple):
    """Class that is a component, with its kind and name."""

    kind: Kind
    name: str
    cls: type


def plugin_source(classes: Sequence[GivenClass]) -> str:
    """Return the text of a plugin that provides classes.

    Raises:
        UsageError: Something that they need cannot be written; the message names all of it.
    """
    collector = _Collector()
    for given in classes:
        namespace = vars(sys.modules[given.cls.__module__])
        collector.require(given.cls.__name__, given.cls, given.cls.__name__, namespace)
    collector.require("ganforge", sys.modules["ganforge"], "the plugin", {})
    if collector.problems:
        names = ", ".join(dict.fromkeys(given.cls.__name__ for given in classes))
        raise UsageError(
            f"{names} cannot be saved with the run: {'; '.join(dict.fromkeys(collector.problems))}",
            fix="define it in a cell or file as a function, a class, or a constant of numbers and texts; or write a "
            "plugin file, and pass plugins=[FILE]",
        )
    return collector.text() + _hook(classes)


def _hook(classes: Iterable[GivenClass]) -> str:
    lines = ["@ganforge.hookimpl", "def ganforge_components():", "    return ["]
    for kind, name, cls in classes:
        summary = (inspect.cleandoc(cls.__dict__.get("__doc__") or "").splitlines() or [""])[0]
        described = f", summary={summary!r}" if summary and is_line(summary) else ""
        lines.append(f"        ganforge.Component(kind={kind!r}, name={name!r}, target={cls.__name__}{described}),")
    return "\n".join(["", "", "", *lines, "    ]", ""])


class _Collector:
    """Statements that define global names, in an order in which they can run.

    Attributes:
        problems: Names that cannot be defined, with the reason.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._values: dict[str, object] = {}
        self._imports: list[str] = []
        self._constants: list[str] = []
        self._definitions: list[str] = []
        self._postpones_annotations = False

    def text(self) -> str:
        """Return the module's text: imports, constants, then functions and classes."""
        future = ["from __future__ import annotations\n"] if self._postpones_annotations else []
        imports = "".join(f"{line}\n" for line in sorted(self._imports, key=lambda line: (line[0] == "f", line)))
        constants = ["".join(f"{line}\n" for line in self._constants)] if self._constants else []
        return "\n".join([TITLE, *future, imports, *constants, *(f"\n{text}\n" for text in self._definitions)]).rstrip()

    def require(
        self, name: str, value: object, user: str, namespace: Mapping[str, object], *, eager: bool = False
    ) -> None:
        """Add what defines a global name.

        Args:
            name: The name.
            value: Its value.
            user: Name of the definition that needs it.
            namespace: Global names of the file or notebook that has it.
            eager: Whether the definition is called while the module is imported.
        """
        if name in self._values:
            if self._values[name] is not value:
                self.problems.append(f"{name} has two meanings in different files (needed by {user})")
            return
        self._values[name] = value
        defined = inspect.unwrap(value) if callable(value) else value
        if isinstance(value, ModuleType):
            if _is_installed(value.__name__):
                self._imports.append(_import_module(name, value))
            else:
                self.problems.append(
                    f"module {name} is a file of yours: write `from {value.__name__} import …`, so that what {user} "
                    "needs can be copied"
                )
        elif isinstance(defined, FunctionType | type) and not _is_installed(defined.__module__):
            self._define(name, defined, user, eager=eager)
        elif _is_literal(value):
            self._constants.append(f"{name} = {value!r}")
        elif (line := _import_object(name, value)) is not None:
            self._imports.append(line)
        elif (alias := _find_alias(name, namespace)) is not None:
            self._require_all(_needed_names(alias)[0], namespace, name, eager=True)
            self._definitions.append(alias)
        else:
            self.problems.append(f"{name} (needed by {user}) is a {type(value).__name__} that only this session has")

    def _define(self, name: str, value: FunctionType | type, user: str, *, eager: bool) -> None:
        """Add the statement of a function or class, after what it needs to run."""
        if "<locals>" in value.__qualname__:
            outer = value.__qualname__.partition(".")[0]
            self.problems.append(f"{value.__name__} (needed by {user}) is defined within {outer}()")
            return
        functions = [value] if isinstance(value, FunctionType) else list(_methods(value))
        self._postpones_annotations |= any(item.__code__.co_flags & FUTURE_ANNOTATIONS for item in functions)
        namespace = value.__globals__ if isinstance(value, FunctionType) else vars(sys.modules[value.__module__])
        statement = _find_statement(name, [functions[0].__code__.co_filename] if functions else _files_of(namespace))
        if statement is None and value.__name__ != name:  # another name for it
            self.require(value.__name__, value, user, namespace, eager=eager)
            self._definitions.append(f"{name} = {value.__name__}")
            return
        if statement is None:
            self.problems.append(f"the source of {name} (needed by {user}) is not known")
            return
        now, later = _needed_names(statement)
        self._require_all(now, namespace, name, eager=True)
        if eager:
            self._require_all(later, namespace, name, eager=True)
        self._definitions.append(statement)
        self._require_all(later, namespace, name)

    def _require_all(
        self, names: Iterable[str], namespace: Mapping[str, object], user: str, *, eager: bool = False
    ) -> None:
        for name in sorted(names):
            is_builtin = vars(builtins).get(name, namespace) is namespace.get(name, vars(builtins).get(name))
            if name in namespace and not is_builtin and not name.startswith("__"):
                self.require(name, namespace[name], user, namespace, eager=eager)


def _methods(cls: type) -> Iterator[FunctionType]:
    """Yield the functions that a class body defines."""
    for value in vars(cls).values():
        candidates = (value, getattr(value, "__func__", None), getattr(value, "fget", None))
        for candidate in candidates:
            function = inspect.unwrap(candidate) if callable(candidate) else None
            if isinstance(function, FunctionType) and function.__qualname__.startswith(f"{cls.__qualname__}."):
                yield function


def _files_of(namespace: Mapping[str, object]) -> list[str]:
    """Return the file of a module, or all cells of a notebook, the newest first."""
    file = namespace.get("__file__")
    if isinstance(file, str):
        return [file]
    return [key for key, entry in reversed(linecache.cache.items()) if len(entry) > 1 and entry[1] is None]


def _find_alias(name: str, namespace: Mapping[str, object]) -> str | None:
    """Return the assignment of a name if it calls nothing, such as `Mode = Literal["a", "b"]`."""
    statement = _find_statement(name, _files_of(namespace))
    nodes = [] if statement is None else list(ast.walk(ast.parse(statement)))
    calls = any(isinstance(node, ast.Call | ast.NamedExpr) for node in nodes)
    return statement if any(isinstance(node, ast.Assign) for node in nodes) and not calls else None


def _find_statement(name: str, files: Sequence[str]) -> str | None:
    """Return the last top-level statement that binds a name, from the first file or cell that has one."""
    for file in files:
        source = textwrap.dedent("".join(linecache.getlines(file)))
        with suppress(SyntaxError):
            for statement in reversed(ast.parse(source).body):
                if name in _bound_names(statement):
                    decorators = getattr(statement, "decorator_list", ())
                    first = min([statement.lineno, *(decorator.lineno for decorator in decorators)])
                    return "\n".join(source.splitlines()[first - 1 : statement.end_lineno])
    return None


def _bound_names(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that a definition or assignment binds."""
    if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield statement.name
    elif isinstance(statement, ast.Assign):
        yield from (target.id for target in statement.targets if isinstance(target, ast.Name))


def _needed_names(statement: str) -> tuple[set[str], set[str]]:
    """Return the global names that a statement reads when it runs, and those that its functions read later."""
    now: set[str] = set()
    later: set[str] = set()

    def visit(table: symtable.SymbolTable, names: set[str]) -> None:
        outside_functions = table.get_type() != "function"  # where `x = x` reads a global name
        names |= {
            symbol.get_name()
            for symbol in table.get_symbols()
            if symbol.is_referenced() and (outside_functions or symbol.is_global())
        }
        for child in table.get_children():
            deferred = child.get_type() == "function" and child.get_name() not in COMPREHENSIONS
            visit(child, later if deferred else names)

    visit(symtable.symtable(statement, "<component>", "exec"), now)
    return now, later - now


@cache
def _installed_packages() -> frozenset[str]:
    names = {*sys.stdlib_module_names, "ganforge"}
    with suppress(Exception):  # the metadata of another distribution may be damaged
        names |= packages_distributions().keys()
    return frozenset(names)


def _is_installed(module: str) -> bool:
    """Return whether another process can import a module from any folder."""
    top = module.partition(".")[0]
    file = getattr(sys.modules.get(top), "__file__", None) or ""
    return top != "__main__" and (top in _installed_packages() or not SITE_FOLDERS.isdisjoint(Path(file).parts))


def _is_literal(value: object) -> bool:
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False


def _import_module(name: str, module: ModuleType) -> str:
    path = module.__name__
    if name == path:
        return f"import {path}"
    parent, _, last = path.rpartition(".")
    return f"from {parent} import {last}" if parent and last == name else f"import {path} as {name}"


def _import_object(name: str, value: object) -> str | None:
    """Return the line that imports an object from an installed package, from the shortest path that has it."""
    attribute = getattr(value, "__name__", None)
    own = getattr(value, "__module__", None)
    attributes = [item for item in (attribute, name) if isinstance(item, str)]
    parts = own.split(".") if isinstance(own, str) else []
    modules = [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
    modules += sorted(sys.modules, key=lambda path: ("._" in path or path.startswith("_"), path.count("."), path))
    for path in filter(_is_installed, modules):
        for item in attributes:
            if _attribute(path, item) is value:
                alias = "" if item == name else f" as {name}"
                return f"from {path} import {item}{alias}"
    return None


def _attribute(module: str, name: str) -> object:
    """Return an attribute of an imported module; a lazy one is loaded in ganforge alone."""
    if module == "ganforge":
        with suppress(AttributeError):
            return getattr(importlib.import_module(module), name)
    return vars(sys.modules[module]).get(name) if module in sys.modules else None

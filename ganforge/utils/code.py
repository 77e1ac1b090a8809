"""Hash of the code that a class consists of."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

#: Packages whose classes are interfaces, not code of a component.
INTERFACES = ("abc", "builtins", "ganforge.components", "torch", "typing")
#: Nodes that may begin with a docstring.
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)

#: Text of statements, by module and line.
Statements = dict[tuple[str, int], str]


def code_sha256(cls: type) -> str | None:
    """Return the SHA-256 of the statements of a class and its bases, and of those that these name in their packages.

    Lines of comments, docstrings and blank lines do not count, nor does other code of the same file; comments behind
    code do.

    Returns:
        The hash, or None for a class without a file, such as one of a notebook.
    """
    statements: Statements = {}
    try:
        for base in cls.__mro__:
            if not _is_within(base.__module__, *INTERFACES):
                _collect(importlib.import_module(base.__module__), base.__qualname__.partition(".")[0], statements)
    except (ImportError, OSError, SyntaxError, TypeError):
        return None
    return hashlib.sha256("\n".join(text for _, text in sorted(statements.items())).encode()).hexdigest()


def loaded_name(name: str, package: str) -> str:
    """Return the name under which a module of a package is loaded; a local plugin's does not begin with its folder's.

    Args:
        name: Name of any module, as an absolute import has it.
        package: Name under which the importing package, or a package within it, is loaded.
    """
    top = package.partition(".")[0]
    spec = sys.modules[top].__spec__
    folders = (spec.submodule_search_locations if spec is not None else None) or ()
    first, dot, rest = name.partition(".")
    return f"{top}{dot}{rest}" if first in {Path(folder).name for folder in folders} else name


def _is_within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _collect(module: ModuleType, name: str | None, statements: Statements) -> None:
    """Add the statements that define a name, or all of the module, and those of its package that they depend on."""
    source, parent = inspect.getsource(module), module.__spec__.parent if module.__spec__ is not None else None
    package, tree = parent or module.__name__, ast.parse(source)
    todo = [name]
    while todo:
        name = todo.pop()
        for statement in tree.body:
            key = (module.__name__, statement.lineno)
            if key in statements or (name is not None and name not in _defined(statement)):
                continue
            statements[key] = _text(source, statement)
            if isinstance(statement, ast.Import | ast.ImportFrom):
                for imported, attribute in _imported(statement, name, package):
                    _collect(imported, attribute, statements)
            else:
                todo += [node.id for node in ast.walk(statement) if isinstance(node, ast.Name)]


def _imported(
    statement: ast.Import | ast.ImportFrom, name: str | None, package: str
) -> Iterator[tuple[ModuleType, str | None]]:
    """Yield the modules of a package that a statement imports, with the imported name, or None for all of a module."""
    for alias in statement.names:
        if name not in {None, alias.asname or alias.name}:
            continue
        if isinstance(statement, ast.Import):
            if _is_within(target := loaded_name(alias.name, package), package):
                yield importlib.import_module(target), None
            continue
        target = importlib.util.resolve_name("." * statement.level + (statement.module or ""), package)
        target = loaded_name(target, package)
        if _is_within(target, package):
            module = importlib.import_module(target)
            value = getattr(module, alias.name, None)
            yield (value, None) if isinstance(value, ModuleType) else (module, alias.name)


def _defined(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement defines, or may define."""
    if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield statement.name
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name for alias in statement.names)
    else:
        yield from (node.id for node in ast.walk(statement) if isinstance(node, ast.Name))


def _text(source: str, statement: ast.stmt) -> str:
    """Return the lines of a statement without comments, docstrings and blank lines."""
    documented = [node for node in ast.walk(statement) if isinstance(node, DOCUMENTED) and ast.get_docstring(node)]
    left_out = {line for node in documented for line in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)}
    first = min([statement.lineno, *(node.lineno for node in getattr(statement, "decorator_list", ()))])
    numbered = enumerate(source.splitlines()[first - 1 : statement.end_lineno], start=first)
    lines = (line.rstrip() for number, line in numbered if number not in left_out)
    return "\n".join(line for line in lines if line and not line.lstrip().startswith("#"))

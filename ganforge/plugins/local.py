"""Local plugins: files or folders, loaded only if the user names them, and classes that the user gives."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import re
import sys
from importlib.abc import InspectLoader
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, ExtensionFileLoader, FileFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from ganforge.errors import PluginError
from ganforge.plugins.sources import Source
from ganforge.utils.code import loaded_name
from ganforge.utils.files import read_file
from ganforge.utils.text import printable
from ganforge.utils.tracebacks import summarize_exception

#: File of a run directory with the classes that were given in place of names.
CLASSES_FILE = "components.py"


def plugin_paths(path: Path) -> list[Path]:
    """Return the plugins that a path means: a Python file, a package folder, or each Python file of a plain folder.

    Raises:
        PluginError: The path has no plugins.
    """
    if path.is_file() and path.suffix == ".py":
        return [path.resolve()]
    if path.is_dir():
        if (path / "__init__.py").is_file():
            return [path.resolve()]
        files = sorted(file.resolve() for file in path.glob("*.py") if not file.name.startswith("_"))
        if files:
            return files
        raise PluginError(f"no plugin in {path}: the folder has no Python files")
    if path.exists():
        raise PluginError(f"{path} is not a plugin: a Python file (.py) or a folder is needed")
    raise PluginError(f"no plugin at {path}: no such file or folder")


def short_name(path: Path) -> str:
    """Return the name of a local plugin's module in its targets: `my_gan` for my_gan.py and my-gan.py."""
    return re.sub(r"\W", "_", path.name if path.is_dir() else path.stem)


def module_name(path: Path) -> str:
    """Return the name under which a local plugin is imported, unique among all files."""
    digest = hashlib.sha256(str(path).encode("utf-8", "surrogateescape")).hexdigest()
    return f"ganforge_local_{short_name(path)}_{digest[:8]}"


class _FreshLoader(SourceFileLoader):
    """Loader that always compiles the source, so that the code matches its SHA-256.

    Cached bytecode is matched by time and size only. A package may import its modules by the name of its folder.
    """

    def get_code(self, fullname: str) -> CodeType:
        """Compile the source, and write no bytecode."""
        path = self.get_filename(fullname)
        tree = _OwnImports(fullname).visit(ast.parse(self.get_data(path), path))
        code: CodeType = self.source_to_code(ast.fix_missing_locations(tree), path)
        return code


class _OwnImports(ast.NodeTransformer):
    """Absolute imports of a package by itself, made those of the name under which it is loaded."""

    def __init__(self, package: str) -> None:
        self._package = package

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom:
        """Rename the module; each imported name may be a module of the package."""
        if node.level == 0 and node.module is not None:
            names = [self._loaded_name(f"{node.module}.{alias.name}") for alias in node.names]
            node.module = names[0].rpartition(".")[0]
        return node

    def visit_Import(self, node: ast.Import) -> list[ast.Import]:
        """Rename the modules; `import pack.nets` still defines `pack`."""
        names = []
        for alias in node.names:
            name = self._loaded_name(alias.name)
            names.append(ast.alias(name, alias.asname))
            if name != alias.name and alias.asname is None:
                names.append(ast.alias(name.partition(".")[0], alias.name.partition(".")[0]))
        return [ast.copy_location(ast.Import(names), node)]

    def _loaded_name(self, name: str) -> str:
        """Return the name under which a module is loaded. Raises ImportError if it may be a library's."""
        loaded = loaded_name(name, self._package)
        if loaded != name:
            first, _, rest = name.partition(".")
            folder = Path(sys.modules[loaded.partition(".")[0]].__file__ or "").parent
            own = rest.partition(".")[0]
            is_own = own and ((folder / own).is_dir() or (folder / f"{own}.py").is_file())
            if not is_own and _is_installed(first, folder):
                raise ImportError(f"{name} may be the library or this folder; rename the folder, or write `from .`")
        return loaded


def _is_installed(name: str, folder: Path) -> bool:
    """Return whether Python finds a module of a name, but not in a package's own folder."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:  # a folder without code
        return False
    return folder not in {Path(path).resolve() for path in spec.submodule_search_locations or ()}


def load_local(path: Path) -> tuple[ModuleType, Source]:
    """Load one of the `plugin_paths`. Raises PluginError, with the author's line, if the import fails."""
    name = module_name(path)
    file = path / "__init__.py" if path.is_dir() else path
    spec = importlib.util.spec_from_file_location(
        name,
        file,
        loader=_FreshLoader(name, str(file)),
        submodule_search_locations=[str(path)] if path.is_dir() else None,
    )
    assert spec is not None and spec.loader is not None, "a loader was given"  # noqa: PT018, S101
    module = importlib.util.module_from_spec(spec)
    _unload(name)  # a notebook loads a plugin again after it was edited
    if path.is_dir():
        _use_fresh_loaders(path)
    sys.modules[name] = module  # needed by dataclasses, submodules and pickle
    try:
        sha256 = _digest(path)
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        _unload(name)
        within = path if path.is_dir() else path.parent
        reason = summarize_exception(error, within)
        raise PluginError(f"local plugin {path} cannot be imported: {reason}") from error
    return module, Source(printable(path.name), "local", path=path, sha256=sha256)


class _TextLoader(InspectLoader):
    """Loader of a module whose code is a text."""

    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._file = file

    def get_source(self, fullname: str) -> str:
        """Return the text, for tracebacks and `inspect`."""
        return self._text

    def get_code(self, fullname: str) -> CodeType:
        """Compile the text."""
        return self.source_to_code(self._text, self._file)


def load_text(text: str) -> tuple[ModuleType, Source]:
    """Load the code of a local plugin that has no file yet. Raises PluginError if the import fails."""
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    name = f"ganforge_local_components_{sha256[:8]}"
    file = f"{name}/{CLASSES_FILE}"  # a path that does not exist, so that no other file is shown in its place
    spec = importlib.util.spec_from_loader(name, _TextLoader(text, file), origin=file)
    assert spec is not None and spec.loader is not None, "a loader was given"  # noqa: PT018, S101
    spec.has_location = True
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        _unload(name)
        raise PluginError(
            f"the classes cannot be loaded from the source that the run would have: {summarize_exception(error)}"
        ) from error
    return module, Source(CLASSES_FILE, "local", sha256=sha256, text=text)


def _use_fresh_loaders(package: Path) -> None:
    """Make the import system find and compile the modules of a package again."""
    loaders = ((ExtensionFileLoader, EXTENSION_SUFFIXES), (_FreshLoader, SOURCE_SUFFIXES))
    for folder in {package, *(file.parent for file in package.rglob("*.py"))}:
        sys.path_importer_cache[str(folder)] = FileFinder(str(folder), *loaders)


def _unload(name: str) -> None:
    for loaded in list(sys.modules):
        if loaded == name or loaded.startswith(f"{name}."):
            del sys.modules[loaded]


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file, or of a folder's Python files with their names."""
    if not path.is_dir():
        return hashlib.sha256(read_file(path)).hexdigest()
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*.py")):
        digest.update(f"{file.relative_to(path).as_posix()}\0".encode() + read_file(file) + b"\0")
    return digest.hexdigest()

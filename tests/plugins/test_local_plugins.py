"""Laws of local plugins: loaded if the user names them and only then, and recorded in the run."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ganforge.components.spec import API
from ganforge.errors import PluginError, UnknownComponentError
from ganforge.plugins.registry import Registry
from ganforge.utils.code import code_sha256
from tests.helpers.plugins import command, distribution, in_process, local, provides

GAN = (
    provides("generator", "my-gan", "my_gan:MyGan", summary="One linear layer.")
    + """
import ganforge
from torch import nn


class MyGan(ganforge.Generator):
    class Options(ganforge.Generator.Options):
        gain: float = 1.0

    def __init__(self, options, image):
        super().__init__(options, image)
        self.linear = nn.Linear(self.latent_dim, image.numel)

    def forward(self, z, labels=None):
        images = self.linear(z) * self.options.gain
        return images.tanh().unflatten(1, (self.image.channels, self.image.height, self.image.width))
"""
)
TINY = ("--gen", "my-gan", "--disc", "mlp", "--data.source", "sample", "--batch-size", "8", "--precision", "fp32")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train two steps of a local generator in a process of its own; return the folder of run `r` and my_gan.py."""
    folder = tmp_path_factory.mktemp("run")
    local(folder / "my_gan.py", GAN)
    arguments = ("run", "--plugin", "my_gan.py", *TINY, "--steps", "2", "--out", "r", "--json", "--quiet")
    finished = in_process(folder, *arguments)
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout)["status"] == "finished"
    return folder


@pytest.mark.parametrize("words", ["sample r --out s.png", "evaluate r --metric sliced-wasserstein --num-samples 20"])
def test_plugin_prints_go_to_stderr(words: str, run: Path) -> None:
    """Printed text goes to stderr; stdout has one JSON document and nothing else."""
    text = (run / "my_gan.py").read_text(encoding="utf-8")
    loud = text.replace("images = self", "print('drawing'); images = self")
    local(run / "loud" / "my_gan.py", loud)
    finished = in_process(run, *words.split(), "--plugin", "loud/my_gan.py", "--json")
    assert finished.returncode == 0, finished.stderr
    assert isinstance(json.loads(finished.stdout), dict)
    assert "drawing" in finished.stderr


@pytest.mark.parametrize("words", ["describe mlp --json", "list"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_answer_that_cannot_be_written_is_one_message(words: str, unbuffered: str) -> None:
    """A full disk is not called a mistake of ours, whenever Python writes to it."""
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        line = [sys.executable, "-m", "ganforge", *words.split()]
        env = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
        done = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=env)
    assert done.returncode == 1
    message, _ = done.stderr.splitlines()
    assert message.endswith("No space left on device")


@pytest.mark.parametrize(("every", "kept"), [(1, True), (100, False)])
def test_failed_run_names_its_last_checkpoint(*, every: int, kept: bool, tmp_path: Path) -> None:
    """A checkpoint is mentioned if the run has one."""
    loud = GAN.replace("images = self", "self.calls = getattr(self, 'calls', 0) + 1\n        images = self")
    raising = "if self.calls > 99:\n            raise RuntimeError('worn out')\n        return"
    local(tmp_path / "my_gan.py", loud.replace("return images.tanh", f"{raising} images.tanh"))
    flags = ("--plugin", "my_gan.py", *TINY, "--steps", "500", "--checkpoint-every", every, "--out", "f", "--quiet")
    done = in_process(tmp_path, "run", *map(str, flags))
    assert done.returncode == 1
    assert "worn out" in done.stderr
    resume = "ganforge resume f --plugin my_gan.py\n"
    assert (f"the last good checkpoint is kept; continue from it: {resume}" in done.stderr) is kept
    assert (f"start it again: {resume}" in done.stderr) is not kept
    assert bool(list((tmp_path / "f" / "checkpoints").iterdir())) is kept


def test_path_and_hash_go_into_the_run(run: Path) -> None:
    """run.json names the local file that the run used, with the SHA-256 of its content; run.toml names no path."""
    (recorded,) = [
        plugin
        for plugin in json.loads((run / "r" / "run.json").read_text())["plugins"]
        if plugin["distribution"] != "ganforge"
    ]
    assert recorded == {
        "distribution": "my_gan.py",
        "version": "local",
        "path": str((run / "my_gan.py").resolve()),
        "sha256": hashlib.sha256((run / "my_gan.py").read_bytes()).hexdigest(),
    }
    assert str(run) not in (run / "r" / "run.toml").read_text()
    assert not (run / "__pycache__").exists()


def test_resume_without_the_local_plugin_fails(run: Path) -> None:
    """Resuming and sampling without the local plugin fail, exit 2, name what is missing, and change nothing."""
    before = (run / "r" / "run.json").read_bytes()
    for arguments in (("resume", run / "r", "--steps", "3"), ("sample", run / "r", "--out", run / "no.png")):
        finished = command(*arguments)
        assert finished.returncode == 2
        assert finished.stdout == ""
        assert "no generator 'my-gan'" in finished.stderr
        assert "--plugin" in finished.stderr
    assert (run / "r" / "run.json").read_bytes() == before
    assert not (run / "no.png").exists()


def test_resume_with_the_local_plugin(run: Path) -> None:
    """With the local plugin the run is sampled and resumed, and its own run.toml repeats it."""
    plugin = ("--plugin", run / "my_gan.py")
    assert command("sample", run / "r", "--num-samples", "4", "--out", run / "4.png", *plugin).returncode == 0
    assert (run / "4.png").is_file()
    finished = command("resume", run / "r", "--steps", "3", "--quiet", "--json", *plugin)
    assert json.loads(finished.stdout)["steps"] == 3
    repeated = command("run", "--config", run / "r" / "run.toml", "--dry-run", "--json", *plugin)
    assert json.loads(repeated.stdout)["total_steps"] == 3


def test_never_loaded_unless_named(tmp_path: Path) -> None:
    """A plugin in the working folder, however it is called, is not even read until --plugin names it."""
    for name in ("my_gan.py", "ganforge_plugin.py", "plugin.py", "conftest.py", "plugins/one.py"):
        local(tmp_path / name, "raise RuntimeError('loaded')")
    assert in_process(tmp_path, "list").returncode == 0
    with pytest.raises(UnknownComponentError):
        Registry.discover().find("generator", "my-gan")
    with pytest.raises(PluginError, match="loaded"):
        Registry.discover([Path("my_gan.py")])


def test_no_plugins_leaves_what_is_named(tmp_path: Path) -> None:
    """--no-plugins is about what is installed; a file that the same command names is still loaded."""
    registry = Registry.discover([local(tmp_path / "my_gan.py", GAN)], no_plugins=True)
    assert str(registry.find("generator", "my-gan").source) == "my_gan.py local"


def test_a_package_and_a_plain_folder(tmp_path: Path) -> None:
    """A folder with __init__.py is one plugin, with its own submodules; in any other, each public file is one."""
    package = local(
        tmp_path / "pack" / "__init__.py", "from . import words\n" + provides("loss", "one", "pack.nets:One")
    )
    local(package.parent / "words.py", "")
    loss = "import ganforge\nfrom .words import hookimpl\nclass One(ganforge.Loss):\n"
    loss += "    def discriminator_loss(self, *, real, fake): pass\n    def generator_loss(self, *, real, fake): pass\n"
    local(package.parent / "nets.py", loss)
    plain = tmp_path / "plain"
    for name in ("a", "b", "_private"):
        local(plain / f"{name}.py", provides("loss", name.strip("_")))
    registry = Registry.discover([package.parent, plain], no_plugins=True)
    local_losses = {
        entry.component.name: entry.source for entry in registry.of_kind("loss") if entry.source.version == "local"
    }
    assert {name: source.distribution for name, source in local_losses.items()} == {
        "one": "pack",
        "a": "a.py",
        "b": "b.py",
    }
    assert registry.load(registry.find("loss", "one")).__name__ == "One"
    digest = hashlib.sha256()
    for name in ("__init__.py", "nets.py", "words.py"):
        digest.update(f"{name}\0".encode() + (package.parent / name).read_bytes() + b"\0")
    assert local_losses["one"].sha256 == digest.hexdigest()


@pytest.mark.parametrize("folder", [".", "data"])
def test_a_package_may_import_itself_by_its_name(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Absolute imports of a package by itself work in every form, and its code counts as its own.

    Neither the package nor a plain folder of its name, where Python searches, is taken for a library.
    """
    package = tmp_path / "pack"
    (tmp_path / "data" / "pack").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path / folder)
    imports = "import pack.words\nimport pack.words as first\nfrom pack import words as second\n"
    imports += "from pack.words import hookimpl\nassert first is second is pack.words\n"
    local(package / "__init__.py", imports + provides("loss", "one", "pack.nets:One"))
    local(package / "words.py", "")
    local(package / "nets.py", "from pack.base import Base\nclass One(Base): pass\n")
    base = (
        "import ganforge\nclass Base(ganforge.Loss):\n    def discriminator_loss(self, *, real, fake): return VALUE\n"
    )
    base += "    def generator_loss(self, *, real, fake): pass\n"
    hashes = []
    for value in ("1", "2"):
        local(package / "base.py", base.replace("VALUE", value))
        registry = Registry.discover([package], no_plugins=True)
        cls = registry.load(registry.find("loss", "one"))
        assert cls.__module__.startswith("ganforge_local_pack_")
        hashes.append(code_sha256(cls))
    assert len({None, *hashes}) == 3
    assert "pack" not in sys.modules


@pytest.mark.parametrize(
    "line",
    ["import torch", "import torch.nn as nn", "from torch import nn", "import json", "import sys", "import iniconfig"],
)
def test_a_package_named_like_a_library_imports_neither_in_silence(line: str, tmp_path: Path) -> None:
    """An import that may mean any library or the folder is one error with the fix; the folder's own files are not."""
    library = line.split()[1].partition(".")[0]
    init = f"import {library}.nets\nfrom {library} import nets\n" + provides("loss", "mine")
    package = local(tmp_path / library / "__init__.py", init).parent
    local(package / "nets.py", "")
    Registry.discover([package], no_plugins=True)
    local(package / "nets.py", line)
    finished = command("list", "--plugin", package, "--no-plugins")
    assert (finished.returncode, finished.stdout) == (2, "")
    (message,) = finished.stderr.splitlines()
    assert "may be the library or this folder; rename the folder" in message


@pytest.mark.parametrize("name", ["my_gan.py", "my-gan.py", "my.gan.py", "my gan.py"])
def test_targets_in_its_own_file(name: str, tmp_path: Path) -> None:
    """A text target may name the plugin's own module, by the file's name as Python would spell it."""
    registry = Registry.discover([local(tmp_path / name, GAN)], no_plugins=True)
    cls = registry.load(registry.find("generator", "my-gan"))
    assert cls.__name__ == "MyGan"
    assert cls.__module__ in sys.modules
    assert "my_gan" not in sys.modules


def test_what_is_named_twice_is_loaded_once(tmp_path: Path) -> None:
    """A file named twice, or as itself and with its folder, is one plugin."""
    plugin = local(tmp_path / "plain" / "my_gan.py", GAN)
    registry = Registry.discover([plugin, plugin, plugin.parent, plugin.parent / ".." / "plain"], no_plugins=True)
    assert len([entry for entry in registry.entries if entry.source.path is not None]) == 1


def test_a_file_is_read_again_after_it_was_edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading always runs the present code of the file and its submodules, as the SHA-256 shows."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)  # a compiled file of the same second and size must not win
    package = tmp_path / "pack"
    seen = []
    for name in ("one", "two"):
        local(package / "__init__.py", "from .names import NAME\n" + provides("loss", "x").replace("'x'", "NAME"))
        (package / "names.py").write_text(f"NAME = {name!r}\n")
        registry = Registry.discover([package], no_plugins=True)
        seen += [(entry.component.name, entry.source.sha256) for entry in registry.entries if entry.source.path]
    assert [name for name, _ in seen] == ["one", "two"]
    assert seen[0][1] != seen[1][1]


BROKEN = {
    "import no_such_module": "ModuleNotFoundError: No module named 'no_such_module' (mine.py, line 3)",
    "\n\nraise SystemExit(3)": "cannot be imported: SystemExit: 3 (mine.py, line 5)",
    "def (": "cannot be imported: SyntaxError: invalid syntax (mine.py, line 3)",
    "import json\njson.loads('no')": "Expecting value: line 1 column 1 (char 0) (mine.py, line 4)",
    "@hookimpl\ndef ganforge_component(): pass": "cannot be used (hooks): no hook 'ganforge_component'",
    "x = 1": "cannot be used (hooks): implements no hook",
    provides("loss", "Hinge"): "cannot be used (components): ValueError: component name 'Hinge'",
    provides("loss", "hinge", api=API + 1): "cannot be used (api): loss 'hinge' needs interface version",
}


@pytest.mark.parametrize("source", BROKEN)
def test_a_broken_one_is_an_error(source: str, tmp_path: Path) -> None:
    """A broken local plugin, named by the user, ends the command, exit 2, at its author's line; never a traceback."""
    plugin = local(tmp_path / "mine.py", source)
    finished = command("list", "--json", "--plugin", plugin)
    assert (finished.returncode, finished.stdout) == (2, "")
    assert finished.stderr.startswith(f"error: local plugin {plugin} ")
    assert BROKEN[source] in finished.stderr
    assert len(finished.stderr.splitlines()) == 1


def test_an_error_in_a_file_that_it_imports_is_at_that_line(tmp_path: Path) -> None:
    """In a package the last line of the author's own counts, in whichever of its files it is."""
    package = local(tmp_path / "pack" / "__init__.py", "from . import nets").parent
    local(package / "nets.py", "int('no')")
    with pytest.raises(PluginError, match=r"\(nets\.py, line 3\)"):
        Registry.discover([package])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "no plugin at mine: no such file or folder"),
        (lambda path: path.mkdir(), "no plugin in mine: the folder has no Python files"),
        (lambda path: path.write_text("text"), "mine is not a plugin: a Python file (.py) or a folder is needed"),
    ],
)
def test_invalid_plugin_paths_are_errors(make: object, said: str, tmp_path: Path) -> None:
    """A path that holds no plugin is an error that gives the reason, exit 2."""
    assert callable(make)
    make(tmp_path / "mine")
    finished = command("list", "--plugin", "mine")
    assert finished.returncode == 2
    assert said in finished.stderr


def test_a_local_file_hides_nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A local plugin called like an installed module has its own targets, and leaves that module to others."""
    site = distribution(tmp_path / "site", "losses", provides("loss", "installed", "losses_nets:Loss"))
    monkeypatch.syspath_prepend(str(site))
    plugin = local(tmp_path / "losses.py", provides("loss", "mine", "losses:Mine") + "class Mine: pass\n")
    registry = Registry.discover([plugin])
    assert {entry.component.name for entry in registry.of_kind("loss")} == {"bce", "installed", "mine"}
    assert Path(str(sys.modules["losses"].__file__)).parent == site
    with pytest.raises(PluginError, match=r"losses:Mine does not extend ganforge\.Loss"):
        registry.load(registry.find("loss", "mine"))
    monkeypatch.delitem(sys.modules, "losses")

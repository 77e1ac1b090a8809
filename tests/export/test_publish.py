"""Publication: folder, model card, upload to the Hub and loading from it."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ganforge import load
from ganforge.errors import UsageError
from ganforge.export.card import escape_markdown
from ganforge.plugins.registry import Registry
from ganforge.runs.hub import download
from ganforge.training.run_directory import RunDirectory
from tests.helpers.checkpoints import train_small
from tests.helpers.hub import Hub
from tests.helpers.plugins import command

NO_HUB = importlib.util.find_spec("huggingface_hub") is None
needs_hub = pytest.mark.skipif(NO_HUB, reason="needs huggingface_hub: python -m pip install '.[hub]'")
#: Command line and the images of a published model, in one process.
PROGRAM = """
import sys
from ganforge.cli.app import app
import ganforge
for words in {commands!r}:
    try:
        app(words)
    except SystemExit as end:
        assert not end.code, (words, end.code)
print(ganforge.load("hub:me/digits").sample(3, 5).images.tolist())
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """Train four steps with a moving average and a score."""
    evaluation = ("evaluate_every=4", "num_samples=16", "metric=sliced-wasserstein")
    registry = Registry.discover(no_plugins=True)
    return train_small(registry, tmp_path_factory.mktemp("secret-folder") / "digits", *evaluation)


@pytest.fixture
def hub() -> Iterator[Hub]:
    """Serve the stand-in of the Hub."""
    with Hub() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def environment(hub: Hub, token: str) -> dict[str, str]:
    """Return the environment of a process that finds the stand-in."""
    variables = {"HF_ENDPOINT": hub.address, "HF_TOKEN": token, "HF_HOME": str(Path.cwd() / "hf")}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GANFORGE_", "HF_"))}
    return {**kept, **variables, "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1", "GANFORGE_OFFLINE": "0"}


def test_a_publication_has_a_card_and_is_a_run(run: RunDirectory, tmp_path: Path) -> None:
    """The card has valid metadata, every score with its reference and protocol, and no path; the folder is a run."""
    folder = tmp_path / "published"
    flags = ("--folder-only", "--license", "mit", "--out", folder, "--no-plugins")
    finished = command("publish", run.path, "me/digits", *flags)
    assert (finished.returncode, finished.stdout) == (0, f"folder: {folder}\n")
    card = (folder / "README.md").read_text()
    _, front_matter, text = card.split("---\n", 2)
    metadata = yaml.safe_load(front_matter)
    assert (metadata["library_name"], metadata["license"]) == ("ganforge", "mit")
    (row,) = load(run.path).evaluations
    (metric,) = metadata["model-index"][0]["results"][0]["metrics"]
    assert (metric["type"], metric["value"]) == ("sliced-wasserstein", row.scores["sliced-wasserstein"])
    assert "| sliced-wasserstein | " in text
    assert "16 fakes and 16 real images of the test split of mnist" in text
    assert 'ganforge.load("hub:me/digits")' in text
    assert "secret-folder" not in card
    assert (folder / "samples.png").is_file()
    assert len(load(folder).sample(2)) == 2


def test_another_checkpoint_replaces_an_earlier_publication(run: RunDirectory, tmp_path: Path) -> None:
    """With `--force` the folder has one checkpoint and the files of others; a run directory is never overwritten."""
    flags = ("--folder-only", "--no-plugins", "--out", tmp_path / "published")
    command("publish", run.path, *flags)
    (tmp_path / "published" / "notes.txt").write_text("mine")
    assert command("publish", run.path, *flags).returncode == 2
    assert command("publish", run.path, *flags, "--force", "--checkpoint", "2").returncode == 0
    assert [path.name for path in (tmp_path / "published" / "checkpoints").iterdir()] == ["step-00000002"]
    assert (tmp_path / "published" / "notes.txt").read_text() == "mine"
    before = run.config.read_bytes()
    finished = command("publish", run.path, "--folder-only", "--no-plugins", "--out", run.path, "--force")
    assert f"error: {run.path} is a run directory" in finished.stderr
    assert run.config.read_bytes() == before


def test_a_card_has_each_score_once(run: RunDirectory, tmp_path: Path) -> None:
    """Scores that a later evaluation has too are left out, unless that one was measured in another way."""
    copy = shutil.copytree(run.path, tmp_path / "copy")
    row = json.loads((copy / "evaluation.jsonl").read_text())
    more = row | {"scores": row["scores"] | {"fid": 1.0}}
    other = more | {"protocol": row["protocol"] | {"seed": 7}}
    for rows, count in (([row, more], 1), ([row, other], 2), ([row, row], 1)):
        (copy / "evaluation.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
        command("publish", copy, "--folder-only", "--no-plugins", "--out", tmp_path / "published", "--force")
        card = (tmp_path / "published" / "README.md").read_text()
        assert card.count("| sliced-wasserstein | ") == count
        assert card.count('"type": "sliced-wasserstein"') == count


@pytest.mark.parametrize(
    "name", ["e\x1b[31m\u202e`$(id)` <b>'\"\nerror", "-é", "n\udcff"], ids=["hostile", "dash", "not UTF-8"]
)
def test_the_name_of_a_run_is_text_in_its_card(name: str, run: RunDirectory, tmp_path: Path) -> None:
    """A card is printable, and its commands name the run for a shell and for Python, also with quotes and codes."""
    copy = shutil.copytree(run.path, tmp_path / name)
    command("publish", copy, "--folder-only", "--no-plugins", "--out", tmp_path / "published")
    card = (tmp_path / "published" / "README.md").read_text()
    assert all(line.isprintable() for line in card.split("\n"))
    yaml.safe_load(card.split("---\n", 2)[1])
    (pasted,) = re.findall("^ganforge sample (.*)$", card, re.MULTILINE)
    words = subprocess.run(["bash", "-c", f"printf %s {pasted}"], capture_output=True, check=True).stdout
    assert words.removeprefix(b"./") == os.fsencode(name)
    (argument,) = re.findall(r"^run = ganforge.load\((.*)\)$", card, re.MULTILINE)
    assert ast.literal_eval(argument) == name


@needs_hub
@pytest.mark.slow
def test_what_is_published_can_be_loaded(run: RunDirectory, hub: Hub, tmp_path: Path) -> None:
    """The upload has the folder's files, needs the token, prints it nowhere, and draws the run's images elsewhere."""
    commands = [["publish", str(run.path), "me/digits", "--out", "published", "--no-plugins"]]
    program = [sys.executable, "-c", PROGRAM.format(commands=commands)]
    finished = subprocess.run(
        program, capture_output=True, text=True, check=False, env=environment(hub, hub.token), timeout=200
    )
    assert finished.returncode == 0, finished.stderr
    *lines, images = finished.stdout.splitlines()
    assert lines[-1] == f"published: {hub.address}/me/digits"
    assert json.loads(images) == load(run.path).sample(3, 5).images.tolist()
    written = {path.relative_to("published").as_posix() for path in Path("published").rglob("*") if path.is_file()}
    assert hub.of_model("me/digits").keys() - {".gitattributes"} == written
    assert hub.token not in finished.stdout + finished.stderr
    assert set(hub.downloads) == written - {"README.md", "samples.png"}
    program = [sys.executable, "-m", "ganforge", *commands[0], "--force"]
    refused = subprocess.run(
        program, capture_output=True, text=True, check=False, env=environment(hub, "hf_other"), timeout=200
    )
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "error: me/digits: your token may not write there" in refused.stderr
    assert "hf_other" not in refused.stderr


@needs_hub
def test_without_a_connection_there_is_one_message(run: RunDirectory, tmp_path: Path) -> None:
    """Publishing and loading name the reason and what works without the Hub; nothing is written."""
    finished = command("publish", run.path, "me/digits", "--out", tmp_path / "published", "--no-plugins")
    assert finished.returncode == 2
    assert "error: the Hub cannot be reached: GANFORGE_OFFLINE is set\n→ write the folder alone: --folder-only" in (
        finished.stderr
    )
    assert not (tmp_path / "published").exists()
    finished = command("sample", "hub:me/nothing-of-this-name", "--no-plugins")
    assert "me/nothing-of-this-name is not in the cache of the Hub: GANFORGE_OFFLINE is set" in finished.stderr


def test_names_and_extras_are_checked_first(run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing or invalid name, and a missing huggingface_hub, have one message with a fix."""
    finished = command("publish", run.path, "--no-plugins")
    assert "error: the name on the Hub is missing\n→ add OWNER/NAME, or pass --folder-only" in finished.stderr
    for name in ("digits", "me/../x", "https://huggingface.co/me/x", "me/\x1b[2J"):
        with pytest.raises(UsageError, match="write it as OWNER/NAME"):
            download(name, tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UsageError) as caught:
        download("me/digits", tmp_path)
    assert caught.value.fix == "python -m pip install 'ganforge[hub]'"


def test_text_from_outside_has_no_meaning_in_a_card() -> None:
    """Names of classes and data stay one short line without markup, links, HTML or template syntax."""
    text = "<script>\n| [x](y) {{ 1 }} `code` *b*" + "z" * 500
    escaped = escape_markdown(text)
    assert "\n" not in escaped
    assert escaped.startswith("\\<script\\> \\| \\[x\\](y) \\{\\{ 1 \\}\\} \\`code\\` \\*b\\*")
    assert len(escaped) < 250

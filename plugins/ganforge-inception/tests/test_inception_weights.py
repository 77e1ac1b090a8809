"""Laws of the weights: where they are looked for, that they are the published ones, and that no file runs code."""

from __future__ import annotations

import pickle
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from ganforge_inception import weights
from ganforge_inception.fetch import FILE
from inception_parts import built, sha256
from safetensors.torch import save_file
from torch import Tensor

from ganforge.errors import DataError

pytest_plugins = "inception_fixtures"

Files = tuple[Path, Path]


class Quiet(SimpleHTTPRequestHandler):
    """Server of files without output."""

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
        """Print nothing."""


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Serve a folder; give its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}/{FILE}"
        serving.shutdown()
        thread.join()


@pytest.fixture
def published(files: Files, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the random weights be the published ones."""
    monkeypatch.setattr(weights, "SHA256", sha256(files[0]))
    return files[0]


def place(source: Path, folder: Path) -> Path:
    """Put a file into a folder under the published name; return that."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).symlink_to(source)
    return folder / FILE


def refused(file: Path | None) -> DataError:
    """Return the error that weights are refused with; its message is one line, and it has a fix."""
    with pytest.raises(DataError) as error:
        built(file)
    assert len(error.value.message.splitlines()) == 1
    assert error.value.fix is not None
    assert weights.URL_INCEPTION_V3 in error.value.fix  # type: ignore[attr-defined]  # imported there, replaced here
    if file is not None:
        assert str(file) in error.value.message
    return error.value


def test_offline_error_names_file_and_weights_option(cache: Path, tmp_path: Path) -> None:
    """One message names the file, where it was looked for, where to get it, and the option that takes it."""
    error = refused(None)
    assert FILE in error.message
    assert f"{cache} or {tmp_path / 'torch' / 'hub'}" in error.message
    assert "GANFORGE_OFFLINE is set" in error.message
    assert error.fix is not None
    assert "--features.weights FILE" in error.fix
    assert str(cache / "inception") in error.fix


@pytest.mark.parametrize("where", ["cache/ganforge/inception", "torch/hub/checkpoints", "named", "named/inception"])
def test_it_is_found(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """The published file is found in the user's cache, in torch.hub's and below GANFORGE_DATA, without a network."""
    monkeypatch.setenv("GANFORGE_DATA", str(tmp_path / "named"))
    place(published, tmp_path / where)
    assert weights.find_weights() == tmp_path / where / FILE


def test_the_published_file_is_read(published: Path, files: Files, cache: Path) -> None:
    """Found or named, the pickle gives the weights that .safetensors gives."""
    expected = built(files[1]).fingerprint()
    assert built(published).fingerprint() == expected
    place(published, cache / "inception")
    assert built(None).fingerprint() == expected


def test_a_damaged_file_is_not_opened(files: Files, cache: Path) -> None:
    """Only the published bytes are taken: the error names the file and both hashes."""
    place(files[0], cache / "inception")
    error = refused(None)
    assert f"is damaged: its SHA-256 is {sha256(files[0])}, not 6726825d" in error.message


class Trap:
    """Object that writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("writer", ["pickle", "torch"])
def test_no_file_runs_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: str) -> None:
    """A pickle that is not the published file isn't opened; with its SHA-256 forged, it still runs nothing."""
    file, mark = tmp_path / "trap.pth", tmp_path / "ran"
    if writer == "pickle":
        file.write_bytes(pickle.dumps(Trap(mark), protocol=2))
    else:
        torch.save(Trap(mark), file)
    assert "a pickle may run code" in refused(file).message
    monkeypatch.setattr(weights, "SHA256", sha256(file))
    with pytest.raises(pickle.UnpicklingError):
        built(file)
    assert not mark.exists()
    with file.open("rb") as opened:  # it is a trap
        pickle.load(opened) if writer == "pickle" else torch.load(opened, weights_only=False)  # noqa: S301
    assert mark.exists()


def test_weights_that_do_not_fit(tmp_path: Path, state: dict[str, Tensor]) -> None:
    """Each is refused by one message that names the file and what is wrong with it."""
    file = tmp_path / "own.safetensors"
    assert "cannot be read: No such file" in refused(file).message
    file.write_bytes(b"no weights at all")
    assert "nor a .safetensors file" in refused(file).message
    save_file({"fc.bias": state["fc.bias"]}, file)
    message = refused(file).message
    assert "does not hold weights of this network" in message
    assert "Conv2d_1a_3x3.conv.weight" in message
    assert len(message) < 600
    save_file({**state, "fc.bias": state["fc.bias"][:1000]}, file)
    assert "size mismatch for fc.bias" in refused(file).message
    save_file({**state, "fc.bias": state["fc.bias"] / 0}, file)
    assert "fc.bias has numbers that are not finite" in refused(file).message
    with file.open("wb") as opened:
        opened.truncate(weights.LIMIT_BYTES + 1)  # sparse: no such file takes up the disk
    assert "is longer than" in refused(file).message
    assert "cannot be read" in refused(tmp_path).message


def test_it_is_downloaded_whole(
    published: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A downloaded file goes into the first folder, and is there the next time without a network."""
    place(published, tmp_path / "served")
    monkeypatch.delenv("GANFORGE_OFFLINE")
    with server(tmp_path / "served") as address:
        monkeypatch.setattr(weights, "URL_INCEPTION_V3", address)
        assert weights.find_weights() == cache / "inception" / FILE
    assert "downloading Inception weights (96 MB)" in capsys.readouterr().err
    assert sha256(cache / "inception" / FILE) == weights.SHA256
    assert weights.find_weights() == cache / "inception" / FILE


def test_another_file_is_not_kept(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a server sends other bytes, or none, nothing is left behind."""
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / FILE).write_bytes(b"a page that asks you to log in")
    monkeypatch.delenv("GANFORGE_OFFLINE")
    with server(tmp_path / "served") as address:
        monkeypatch.setattr(weights, "URL_INCEPTION_V3", address)
        assert "has other bytes than the published file" in refused(None).message
        (tmp_path / "served" / FILE).unlink()
        assert "404" in refused(None).message
    assert "cannot be reached" in refused(None).message
    assert not list(cache.rglob("*"))


def test_downloading_imports_no_torch() -> None:
    """The process that downloads starts fast."""
    assert weights.FETCHER[0] == sys.executable
    from ganforge.testing.sandbox import heavy_imports  # noqa: PLC0415 - it starts a process

    assert heavy_imports("ganforge_inception.fetch") == []

"""Laws of MNIST's download: whole or not at all, within a bounded time, and never a reason not to train."""

from __future__ import annotations

import gzip
import hashlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from mnist_parts import COUNTS, cache, everything_below, files, mnist

from ganforge.builtin import mnist_download, mnist_files
from ganforge.errors import DataError

__all__ = ["cache"]  # a fixture for every test here


@contextmanager
def server(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """Serve HTTP on this machine; yield the address and stop at the end."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Ignore clients that gave up, which is what they should do here."""

    with Server(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_port}/mnist/"
        finally:
            http.shutdown()
            thread.join()


def serve_whole(request: BaseHTTPRequestHandler) -> None:
    """Answer with the file that was asked for."""
    content = files()[Path(request.path).stem]
    request.send_response(200)
    request.end_headers()
    request.wfile.write(gzip.compress(content))


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the small files be the original ones."""
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files().items()}
    for module in (mnist_download, mnist_files):
        monkeypatch.setattr(module, "SHA256", hashes)


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("named", [True, False])
def test_a_download_is_whole_and_is_found_again(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, *, named: bool
) -> None:
    """It goes to `root`, or else to the cache, holds exactly the four files, and the next run needs no network."""
    place, root = (tmp_path / "new", tmp_path / "new") if named else (cache, None)
    with server(serve_whole) as mirror:
        monkeypatch.setattr(mnist_download, "MIRRORS", (mirror,))
        data = mnist(root)
        assert data.info.sizes == COUNTS
    assert data.source == f"full MNIST from {place}/MNIST/raw"
    assert data.notices == ()
    assert everything_below(place) == sorted(["MNIST", "MNIST/raw", *(f"MNIST/raw/{name}" for name in files())])
    assert (place / "MNIST/raw").stat().st_mode & 0o055, "others may use what one person downloaded"
    again = mnist(root, "full")
    assert again.info.fingerprint == data.info.fingerprint


@pytest.mark.usefixtures("known")
def test_a_download_completes_a_part_in_the_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is there already, with damaged files, becomes whole."""
    (cache / "MNIST" / "raw").mkdir(parents=True)
    (cache / "MNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(b"half")
    with server(serve_whole) as mirror:
        monkeypatch.setattr(mnist_download, "MIRRORS", (mirror,))
        assert mnist(source="full").info.sizes == COUNTS


@pytest.mark.usefixtures("known")
def test_the_second_mirror_serves_where_the_first_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mirror that answers with an error is passed over."""
    with server(lambda request: request.send_error(503)) as broken, server(serve_whole) as mirror:
        monkeypatch.setattr(mnist_download, "MIRRORS", (broken, mirror))
        assert mnist(source="full").info.sizes == COUNTS


@pytest.mark.usefixtures("known")
def test_a_proxy_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that reaches the mirrors only through a proxy downloads; a proxy that is away is named."""
    monkeypatch.setattr(mnist_download, "MIRRORS", ("http://mirror.invalid/mnist/",))
    monkeypatch.setenv("http_proxy", "http://127.0.0.2:1")
    with pytest.raises(DataError, match=r"127\.0\.0\.2 cannot be reached"):
        mnist(source="full").load("train")
    with server(serve_whole) as proxy:
        monkeypatch.setenv("http_proxy", proxy)
        assert mnist(source="full").info.sizes == COUNTS


def never(request: BaseHTTPRequestHandler) -> None:
    """Accept the request and say nothing for longer than any limit of these tests."""
    request.connection.settimeout(20)
    request.rfile.read(1)


def drip(request: BaseHTTPRequestHandler) -> None:
    """Send a byte now and then, so that no single read ever times out."""
    request.send_response(200)
    request.end_headers()
    for _ in range(200):
        request.wfile.write(b"\x1f")
        time.sleep(0.1)


def flood(request: BaseHTTPRequestHandler) -> None:
    """Send without end."""
    request.send_response(200)
    request.end_headers()
    while True:
        request.wfile.write(bytes(1 << 20))


def wrong_bytes(request: BaseHTTPRequestHandler) -> None:
    """Send a gzip file of something else."""
    request.send_response(200)
    request.end_headers()
    request.wfile.write(gzip.compress(b"something else"))


def cut_off(request: BaseHTTPRequestHandler) -> None:
    """Announce more than is sent."""
    request.send_response(200)
    request.send_header("Content-Length", "1000")
    request.end_headers()
    request.wfile.write(b"\x1f\x8b")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda request: request.send_error(404), "404"),
        (wrong_bytes, "other bytes"),
        (flood, "something else"),
        (cut_off, "other bytes"),
        (lambda request: request.wfile.write(b"no HTTP\r\n\r\n"), "no HTTP"),
        (never, "timed out"),
        (drip, "longer than 1 seconds"),
    ],
    ids=["404", "wrong", "flood", "cut-off", "garbage", "never", "drip"],
)
def test_a_failed_download_ends_in_time_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Callable[[BaseHTTPRequestHandler], None], words: str
) -> None:
    """Whatever a server does, `auto` gives the sample and says why, `full` raises; no file is left behind."""
    monkeypatch.setattr(mnist_download, "SOCKET_SECONDS", 0.5)
    monkeypatch.setattr(mnist_download, "TOTAL_SECONDS", 1.0)
    with server(answer) as mirror:
        monkeypatch.setattr(mnist_download, "MIRRORS", (mirror,))
        began = time.monotonic()
        data = mnist(tmp_path / "data")
        assert len(data.load("test")) == 2_000
        assert time.monotonic() - began < 8
        for thread in threading.enumerate():
            if thread.name == "ganforge-mnist":
                thread.join(5)
                assert not thread.is_alive(), "what was left behind ends soon as well"
    assert words in data.source
    assert str(tmp_path / "data") in data.source
    assert data.notices == (data.source,)
    assert "\n" not in data.source
    assert everything_below(tmp_path) == []


def test_offline_is_known_at_once_and_full_says_what_to_do(tmp_path: Path, cache: Path) -> None:
    """Where nothing answers, `full` names the places, the reason, and both ways out; `auto` takes the sample."""
    with pytest.raises(DataError) as raised:
        mnist(tmp_path / "data", "full").load("train")
    for words in (
        str(tmp_path / "data"),
        str(cache),
        "127.0.0.1 cannot be reached",
        "--data.root",
        "--data.source sample",
    ):
        assert words in str(raised.value)
    assert len(mnist(tmp_path / "data").load("test")) == 2_000
    assert everything_below(tmp_path) == []


def test_a_slow_name_server_does_not_hold_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-up that does not return, which nothing can interrupt, is left behind after the probe's time."""
    done = threading.Event()
    monkeypatch.setattr(mnist_download, "PROBE_SECONDS", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: done.wait(20) and [])
    data = mnist(tmp_path)
    assert len(data.load("test")) == 2_000
    done.set()
    assert "does not answer within 0.2 seconds" in data.source


def test_offline_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """GANFORGE_OFFLINE=1 opens no connection; 0 and nothing mean no."""
    tried = []
    with server(lambda request: tried.append(request.path)) as mirror:
        monkeypatch.setattr(mnist_download, "MIRRORS", (mirror,))
        monkeypatch.setenv("GANFORGE_OFFLINE", "1")
        data = mnist()
        data.load("test")
        assert "GANFORGE_OFFLINE is set" in data.source
        assert not tried
        monkeypatch.setenv("GANFORGE_OFFLINE", "0")
        mnist().load("test")
        assert tried


@pytest.mark.usefixtures("known")
def test_a_destination_that_cannot_be_written_is_known_before_the_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A destination that cannot be made costs no download, and is the reason that is given."""
    (tmp_path / "cache").touch()
    tried = []
    with server(lambda request: tried.append(request.path)) as mirror:
        monkeypatch.setattr(mnist_download, "MIRRORS", (mirror,))
        data = mnist()
        data.load("test")
    assert f"{tmp_path}/cache cannot be written" in data.source
    assert not tried


@pytest.mark.usefixtures("known")
def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error while the files are written removes what was written, and is the reason that is given."""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with server(serve_whole) as mirror:
        monkeypatch.setattr(mnist_download, "MIRRORS", (mirror,))
        data = mnist(tmp_path / "data")
        data.load("test")
    assert "No space left on device" in data.source
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]

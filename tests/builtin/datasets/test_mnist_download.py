"""Laws of MNIST's download: whole or not at all, within a bounded time, and never a reason not to train."""

from __future__ import annotations

import gzip
import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torchvision
from packaging.version import Version
from torchvision.datasets import MNIST

from ganforge.builtin.datasets import mnist_files
from ganforge.errors import DataError
from ganforge.utils import downloads
from tests.helpers.mnist_files import COUNTS, cache, everything_below, files, mnist, put

__all__ = ["cache"]  # a fixture for every test here

MIRRORS = mnist_files.MIRRORS  # before that fixture puts them out of reach

Answer = Callable[[BaseHTTPRequestHandler], None]
Use = Callable[..., None]


@contextmanager
def server(answer: Answer) -> Iterator[str]:
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


PACKED = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in files().items()}

MD5 = {name: hashlib.md5(packed, usedforsecurity=False).hexdigest() for name, packed in PACKED.items()}

#: The real downloader, except that the small files are the original ones and that it waits less for a silent server.
SMALL = f"""
import sys
from pathlib import Path
from ganforge.utils import downloads
from ganforge.builtin.datasets import mnist_fetch
mnist_fetch.MNIST.resources = {list(MD5.items())}
downloads.SOCKET_SECONDS = 0.5
mnist_fetch.main(Path(sys.argv[1]), sys.argv[2:])
"""

#: Another one, which fetches from a folder; it imports nothing, for laws of what comes before and after.
COPYING = "import shutil, sys; shutil.copytree({!r}, sys.argv[1] + '/MNIST/raw')"


def serve(request: BaseHTTPRequestHandler, content: bytes) -> None:
    """Answer with some bytes."""
    request.send_response(200)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content)


def serve_whole(request: BaseHTTPRequestHandler) -> None:
    """Answer with the requested file."""
    serve(request, PACKED[Path(request.path).name])


def refuse(request: BaseHTTPRequestHandler) -> None:
    """Answer that the file does not exist."""
    request.send_error(404)


def serve_wrong(request: BaseHTTPRequestHandler) -> None:
    """Answer with a file of something else."""
    serve(request, gzip.compress(b"something else"))


def never(request: BaseHTTPRequestHandler) -> None:
    """Keep silent until the client disconnects."""
    request.connection.settimeout(60)
    request.rfile.read(1)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the small files be the original ones."""
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files().items()}
    monkeypatch.setattr(mnist_files, "SHA256", hashes)


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Use:
    """Return what sets the mirrors and the script of the process that downloads."""

    def use(*mirrors: str, script: str = SMALL) -> None:
        monkeypatch.setattr(mnist_files, "MIRRORS", mirrors)
        monkeypatch.setattr(mnist_files, "DOWNLOADER", (sys.executable, "-c", script))

    return use


def test_the_mirrors_are_torchvisions() -> None:
    """The addresses, repeated since importing torchvision takes seconds, are torchvision's."""
    assert list(MIRRORS) == MNIST.mirrors


@pytest.mark.usefixtures("known")
def test_torchvision_downloads_from_the_first_mirror_that_serves(cache: Path, use: Use) -> None:
    """Mirrors that refuse or answer with an error are passed over; the next run needs no network."""
    with server(refuse) as broken, server(serve_whole) as mirror:
        use("http://127.0.0.1:1/", broken, mirror)
        data = mnist()
        assert data.info.sizes == COUNTS
    assert data.source == f"full MNIST from {cache}/MNIST/raw"
    assert data.notices == ()
    assert everything_below(cache) == sorted(["MNIST", "MNIST/raw", *(f"MNIST/raw/{name}" for name in files())])
    assert mnist(source="full").info.fingerprint == data.info.fingerprint


@pytest.mark.usefixtures("known")
def test_a_proxy_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: Use) -> None:
    """A proxy in front of the mirrors is probed in their place; one that is away is named."""
    use("http://mirror.invalid/mnist/", script=COPYING.format(str(put(tmp_path / "served"))))
    for proxy, words in (("http://127.0.0.2:1", r"127\.0\.0\.2 cannot be"), ("http://127.0.0.2:x", "Port could not")):
        monkeypatch.setenv("http_proxy", proxy)
        with pytest.raises(DataError, match=words):
            mnist(source="full").open("train")
    with server(never) as proxy:
        monkeypatch.setenv("http_proxy", proxy)
        assert mnist(source="full").info.sizes == COUNTS


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (
            [refuse, serve_wrong],
            ["/: HTTP Error 404: Not Found; http://", "/: File not found or corrupted;"]
            if Version(torchvision.__version__) >= Version("0.27")  # before, a corrupted file is the only reason
            else ["File not found or corrupted"],
        ),
        ([never], ["could not be downloaded: timed out;"]),
    ],
    ids=["errors", "silence"],
)
def test_failed_download_reports_the_reason_and_leaves_no_files(
    tmp_path: Path, use: Use, answers: list[Answer], expected: list[str]
) -> None:
    """For any failure of a server, `auto` is the sample, with torchvision's reason in one line, and no file is left."""
    with ExitStack() as stack:
        use(*(stack.enter_context(server(answer)) for answer in answers))
        data = mnist(tmp_path / "data")
        assert len(data.open("test")) == 2_000
    assert all(word in data.notices[0] for word in expected)
    assert str(tmp_path / "data") in data.notices[0]
    assert data.source == "MNIST: the 10,000 + 2,000 digits that ship with ganforge"
    assert data.notices[0].isprintable()
    assert everything_below(tmp_path) == []


def test_a_download_has_a_time_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: Use) -> None:
    """A process that takes too long is killed, and what it wrote is removed."""
    process_id = tmp_path / "process"
    script = "pathlib.Path(sys.argv[1], 'half').touch(); time.sleep(60)"
    with server(never) as mirror:
        use(
            mirror,
            script=f"import os, pathlib, sys, time; open({str(process_id)!r}, 'w').write(str(os.getpid())); {script}",
        )
        monkeypatch.setattr(mnist_files, "TOTAL_SECONDS", 1.0)
        began = time.monotonic()
        data = mnist(tmp_path / "data")
        data.open("test")
        assert time.monotonic() - began < 20
    assert "it took longer than 1 seconds" in data.notices[0]
    with pytest.raises(ProcessLookupError):
        os.kill(int(process_id.read_text()), 0)
    assert everything_below(tmp_path) == ["process"]


def test_ctrl_c_leaves_nothing(tmp_path: Path, use: Use) -> None:
    """An interrupt ends the download as well, at once, and removes what it wrote."""
    script = "pathlib.Path(sys.argv[1], 'half').touch(); os.kill(os.getppid(), signal.SIGINT); time.sleep(60)"
    with server(never) as mirror:
        use(mirror, script=f"import os, pathlib, signal, sys, time; {script}")
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            mnist(tmp_path / "data").open("test")
        assert time.monotonic() - began < 20
    assert everything_below(tmp_path) == []


def test_download_ends_with_its_parent_process(tmp_path: Path) -> None:
    """SIGKILL ends the download as well, and its files are removed."""
    requested, given_up = threading.Event(), threading.Event()

    def answer(request: BaseHTTPRequestHandler) -> None:
        requested.set()
        never(request)
        given_up.set()

    with server(answer) as mirror:
        script = f"""
from pathlib import Path
from ganforge.builtin.datasets import mnist_files
mnist_files.MIRRORS = ({mirror!r},)
mnist_files.download_mnist(Path({str(tmp_path / "data")!r}))
"""
        with subprocess.Popen([sys.executable, "-c", script]) as process:
            assert requested.wait(60)
            assert any(path.endswith("MNIST/raw") for path in everything_below(tmp_path)), "in a temporary folder"
            process.kill()
        assert given_up.wait(10)
        while everything_below(tmp_path):
            time.sleep(0.01)


def test_offline_machine_starts_no_download_and_full_raises_data_error(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an answer, `full` names the places, the reason, and both ways out; `auto` takes the sample."""
    monkeypatch.setattr(mnist_files, "DOWNLOADER", (str(tmp_path / "missing"),))
    with pytest.raises(DataError) as raised:
        mnist(tmp_path / "data", "full").open("train")
    for words in (
        str(tmp_path / "data"),
        str(cache),
        "127.0.0.1 cannot be reached: Connection refused",
        "--data.root",
        "--data.source sample",
    ):
        assert words in f"{raised.value.message} {raised.value.fix}"
    assert len(mnist(tmp_path / "data").open("test")) == 2_000
    assert everything_below(tmp_path) == []


def test_a_slow_name_server_does_not_hold_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-up that does not return, which nothing can interrupt, is left behind after the probe's time."""
    done = threading.Event()
    monkeypatch.setattr(downloads, "PROBE_SECONDS", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: done.wait(20) and [])
    data = mnist(tmp_path)
    assert len(data.open("test")) == 2_000
    done.set()
    assert "no answer within 0.2 seconds" in data.notices[0]


def test_offline_environment_variable_disables_downloads(monkeypatch: pytest.MonkeyPatch, use: Use) -> None:
    """GANFORGE_OFFLINE=1 opens no connection; 0 and nothing mean no."""
    with server(never) as mirror:
        use(mirror, script="raise SystemExit('\\x1b[31mtried')")
        monkeypatch.setenv("GANFORGE_OFFLINE", "1")
        data = mnist()
        data.open("test")
        assert "GANFORGE_OFFLINE is set" in data.notices[0]
        monkeypatch.setenv("GANFORGE_OFFLINE", "0")
        data = mnist()
        data.open("test")
        assert r"could not be downloaded: \x1b[31mtried" in data.notices[0]


def test_broken_download_process_is_one_line(monkeypatch: pytest.MonkeyPatch, use: Use) -> None:
    """A downloader that breaks or that ends without a reason is reported in one line."""
    with server(never) as mirror:
        use(mirror, script="open('/missing/\\x1b[31m')")
        with pytest.raises(DataError, match=r"downloaded: FileNotFoundError: \[Errno 2\] No such file"):
            mnist(source="full").open("test")
        use(mirror, script="import os; os.kill(os.getpid(), 9)")
        with pytest.raises(DataError, match="could not be downloaded: exit status -9"):
            mnist(source="full").open("test")


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("half", [False, True], ids=["new", "a part is there"])
def test_what_is_downloaded_is_put_into_place(tmp_path: Path, cache: Path, use: Use, *, half: bool) -> None:
    """The four files come into a new folder, which others may read, or replace what lay in the cache."""
    folder = cache / "MNIST" / "raw"
    if half:
        folder.mkdir(parents=True)
        (folder / "train-images-idx3-ubyte").write_bytes(b"half")
    with server(never) as mirror:
        use(mirror, script=COPYING.format(str(put(tmp_path / "served"))))
        assert mnist(source="full").info.sizes == COUNTS
    assert everything_below(folder) == sorted(files())
    assert folder.stat().st_mode & 0o055, "others may use what one person downloaded"
    assert {path.name for place in (tmp_path, cache) for path in place.iterdir()} == {"served", "cache", "MNIST"}


def test_other_bytes_than_the_original_are_refused(tmp_path: Path, cache: Path, use: Use) -> None:
    """Files that torchvision would take, but whose SHA-256 differs, are not kept."""
    with server(never) as mirror:
        use(mirror, script=COPYING.format(str(put(tmp_path / "served"))))
        data = mnist()
        data.open("test")
    assert "train-images-idx3-ubyte differs from the original (SHA-256)" in data.notices[0]
    assert [path.name for path in tmp_path.iterdir()] == ["served"]


def test_a_destination_that_cannot_be_written_is_known_before_the_download(tmp_path: Path, use: Use) -> None:
    """A destination that cannot be made costs no download, and is the reason that is given."""
    (tmp_path / "cache").touch()
    with server(never) as mirror:
        use(mirror, script="raise SystemExit('tried')")
        data = mnist()
        data.open("test")
    assert f"{tmp_path}/cache cannot be written" in data.notices[0]


@pytest.mark.usefixtures("known")
def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: Use) -> None:
    """An error while the files are stored removes what was written, and is the reason that is given."""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with server(never) as mirror:
        use(mirror, script=COPYING.format(str(put(tmp_path / "served"))))
        data = mnist(tmp_path / "data")
        data.open("test")
    assert f"{tmp_path}/data cannot be written: No space left on device" in data.notices[0]
    assert [path.name for path in tmp_path.iterdir()] == ["served"]

"""Server of the page: nonsense, attacks, tokens, ports and signals, with the real command."""

from __future__ import annotations

import json
import signal
import socket
import time
from pathlib import Path

import pytest
from explore_parts import Served, run, served
from ganforge_explore.server import FIRST_PORT, listen

from ganforge.errors import UsageError

pytest_plugins = "explore_fixtures"

SCENE = {"step": 2, "start": {"seed": 0}}
PNG = b"\x89PNG"
NONSENSE = {
    "nothing": b"",
    "text": b"hello",
    "bytes": b"\xff\xfe\x00",
    "a list": b"[]",
    "no start": b'{"step": 2}',
    "two bases": b'{"step": 2, "start": {"seed": 1, "values": [1]}}',
    "no base": b'{"step": 2, "start": {}}',
    "a further key": b'{"step": 2, "start": {"seed": 0}, "path": "/etc/passwd"}',
    "a negative seed": b'{"step": 2, "start": {"seed": -1}}',
    "a giant seed": b'{"step": 2, "start": {"seed": 1' + b"0" * 5000 + b"}}",
    "a text as seed": b'{"step": 2, "start": {"seed": "0"}}',
    "a fraction as seed": b'{"step": 2, "start": {"seed": 0.5}}',
    "a boolean as seed": b'{"step": 2, "start": {"seed": true}}',
    "NaN": b'{"step": 2, "start": {"seed": 0}, "amounts": {"pc0": NaN}}',
    "infinity": b'{"step": 2, "start": {"seed": 0}, "amounts": {"pc0": 1e999}}',
    "out of range": b'{"step": 2, "start": {"seed": 0}, "amounts": {"pc0": 11}}',
    "a text as amount": b'{"step": 2, "start": {"seed": 0}, "amounts": {"pc0": "3"}}',
    "t above 1": b'{"step": 2, "start": {"seed": 0}, "end": {"seed": 1}, "t": 1.5}',
    "a path as step": b'{"step": "../../etc", "start": {"seed": 0}}',
    "a giant step": b'{"step": 999999999999, "start": {"seed": 0}}',
    "a condition without need": b'{"step": 2, "start": {"seed": 0}, "condition": 3}',
    "too few values": b'{"step": 2, "start": {"values": [1, 2]}}',
    "nesting": b'{"step": 2, "start": ' + b"[" * 100_000,
    "many entries": json.dumps({**SCENE, "amounts": {str(number): 0 for number in range(20_000)}}).encode(),
    "too long": b'{"step": 2, "start": {"seed": 0}}' + b" " * (5 << 20),
}
ATTACKS = (
    "/../../../../etc/passwd",
    "/..%2f..%2f..%2f..%2fetc%2fpasswd",
    "/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "//etc/passwd",
    "/etc/passwd",
    "/page.js/../../../etc/passwd",
    "/page.js%00.png",
    "/page/page.js",
    "/server.py",
    "/run.toml",
    "/file=/etc/passwd",
    "/gradio_api/file=/etc/passwd",
    "/static/..%5c..%5cetc%5cpasswd",
    "/?file=/etc/passwd&path=/etc/passwd",
    "/facts?run=/etc",
)


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_answered_with_one_message(page: Served, name: str) -> None:
    """Each action refuses a document that is not a scene with status 400 and one line, and continues to answer."""
    for action in ("picture", "point", "latents", "nearest"):
        try:
            status, content = page.post(f"/{action}", NONSENSE[name])
        except (BrokenPipeError, ConnectionResetError):  # the server has refused it before its end
            assert name == "too long"
            continue
        assert status == 400
        answer = json.loads(content)
        assert "\n" not in answer["error"]
        assert "Traceback" not in answer["error"]
    status, content = page.post("/picture", SCENE)
    assert (status, content[:4]) == (200, PNG)


def test_no_path_reaches_the_file_system(page: Served, digits: Path) -> None:
    """Addresses other than those of the page are unknown, queries are ignored, and nothing can be uploaded."""
    before = sorted(digits.rglob("*"))
    for path in ATTACKS:
        status, content = page.request("GET", path)
        assert b"root:" not in content, path
        assert status == (200 if path.startswith(("/?", "/facts?")) else 404), path
    for method in ("PUT", "DELETE", "PATCH", "POST"):
        for path in ("/", "/page.js", "/facts", "/upload", "/run.toml"):
            assert page.request(method, path, b"text")[0] in {404, 405}
    assert sorted(digits.rglob("*")) == before


def test_foreign_pages_cannot_use_the_server(page: Served) -> None:
    """Another Host, as of DNS rebinding, and a form of another page are refused; the headers confine the page."""
    for host in ("evil.example", f"evil.example:{page.port}", "127.0.0.1.evil.example", "", "[::1", "10.0.0.1"):
        assert page.request("GET", "/facts", Host=host)[0] in {400, 403}, host
    for host in ("localhost", f"localhost:{page.port}", "[::1]:80", "127.0.0.1"):
        assert page.request("GET", "/facts", Host=host)[0] == 200, host
    body = json.dumps(SCENE).encode()
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        assert page.request("POST", "/picture", body, Content_Type=media_type)[0] == 400
    _, headers, _ = page.response("GET", "/")
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Origin" not in headers


def test_an_open_address_needs_the_token(digits: Path) -> None:
    """With --host 0.0.0.0 every request needs the token of the shown address, or the cookie that it gives."""
    with served(digits, "--host", "0.0.0.0") as opened:  # noqa: S104 - what is tested
        path, _, token = opened.address.rpartition("?token=")
        assert len(token) >= 20
        assert path.endswith(f":{opened.port}/")
        for attempt in ("/", "/facts", "/page.js", "/?token=", "/?token=wrong", "/?token=%ff", f"/?token={token[:-1]}"):
            assert opened.request("GET", attempt)[0] == 403, attempt
        assert opened.post("/picture", SCENE)[0] == 403
        assert opened.post("/picture", SCENE, Cookie=f"ganforge-explore-{opened.port}=wrong")[0] == 403
        status, headers, _ = opened.response("GET", f"/?token={token}")
        assert (status, headers["Location"]) == (303, "./")
        assert "HttpOnly" in headers["Set-Cookie"]
        cookie = headers["Set-Cookie"].partition(";")[0]
        assert token not in opened.request("GET", "/", Cookie=cookie)[1].decode()
        status, content = opened.post("/picture", SCENE, Cookie=cookie)
        assert (status, content[:4]) == (200, PNG)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_signals_end_the_server(digits: Path, number: signal.Signals, code: int) -> None:
    """Ctrl-C and SIGTERM end it without a traceback during a search with an open connection; the port is free then."""
    with served(digits) as running, socket.create_connection(("127.0.0.1", running.port)) as visitor:
        body = json.dumps(SCENE).encode()
        head = ["POST /nearest HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
        visitor.sendall("\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body)
        time.sleep(0.5)
        running.process.send_signal(number)
        _, problems = running.process.communicate(timeout=20)
        assert (running.process.returncode, problems) == (code, "")
        listen("127.0.0.1", running.port).close()


def test_an_early_interrupt_prints_nothing(digits: Path) -> None:
    """Ctrl-C at the moment at which the address appears ends the server without a warning."""
    with served(digits) as running:
        running.process.send_signal(signal.SIGINT)
        _, problems = running.process.communicate(timeout=20)
        assert (running.process.returncode, problems) == (0, "")


def test_a_taken_port_is_one_error_or_the_next_one() -> None:
    """An explicit port that is taken is an error; without one the next free port is taken."""
    with listen("127.0.0.1", None) as first, listen("127.0.0.1", None) as second:
        ports = first.getsockname()[1], second.getsockname()[1]
        assert FIRST_PORT <= ports[0] < ports[1]
        with pytest.raises(
            UsageError, match=rf"cannot listen on 127.0.0.1, port {ports[0]}: Address already in use(\n|$)"
        ) as caught:
            listen("127.0.0.1", ports[0])
        assert "--port" in str(caught.value.fix)
    for host in ("256.256.256.256", "no.such.host.invalid", "x" * 300, "192.0.2.1"):
        with pytest.raises(UsageError, match="cannot listen on"):
            listen(host, None)


def test_a_run_without_checkpoint_is_one_message(
    tmp_path: Path, digits: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names the run and how to train it."""
    for name in ("run.toml", "run.json"):
        (tmp_path / name).write_bytes((digits / name).read_bytes())
    assert run("explore", tmp_path) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path} has no checkpoint yet")
    assert "ganforge resume" in error

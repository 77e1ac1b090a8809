"""Laws of the live display on pseudo-terminals, in processes of its own."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING

import pyte
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# A run in a process of its own: it takes the terminal, shows rows and samples, and then waits for Ctrl-C or fails.
CHILD = """
import fcntl, os, sys, termios, time
import torch
from ganforge.cli._display import make_display

if os.isatty(0):
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
samples = torch.ones(28, 28).triu().mul(255).byte().expand(16, 1, 28, 28)
row = {"step": 1200, "epoch": 6.3, "images_seen": 72000, "loss/discriminator": 0.71, "loss/generator": 2.3,
       "prob/real": 0.72, "prob/fake": 0.24, "term/r1": 0.031, "images_per_second": 890.0, "elapsed_seconds": 80.0}
with make_display(run_name="mnist-dcgan", epochs=20, quiet=False) as display:
    display.on_train_start(step=1000, total_steps=3340)
    display.on_sample(samples)
    display.on_message("precision: float32")
    display.on_message("precision: float32")
    time.sleep(0.6)
    display.on_log(row | {"step": 1100, "epoch": 5.3})
    time.sleep(0.1)
    display.on_log(row)
    if "fail" in sys.argv:
        time.sleep(0.6)
        raise ValueError("out of luck")
    if "wait" in sys.argv:
        time.sleep(30)
    display.on_train_end("finished")
"""
COLOR = re.compile(rb"\x1b\[[0-9;]*\b(?:[34][0-8]|9[0-7]|10[0-7])\b[0-9;]*m")
PLAIN_ENVIRONMENT = ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS", "LINES")


def spawn(*words: str, stdin: int | None = None, stderr: int, **environment: str) -> subprocess.Popen[bytes]:
    """Start the child, with stdout and stderr in the same place."""
    inherited = {key: value for key, value in os.environ.items() if key not in PLAIN_ENVIRONMENT}
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, *words],
        stdin=stdin,
        stdout=stderr,
        stderr=stderr,
        env=inherited | {"PYTHONIOENCODING": "utf-8", "TERM": "xterm-256color"} | environment,
        start_new_session=True,
    )


class Terminal:
    """A real pseudo-terminal with the child in it, and a screen that understands its escape codes."""

    def __init__(self, *words: str, columns: int, lines: int = 24, **environment: str) -> None:
        self.screen = pyte.Screen(columns, lines)
        self.received = b""
        self._stream = pyte.ByteStream(self.screen)
        self.ours, theirs = pty.openpty()
        termios.tcsetwinsize(self.ours, (lines, columns))
        self.child = spawn(*words, stdin=theirs, stderr=theirs, **environment)
        os.close(theirs)

    def read_until(self, seen: Callable[[], bool], seconds: float = 60) -> bool:
        """Feed the screen until a condition holds; return whether it held before the child ended."""
        deadline = time.monotonic() + seconds
        while not seen() and time.monotonic() < deadline:
            if not select.select([self.ours], [], [], 0.05)[0]:
                continue
            try:
                received = os.read(self.ours, 65536)
            except OSError:  # EIO on Linux if the other end is closed
                return seen()
            if not received:
                return seen()
            self.received += received
            self._stream.feed(received)
        return seen()

    def resize(self, columns: int, lines: int) -> None:
        """Resize the terminal; the child gets SIGWINCH."""
        self.screen.resize(lines, columns)
        termios.tcsetwinsize(self.ours, (lines, columns))

    def close(self) -> int:
        """Read what is left, and return how the child ended."""
        self.read_until(lambda: False)
        os.close(self.ours)
        return self.child.wait(30)

    @property
    def text(self) -> str:
        return "\n".join(self.screen.display)


class Family:
    """Three children, started together because importing torch is what takes time."""

    def __init__(self) -> None:
        self.colored = Terminal("wait", columns=80, COLORTERM="truecolor")
        self.failing = Terminal("fail", columns=40, NO_COLOR="1")
        self.piped = spawn(stderr=subprocess.PIPE, FORCE_COLOR="1")

    def close(self) -> None:
        """Kill children that a failed test has left."""
        for child in (self.colored.child, self.failing.child, self.piped):
            child.kill()
            child.communicate()


@pytest.fixture(scope="module")
def family() -> Iterator[Family]:
    """Return the children."""
    children = Family()
    yield children
    children.close()


def test_the_live_display_shows_the_run(family: Family) -> None:
    """A terminal shows name, steps, times, losses, D(x), D(G(z)), speed, each message once, and colored half blocks."""
    terminal = family.colored
    assert terminal.read_until(lambda: "step 1,200/3,340" in terminal.text and "▀" in terminal.text), terminal.text
    for words in ("mnist-dcgan", "epoch 7/20", "35%", "loss D 0.710 G 2.300", "D(x) 0.72 D(G(z)) 0.24", "r1 0.031"):
        assert words in terminal.text
    assert re.search(r"890 images/s · 00:00:\d\d left", terminal.text)
    assert re.search(r"35% 00:0\d:\d\d elapsed", terminal.text)
    assert terminal.text.count("precision: float32") == 1
    assert COLOR.search(terminal.received)
    assert terminal.screen.cursor.hidden


def test_ctrl_c_and_a_new_size_leave_a_usable_terminal(family: Family) -> None:
    """After a real Ctrl-C on a terminal that was made narrower the cursor is visible and below the display."""
    terminal = family.colored
    terminal.read_until(lambda: "step 1,200/3,340" in terminal.text)
    terminal.resize(40, 16)
    assert terminal.read_until(lambda: "loss D 0.710 G 2.300" in map(str.strip, terminal.screen.display))
    os.write(terminal.ours, b"\x03")
    assert terminal.close() != 0
    assert "KeyboardInterrupt" in terminal.text
    assert not terminal.screen.cursor.hidden


def test_an_exception_leaves_a_usable_terminal_and_no_color_is_kept(family: Family) -> None:
    """With NO_COLOR characters make the picture and no code sets a color; after an exception the cursor is back."""
    terminal = family.failing
    assert terminal.close() == 1
    assert "ValueError: out of luck" in terminal.text
    assert "██" in terminal.text
    assert "loss D 0.710 G 2.300" in terminal.text
    assert COLOR.search(terminal.received) is None
    assert b"\x1b[?25l" in terminal.received
    assert not terminal.screen.cursor.hidden


def test_off_a_terminal_there_are_no_escape_codes(family: Family) -> None:
    """A pipe gets plain lines, each once, even with FORCE_COLOR."""
    _, written = family.piped.communicate(timeout=60)
    lines = written.decode().splitlines()
    assert family.piped.returncode == 0
    assert "\x1b" not in written.decode()
    assert lines[0] == "precision: float32"
    measures = "loss D 0.710 G 2.300 · D(x) 0.72 D(G(z)) 0.24 · r1 0.031 · 890 images/s"
    assert lines[1] == f"step 1,100/3,340 · epoch 6/20 · {measures}"
    assert re.fullmatch(rf"step 1,200/3,340 · epoch 7/20 · {re.escape(measures)} · 00:00:\d\d left", lines[2])
    assert len(lines) == 3

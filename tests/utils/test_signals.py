"""Signals, in a process of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import termios
import threading

import pytest

from ganforge.utils.signals import EXIT_CODES, Interruption, WaitInterrupted


@pytest.mark.parametrize(
    ("number", "error"),
    [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit), (signal.SIGHUP, SystemExit)],
)
def test_the_first_signal_is_remembered_and_the_second_acts(number: signal.Signals, error: type[BaseException]) -> None:
    """The first sets `received`, the second raises; afterwards the old handlers are back."""
    before = signal.getsignal(number)
    with Interruption() as interruption:
        assert interruption.received is None
        os.kill(os.getpid(), number)
        assert interruption.received is number
        with pytest.raises(error) as raised:
            os.kill(os.getpid(), number)
        assert getattr(raised.value, "code", EXIT_CODES[signal.SIGINT]) == EXIT_CODES[number]
    assert signal.getsignal(number) is before


def test_handlers_that_a_component_replaces_are_installed_again() -> None:
    """The first signal is still recorded after a library has installed handlers of its own, and blocked signals."""
    with Interruption() as interruption:
        for number in EXIT_CODES:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, EXIT_CODES)
        interruption.reinstall()
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.received is signal.SIGTERM


def test_a_failing_rank_of_torchrun_keeps_its_handlers() -> None:
    """A rank that fails survives torchrun's SIGTERM until it has printed its error; a single process restores them."""
    handlers = {number: signal.getsignal(number) for number in EXIT_CODES}
    before = handlers[signal.SIGTERM]
    try:
        for echo_seconds, kept in [(0.0, False), (10.0, True)]:
            with pytest.raises(OSError, match="lost"), Interruption(echo_seconds=echo_seconds):
                raise OSError("lost")
            assert (signal.getsignal(signal.SIGTERM) is not before) is kept
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def test_an_ignored_hangup_remains_ignored() -> None:
    """`nohup` ignores SIGHUP for what it starts, which is then to continue."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interruption() as interruption:
            os.kill(os.getpid(), signal.SIGHUP)
            assert interruption.received is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_outside_the_main_thread_nothing_is_installed() -> None:
    """Signals belong to the main thread; training in another one leaves them alone."""
    handlers = []

    def work() -> None:
        with Interruption():
            handlers.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [before]


@pytest.mark.parametrize("stopped", [False, True])
def test_a_terminal_that_takes_no_output_delays_no_signal(stopped: bool) -> None:  # noqa: FBT001 - of parametrize
    """After a signal nothing waits for a terminal that is not read, or was stopped by Ctrl-S."""
    script = """
import os, signal, threading, time
from ganforge.utils.signals import Interruption
with Interruption() as interruption:
    writer = threading.Thread(target=lambda: [os.write(1, bytes(4096)) for _ in range(100)])
    writer.start()
    time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)
    writer.join()
    os.write(1, bytes(100_000))
    raise SystemExit(int(interruption.received))
"""
    reader, terminal = os.openpty()
    if stopped:
        termios.tcflow(terminal, termios.TCOOFF)
    try:
        ended = subprocess.run(
            [sys.executable, "-c", script], stdout=terminal, stderr=terminal, timeout=20, check=False
        )
    finally:
        os.close(terminal)
        os.close(reader)
    assert ended.returncode == signal.SIGTERM


def test_the_first_signal_ends_a_wait() -> None:
    """Within a wait it raises at once, or at the start if it came before; afterwards the second acts as ever."""
    with Interruption() as interruption:
        with interruption.waiting():
            pass
        with pytest.raises(WaitInterrupted), interruption.waiting():
            os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.received is signal.SIGTERM
        with pytest.raises(WaitInterrupted), interruption.waiting():
            pytest.fail("a wait begins after the signal")
        with pytest.raises(SystemExit):
            os.kill(os.getpid(), signal.SIGTERM)

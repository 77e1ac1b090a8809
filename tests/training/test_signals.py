"""Signals, in a process of their own."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from ganforge.training.signals import Interruption


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_the_first_signal_is_remembered_and_the_second_acts(number: signal.Signals, error: type[BaseException]) -> None:
    """The first sets `received`, the second raises; afterwards the old handlers are back."""
    before = signal.getsignal(number)
    with Interruption() as interruption:
        assert interruption.received is None
        os.kill(os.getpid(), number)
        assert interruption.received is number
        with pytest.raises(error):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


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

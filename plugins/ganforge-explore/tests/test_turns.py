"""Threads that compute in turns."""

from __future__ import annotations

import threading
import time

import pytest
from ganforge_explore.turns import StoppedError, Turns


def test_pictures_are_computed_during_a_search() -> None:
    """A picture waits for the next pause of a search, not for its end; both never compute at once."""
    turns, begun, submitted, drawn = Turns(), threading.Event(), threading.Event(), threading.Event()
    is_searching = False

    def search() -> str:
        nonlocal is_searching
        begun.set()
        assert submitted.wait(timeout=20)
        while not drawn.is_set():
            is_searching = True
            time.sleep(0.001)
            is_searching = False
            turns.give_way()
        return "found"

    def draw() -> bool:
        drawn.set()
        return is_searching

    searched = turns.submit("searches", search)
    assert begun.wait(timeout=20)
    picture = turns.submit("pictures", draw)
    submitted.set()
    assert picture.result(timeout=20) is False
    assert searched.result(timeout=20) == "found"
    turns.stop()


def test_errors_are_raised_by_the_future() -> None:
    """An error of a function reaches its caller, and the thread continues."""
    turns = Turns()
    with pytest.raises(ZeroDivisionError):
        turns.submit("pictures", lambda: 1 / 0).result(timeout=20)
    assert turns.submit("pictures", lambda: 7).result(timeout=20) == 7
    turns.stop()


def test_the_end_stops_a_search() -> None:
    """A search ends at its next pause after `stop`, with an error."""
    turns, begun = Turns(), threading.Event()

    def search() -> None:
        while True:
            begun.set()
            turns.give_way()

    searched = turns.submit("searches", search)
    assert begun.wait(timeout=20)
    turns.stop()
    assert isinstance(searched.exception(timeout=20), StoppedError)

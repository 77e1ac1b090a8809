"""Laws of displays: which lines are written, and how often."""

from __future__ import annotations

import io
import os
import random

import numpy as np
import pytest
import torch
from rich.console import Console

from ganforge.cli._display import Display, LiveDisplay, PlainDisplay, QuietDisplay


def row(step: int, **more: float) -> dict[str, float]:
    """Return a row of metrics.jsonl."""
    losses = {"loss/discriminator": 0.71, "loss/generator": 2.3, "prob/real": 0.72, "prob/fake": 0.24}
    return {"step": step, "epoch": step / 100, "images_seen": 60 * step, "images_per_second": 890.0, **losses, **more}


class Clock:
    """Clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_plain_lines_come_now_and_then() -> None:
    """The first row, then at most one in ten seconds, and the last row, once."""
    stream, clock = io.StringIO(), Clock()
    with PlainDisplay(stream, clock=clock) as display:
        display.on_train_start(step=0, total_steps=100)
        for step in range(1, 36):
            clock.now += 1
            display.on_log(row(step))
        display.on_train_end("finished")
        display.on_train_end("finished")
    assert [line.split(" · ")[0] for line in stream.getvalue().splitlines()] == [
        f"step {step}/100" for step in (1, 11, 21, 31, 35)
    ]


def test_active_alerts_are_shown_until_they_are_resolved() -> None:
    """Each failure mode is named in plain lines and in the live title while its alert is active."""
    stream, clock = io.StringIO(), Clock()
    plain = PlainDisplay(stream, clock=clock)
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=30)
    live = LiveDisplay(console, run_name="mlp × mlp")
    for display in (plain, live):
        display.on_train_start(step=0, total_steps=100)
    for step, failures in enumerate([[], ["collapse", "saturation"], ["saturation"], []], 1):
        clock.now += 20
        for display in (plain, live):
            display.on_alert(failures)
            display.on_log(row(step))
        parts = stream.getvalue().splitlines()[-1].split(" · ")
        assert [part for part in parts if part in {"collapse", "saturation"}] == failures
        with console.capture() as captured:
            console.print(live)
        title = captured.get().splitlines()[0]
        assert all((word in title) == (word in failures) for word in ("collapse", "saturation"))


def test_plain_lines_suit_the_encoding() -> None:
    """A stream that only knows ASCII gets only ASCII."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    display = PlainDisplay(stream, epochs=3)
    display.on_train_start(step=0, total_steps=9)
    display.on_log(row(1))
    stream.seek(0)
    assert stream.read().startswith("step 1/9 | epoch 1/3 | loss D 0.710 G 2.300 | ")


def test_quiet_silences_progress_but_not_problems() -> None:
    """A quiet display writes messages, each once, and nothing else."""
    stream = io.StringIO()
    with QuietDisplay(stream) as display:
        display.on_train_start(step=0, total_steps=9)
        display.on_message("plugin a: raised KeyError")
        display.on_log(row(1))
        display.on_message("plugin a: raised KeyError")
        display.on_message("plugin b: is slow")
        display.on_train_end("finished")
    assert stream.getvalue() == "plugin a: raised KeyError\nplugin b: is slow\n"


def test_a_vanished_terminal_does_not_end_a_run() -> None:
    """A display whose stream fails on every write raises nothing."""
    ours, theirs = os.pipe()
    os.close(ours)
    stream = os.fdopen(theirs, "w", buffering=1)
    displays: list[Display] = [QuietDisplay(stream), PlainDisplay(stream)]
    for display in displays:
        with display:
            display.on_train_start(step=0, total_steps=9)
            display.on_message("a message")
            display.on_log(row(9))
            display.on_train_end("finished")
    # The unwritten text is still in the stream, which must not write it again when it is collected.
    with pytest.raises(BrokenPipeError):
        stream.close()


@pytest.mark.parametrize("width", [12, 25, 40, 80, 132, 250])
@pytest.mark.parametrize("height", [5, 10, 24, 60])
def test_the_live_view_stays_within_the_terminal(width: int, height: int) -> None:
    """No line is wider than the terminal, and from ten lines on nothing is cut off below."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=width, height=height, _environ={})
    display = LiveDisplay(console, run_name="a-run-with-a-rather-long-name-0001", epochs=20)
    display.on_train_start(step=10, total_steps=1000)
    display.on_sample(torch.zeros(16, 3, 32, 32, dtype=torch.uint8))
    display.on_log(row(20, **{"term/gradient-penalty": 0.1}))
    lines = console.render_lines(display, pad=False)
    assert max(sum(segment.cell_length for segment in line) for line in lines) <= width
    assert len(lines) < max(height, 11)


def test_displays_leave_randomness_alone() -> None:
    """Showing a whole run changes no random state, of torch, NumPy or Python."""

    def states() -> list[object]:
        return [torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate()]  # noqa: NPY002

    before = states()
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=40, _environ={})
    displays: list[Display] = [LiveDisplay(console, run_name="a", epochs=None), PlainDisplay(io.StringIO())]
    for display in displays:
        with display:
            display.on_train_start(step=0, total_steps=9)
            display.on_sample(torch.zeros(16, 1, 28, 28, dtype=torch.uint8))
            display.on_log(row(9))
            display.on_message("a message")
            display.on_train_end("finished")
    assert states() == before

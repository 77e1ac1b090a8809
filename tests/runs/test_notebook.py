"""Display of a training in a notebook."""

from __future__ import annotations

import base64
import io
import re
import sys
from types import SimpleNamespace
from typing import Any

import IPython.display
import pytest
import torch
from PIL import Image

from ganforge.errors import UsageError
from ganforge.runs.notebook import MAX_ROWS, NotebookDisplay, notebook_callback
from ganforge.training.callbacks import Callback, CallbackList


class Output:
    """Output of a cell that records what is shown."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, str]] = []

    def display(self, view: Any, *, display_id: bool) -> Output:
        """Show the first form."""
        assert not self.shown
        self.update(view)
        return self

    def update(self, view: Any) -> None:
        """Replace it."""
        self.shown.append((repr(view), view._repr_html_()))


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Output:
    """Return the output that IPython's `display` writes to."""
    output = Output()
    monkeypatch.setattr(IPython.display, "display", output.display)
    return output


def row(step: int, loss: float = 1.0) -> dict[str, float]:
    """Return a row of metrics.jsonl."""
    return {"step": step, "epoch": step / 100, "loss/generator": loss, "loss/discriminator": 0.5}


def test_one_output_is_updated_at_intervals(output: Output) -> None:
    """Rows and samples are shown at most once a second, the start and the end at once."""
    time = [0.0]
    display = NotebookDisplay(epochs=2, seconds=1.0, clock=lambda: time[0])
    display.on_train_start(step=0, total_steps=200)
    for number in range(1, 26):
        time[0] = number / 10
        display.on_log(row(number))
        display.on_sample(torch.zeros(2, 1, 4, 4, dtype=torch.uint8))
    assert len(output.shown) == 3
    display.on_train_end("finished")
    text, html = output.shown[-1]
    assert text.startswith("finished · step 25/200 · epoch 1/2")
    assert "loss D 0.500 G 1.000" in text
    assert "width:12.5%" in html
    assert html.count("<svg") == html.count("data:image/png;base64,") == 1


def test_alerts_are_shown_while_they_are_active(output: Output) -> None:
    """The next update names the failure modes, and the first one after their end does not."""
    display = NotebookDisplay(epochs=None, seconds=0.0)
    display.on_train_start(step=0, total_steps=200)
    for failures in (["collapse"], []):
        display.on_alert(failures)
        display.on_log(row(10))
        assert ("collapse" in output.shown[-1][0]) == bool(failures)


@pytest.mark.parametrize(("size", "columns"), [(28, 10), (256, 4), (2048, 1)])
def test_few_large_images_are_shown(size: int, columns: int, output: Output) -> None:
    """The row of samples has a limited width, so that an update stays small."""
    display = NotebookDisplay(epochs=None, seconds=0.0)
    display.on_sample(torch.zeros(10, 1, size, size, dtype=torch.uint8))
    encoded = output.shown[-1][1].partition("base64,")[2].partition('"')[0]
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as picture:
        assert picture.width // size == columns


def test_messages_are_shown_once_as_text(output: Output) -> None:
    """Messages stay below the numbers, the newest one in the text; markup in them is text."""
    display = NotebookDisplay(epochs=None, seconds=1.0)
    for message in ("<b>MNIST</b>: digits", "second", "<b>MNIST</b>: digits"):
        display.on_message(message)
    display.on_evaluate(7, {"fid": 3.0}, {"fid": 1.0})
    assert len(output.shown) == 3
    text, html = output.shown[-1]
    assert "&lt;b&gt;MNIST&lt;/b&gt;: digits" in html
    assert "<b>" not in html
    assert text.endswith("step 7 scores: fid 3 (reference 1)")


def test_a_long_training_keeps_a_short_chart(output: Output) -> None:
    """The rows of a long training are thinned, and the chart still begins at its start."""
    display = NotebookDisplay(epochs=None, seconds=1e9)
    display.on_train_start(step=0, total_steps=MAX_ROWS * 5)
    for step in range(MAX_ROWS * 5):
        display.on_log(row(step))
    assert len(display._rows) <= MAX_ROWS
    assert display._rows[0]["step"] == 0
    display.on_train_end("finished")
    assert len(output.shown[-1][1]) < 50_000


def test_only_ipython_shows_a_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain Python keeps the user's callback; a kernel and a shell add the display, unless it is turned off."""
    own = Callback()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert notebook_callback(own, epochs=None, progress=True) is own
    monkeypatch.delitem(sys.modules, "IPython")
    assert notebook_callback(None, epochs=None, progress=True) is None
    for app, seconds in (("IPKernelApp", 1.0), ("TerminalIPythonApp", 10.0)):
        shell = SimpleNamespace(get_ipython=lambda app=app: SimpleNamespace(config={app: {}}))
        monkeypatch.setitem(sys.modules, "IPython", shell)
        display = notebook_callback(None, epochs=None, progress=True)
        assert isinstance(display, NotebookDisplay)
        assert display._seconds == seconds
        both = notebook_callback(own, epochs=None, progress=True)
        assert isinstance(both, CallbackList)
        assert both.wants_previews
        assert notebook_callback(own, epochs=None, progress=False) is own


def test_every_callback_of_a_list_gets_every_event() -> None:
    """A list passes each method of `Callback` on, with its arguments, in order."""
    calls: list[tuple[int, str, Any]] = []
    methods = [name for name in vars(Callback) if re.match("on_", name)]

    def recorder(number: int) -> Callback:
        callback = Callback()
        for name in methods:
            setattr(callback, name, lambda *args, _name=name, **more: calls.append((number, _name, (args, more))))
        return callback

    both = CallbackList([recorder(0), recorder(1)])
    assert not both.wants_previews
    both.on_train_start(step=1, total_steps=2)
    both.on_log({"step": 1})
    both.on_alert(["collapse"])
    both.on_evaluate(1, {}, {})
    both.on_sample(torch.zeros(0))
    both.on_message("text")
    both.on_train_end("finished")
    assert [number for number, _, _ in calls] == [0, 1] * len(methods)
    assert {name for _, name, _ in calls} == set(methods)
    assert all(first[1:] == second[1:] for first, second in zip(calls[::2], calls[1::2], strict=True))


@pytest.mark.parametrize("callback", [print, Callback])
def test_a_callback_that_is_not_an_instance_is_an_error(callback: Any) -> None:
    """A function and a class in the place of a callback are refused before the training, with the fix."""
    with pytest.raises(UsageError, match="an instance of ganforge") as caught:
        notebook_callback(callback, epochs=None, progress=True)
    assert caught.value.fix is not None
    assert "callback=MyCallback()" in caught.value.fix

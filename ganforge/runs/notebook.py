"""Display of a training in a notebook: one output that is updated, with progress, losses and samples."""

from __future__ import annotations

import base64
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from torch import Tensor

from ganforge.errors import UsageError
from ganforge.runs.plot import LOSSES, plot_rows
from ganforge.runs.progress import Progress, format_evaluation
from ganforge.training.callbacks import Callback, CallbackList
from ganforge.utils.images import grid, png_bytes
from ganforge.utils.schema import excerpt
from ganforge.utils.text import printable

#: Minimum interval of updates, where they replace each other and where each is a new line.
SECONDS, PLAIN_SECONDS = 1.0, 10.0
#: Rows that are kept for the chart.
MAX_ROWS = 2000
#: Width of the samples; fewer are shown of larger images.
MAX_PIXELS = 1024
SEPARATOR = " · "


class NotebookDisplay(Callback):
    """Callback that shows a run as the output of a cell; without HTML, as lines of text."""

    wants_previews = True

    def __init__(self, *, epochs: int | None, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Create a display that updates every `seconds` at most; its output appears with the first event."""
        self._progress = Progress(epochs, clock)
        self._seconds = seconds
        self._clock = clock
        self._shown_at = -seconds
        self._handle: Any = None
        self._status = "getting ready"
        self._lines: dict[str, None] = {}
        self._rows: list[Mapping[str, float]] = []
        self._images: Tensor | None = None

    def on_train_start(self, *, step: int, total_steps: int) -> None:
        """Show the bar."""
        self._progress.start(step=step, total_steps=total_steps)
        self._status = "running"
        self._show()

    def on_log(self, row: Mapping[str, float]) -> None:
        """Show the row, if it is time."""
        self._progress.update(row)
        self._rows.append(row)
        if len(self._rows) > MAX_ROWS:
            del self._rows[1::2]
        self._show_in_time()

    def on_alert(self, failures: Sequence[str]) -> None:
        """Show the active alerts from now on."""
        self._progress.alerts = failures

    def on_evaluate(self, step: int, scores: Mapping[str, float | None], reference: Mapping[str, float | None]) -> None:
        """Show the scores as a line."""
        self.on_message(format_evaluation(step, scores, reference, SEPARATOR))

    def on_sample(self, images: Tensor) -> None:
        """Show the samples, `(N, C, H, W)` uint8 on the CPU."""
        self._images = images
        self._show_in_time()

    def on_message(self, message: str) -> None:
        """Show a line, once."""
        if message not in self._lines:
            self._lines[message] = None
            self._show()

    def on_train_end(self, status: str) -> None:
        """Show the last row and the status."""
        self._progress.stop()
        self._status = status
        self._show()

    def _show_in_time(self) -> None:
        if self._clock() - self._shown_at >= self._seconds:
            self._show()

    def _show(self) -> None:
        from IPython.display import display  # noqa: PLC0415 - it exists only where a notebook runs

        self._shown_at = self._clock()
        if self._handle is None:
            self._handle = display(self, display_id=True)
        else:
            self._handle.update(self)

    def _texts(self) -> list[str]:
        progress = self._progress
        remaining = progress.remaining() if self._status == "running" else []
        pace = [self._status, *progress.position(), *progress.speed(), *remaining, *progress.alerts]
        return [SEPARATOR.join(pace), SEPARATOR.join(progress.metrics())]

    def __repr__(self) -> str:
        return printable(SEPARATOR.join(filter(None, [*self._texts(), *list(self._lines)[-1:]])))

    def _repr_html_(self) -> str:
        total = self._progress.total_steps
        share = 100 * self._progress.step / total if total else 0
        parts = [
            '<div style="max-width:640px;font-variant-numeric:tabular-nums">',
            '<div style="height:6px;border-radius:3px;background:rgba(128,128,128,.25)">',
            f'<div style="height:6px;border-radius:3px;background:#2f86d6;width:{share:.1f}%"></div></div>',
            *(f"<div>{escape(printable(text))}</div>" for text in self._texts() if text),
            *(f'<div style="opacity:.75">{escape(printable(line))}</div>' for line in self._lines),
        ]
        if any(name.startswith(LOSSES) for row in self._rows[-1:] for name in row):
            parts.append(plot_rows(self._rows).svg)
        if self._images is not None:
            row = self._images[: max(1, MAX_PIXELS // self._images.shape[-1])]
            encoded = base64.b64encode(png_bytes(grid(row, columns=len(row)))).decode()
            parts.append(
                f'<img src="data:image/png;base64,{encoded}" alt="samples" style="image-rendering:pixelated;'
                'width:100%">'
            )
        return "".join([*parts, "</div>"])


def notebook_callback(callback: Callback | None, *, epochs: int | None, progress: bool) -> Callback | None:
    """Return the user's callback, which with `progress` also shows the training in a notebook or an IPython shell.

    Raises UsageError for a callback that is not an instance of `Callback`.
    """
    if callback is not None and not isinstance(callback, Callback):
        raise UsageError(
            f"callback = {excerpt(repr(callback))}: an instance of ganforge.Callback is required",
            fix="derive a class from ganforge.Callback, and pass an object of it: callback=MyCallback()",
        )
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if shell is None or not progress:
        return callback
    display = NotebookDisplay(epochs=epochs, seconds=SECONDS if "IPKernelApp" in shell.config else PLAIN_SECONDS)
    return display if callback is None else CallbackList([display, callback])

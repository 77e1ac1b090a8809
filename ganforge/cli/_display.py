"""Display of a run on stderr: live on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from types import TracebackType
from typing import Self, TextIO, final

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from torch import Tensor

from ganforge.cli._picture import MAX_LINES, SamplesPicture
from ganforge.runs.progress import Progress, format_evaluation
from ganforge.training.callbacks import Callback
from ganforge.utils.format import format_clock
from ganforge.utils.text import printable

REFRESHES_PER_SECOND = 4.0
#: Minimum interval of plain lines.
PLAIN_SECONDS = 10.0
#: Width of the live display on wide terminals; eight images of 28 pixels fit.
MAX_WIDTH = 119
STATUS_STYLES = {"finished": "green", "interrupted": "yellow", "diverged": "red", "failed": "red"}
NUMBER = r"(?<![\w.])-?\d[\d.,:/e+-]*"


class Display(Callback):
    """Callback that shows a run; a context manager that restores the terminal however it is left.

    Errors of the terminal are ignored: a run continues after its terminal was closed.
    """

    def __init__(
        self, write_line: Callable[[str], object], surface: AbstractContextManager[object] | None = None
    ) -> None:
        """Create a display that writes lines, and enters and leaves a surface with itself."""
        self._write_line = write_line
        self._surface = nullcontext() if surface is None else surface
        self._messages: set[str] = set()

    @final
    def __enter__(self) -> Self:
        try:
            self._surface.__enter__()
        except BaseException:
            # An interrupt at this point would leave the cursor hidden: `with` closes only what was entered.
            self._surface.__exit__(None, None, None)
            raise
        return self

    @final
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._surface.__exit__(kind, error, traceback)

    @final
    def on_message(self, message: str) -> None:
        """Show a line, once."""
        if message not in self._messages:
            self._messages.add(message)
            self._show(message)

    @final
    def _show(self, line: str) -> None:
        with suppress(OSError):
            self._write_line(printable(line))


@final
class QuietDisplay(Display):
    """Display of messages without progress."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(lambda line: stream.write(f"{line}\n"))


class ProgressDisplay(Display):
    """Display that follows the progress of a run."""

    def __init__(
        self,
        write_line: Callable[[str], object],
        surface: AbstractContextManager[object] | None = None,
        *,
        progress: Progress,
        ascii_only: bool,
    ) -> None:
        super().__init__(write_line, surface)
        self._progress = progress
        self._separator = " | " if ascii_only else " · "

    @final
    def on_train_start(self, *, step: int, total_steps: int) -> None:
        """Start the clock."""
        self._progress.start(step=step, total_steps=total_steps)

    def on_log(self, row: Mapping[str, float]) -> None:
        """Show the row from now on."""
        self._progress.update(row)

    @final
    def on_alert(self, failures: Sequence[str]) -> None:
        """Show the active alerts from now on."""
        self._progress.alerts = failures

    @final
    def on_evaluate(self, step: int, scores: Mapping[str, float | None], reference: Mapping[str, float | None]) -> None:
        """Write a line with the scores, each with its reference."""
        self._show(format_evaluation(step, scores, reference, self._separator))


@final
class PlainDisplay(ProgressDisplay):
    """Display of plain lines without escape codes: the first row, one every ten seconds, and the last row."""

    def __init__(
        self, stream: TextIO, *, epochs: int | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        ascii_only = not (stream.encoding or "utf-8").lower().startswith("utf")
        progress = Progress(epochs, clock)
        super().__init__(lambda line: stream.write(f"{line}\n"), progress=progress, ascii_only=ascii_only)
        self._clock = clock
        self._written_at: float | None = None
        self._pending = False

    def on_log(self, row: Mapping[str, float]) -> None:
        """Write the row, if it is time."""
        super().on_log(row)
        self._pending = True
        if self._written_at is None or self._clock() - self._written_at >= PLAIN_SECONDS:
            self._write_row()

    def on_train_end(self, status: str) -> None:
        """Write the last row, unless it has been written."""
        if self._pending:
            self._write_row()

    def _write_row(self) -> None:
        progress = self._progress
        parts = [*progress.position(), *progress.metrics(), *progress.alerts, *progress.speed(), *progress.remaining()]
        self._show(self._separator.join(parts))
        self._written_at, self._pending = self._clock(), False


@final
class LiveDisplay(ProgressDisplay):
    """Display of a progress bar, metrics and a picture of the fixed samples at the bottom of a terminal.

    The training thread only stores values; rich draws them in its own thread, for the size that the terminal has then.
    """

    wants_previews = True

    def __init__(self, console: Console, *, run_name: str, epochs: int | None = None) -> None:
        super().__init__(
            lambda line: console.print(Text(line), soft_wrap=True),
            Live(self, console=console, refresh_per_second=REFRESHES_PER_SECOND, vertical_overflow="crop"),
            progress=Progress(epochs),
            ascii_only=console.options.ascii_only,
        )
        self._run_name = run_name
        self._picture: SamplesPicture | None = None
        self._status: str | None = None

    def on_sample(self, images: Tensor) -> None:
        """Show the samples, uint8 `(N, C, H, W)` on the CPU, from the next refresh on."""
        self._picture = SamplesPicture(images)

    def on_train_end(self, status: str) -> None:
        """Stop the clock and show the status."""
        self._progress.stop()
        self._status = status

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        options = options.update(width=min(options.max_width, MAX_WIDTH))
        lines = self._lines(options)
        yield lines[0]
        if self._progress.total_steps is not None:
            yield self._bar()
        yield from lines[1:]
        # One line for the bar, one above the picture, and one for the cursor.
        space = min(options.max_height - len(lines) - 3, max(MAX_LINES, options.max_height // 2))
        if self._picture is not None and self._picture.lines <= space:
            yield ""
            yield from console.render(self._picture, options.update(height=space))

    def _lines(self, options: ConsoleOptions) -> list[Text]:
        progress = self._progress
        status = self._status or ("" if progress.total_steps is not None else "getting ready")
        title = Text(no_wrap=True, overflow="crop" if options.ascii_only else "ellipsis")
        title.append(self._run_name, "bold").append(f"  {status}", STATUS_STYLES.get(status, "dim"))
        for failure in progress.alerts:
            title.append(f"  {failure}", "bold yellow")
        if progress.total_steps is None:
            return [title]
        remaining = progress.remaining() if self._status is None else []
        pace = [*progress.position(), *progress.speed(), *remaining]
        separator, width = self._separator, options.max_width
        return [title, *_flow(pace, separator, width), *_flow(progress.metrics(), separator, width)]

    def _bar(self) -> Table:
        step, total = self._progress.step, max(1, self._progress.total_steps or 0)
        bar = Table.grid(padding=(0, 1), expand=True)
        bar.add_column(ratio=1)
        bar.add_column(no_wrap=True)
        bar.add_column(no_wrap=True, style="dim")
        bar.add_row(
            ProgressBar(total, step, style="bright_black", complete_style="cyan", finished_style="green"),
            f"{100 * step // total:3}%",
            f"{format_clock(self._progress.elapsed_seconds)} elapsed",
        )
        return bar


def _flow(parts: Sequence[str], separator: str, width: int) -> Iterator[Text]:
    """Yield parts as lines that are broken only between parts."""
    lines: list[str] = []
    for part in parts:
        if lines and cell_len(lines[-1] + separator + part) <= width:
            lines[-1] += separator + part
        else:
            lines.append(part)
    for line in lines:
        text = Text(line, "dim", no_wrap=True, overflow="crop")
        text.highlight_regex(NUMBER, "not dim")
        yield text


def make_display(*, run_name: str, epochs: int | None, quiet: bool) -> Display:
    """Return a display for stderr; `epochs` is the length of the run, if it is given in epochs."""
    if quiet:
        return QuietDisplay(sys.stderr)
    console = Console(stderr=True)
    # isatty as well, because FORCE_COLOR makes rich treat a file as a terminal. A dumb terminal cannot move its cursor.
    if console.is_terminal and not console.is_dumb_terminal and sys.stderr.isatty():
        return LiveDisplay(console, run_name=printable(run_name), epochs=epochs)
    return PlainDisplay(sys.stderr, epochs=epochs)

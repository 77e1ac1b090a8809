"""Show a run while it trains: live on a terminal, a plain line now and then elsewhere; always on stderr."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Self, final

from rich.cells import cell_len
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ganforge.cli.picture import MOST_LINES, SamplesPicture
from ganforge.cli.progress import Progress, clock_time, evaluation_in_words
from ganforge.training.callbacks import Observer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType
    from typing import TextIO

    from rich.console import ConsoleOptions, RenderResult
    from torch import Tensor

REFRESHES_PER_SECOND = 4.0
PLAIN_SECONDS = 10.0  # between two plain lines
MOST_WIDTH = 119  # beyond, eyes travel too far; eight images of 28 pixels
STATUS_STYLES = {"finished": "green", "interrupted": "yellow", "diverged": "red", "failed": "red"}
NUMBER = r"(?<![\w.])-?\d[\d.,:/e+-]*"


class Display(Observer):
    """Watch a run for a person; a `with` block opens it, and leaves the terminal as it was however the block ends.

    say: writes one line. surface: what is opened and closed with the block. A terminal that has gone away does not end
    a run: OSErrors of showing are dropped, since there is nobody left to tell.
    """

    def __init__(self, say: Callable[[str], object], surface: AbstractContextManager[object] | None = None) -> None:
        self._say = say
        self._surface = nullcontext() if surface is None else surface
        self._noticed: set[str] = set()

    @final
    def __enter__(self) -> Self:
        try:
            self._surface.__enter__()
        except BaseException:
            # An interrupt in here would leave the cursor hidden: `with` only closes what has been opened.
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
    def noticed(self, message: str) -> None:
        """Show a line, unless it has been shown."""
        if message not in self._noticed:
            self._noticed.add(message)
            self._show(message)

    @final
    def _show(self, line: str) -> None:
        with suppress(OSError):
            self._say(line)


@final
class QuietDisplay(Display):
    """Show notices, and no progress."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(lambda line: stream.write(f"{line}\n"))


@final
class PlainDisplay(Display):
    """Write a plain line for the first row, then one every ten seconds, and one for the last row.

    No escape codes, whatever the environment says about colour. clock: seconds since any moment.
    """

    def __init__(
        self, stream: TextIO, *, epochs: int | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(lambda line: stream.write(f"{line}\n"))
        utf = (stream.encoding or "utf-8").lower().startswith("utf")
        self._separator = " · " if utf else " | "
        self._progress = Progress(epochs, clock)
        self._clock = clock
        self._written_at: float | None = None
        self._unwritten = False

    def started(self, *, step: int, total_steps: int) -> None:
        """Begin to measure."""
        self._progress.started(step=step, total_steps=total_steps)

    def logged(self, row: Mapping[str, float]) -> None:
        """Write the row, if it is time."""
        self._progress.logged(row)
        self._unwritten = True
        if self._written_at is None or self._clock() - self._written_at >= PLAIN_SECONDS:
            self._write()

    def found(self, ailments: Sequence[str]) -> None:
        """Say what is wrong in all lines from now on."""
        self._progress.ailments = ailments

    def evaluated(self, step: int, scores: Mapping[str, float | None], floor: Mapping[str, float | None]) -> None:
        """Write the scores, each with its floor."""
        self._show(evaluation_in_words(step, scores, floor, self._separator))

    def finished(self, status: str) -> None:
        """Write the last row, if it has not been written; the command says what the run came to."""
        if self._unwritten:
            self._write()

    def _write(self) -> None:
        progress = self._progress
        words = [*progress.where(), *progress.measures(), *progress.ailments]
        words += [*progress.speed(), *progress.remaining()]
        self._show(self._separator.join(words))
        self._written_at, self._unwritten = self._clock(), False


@final
class LiveDisplay(Display):
    """Keep a few lines of progress and a small picture of the fixed samples at the bottom of a terminal.

    The training thread only hands values over; rich's own thread draws them, four times a second.
    """

    wants_previews = True

    def __init__(self, console: Console, *, run_name: str, epochs: int | None = None) -> None:
        self._view = View(run_name, Progress(epochs))
        self._ascii_only = console.options.ascii_only
        live = Live(
            self._view,
            console=console,
            refresh_per_second=REFRESHES_PER_SECOND,
            vertical_overflow="crop",
        )
        super().__init__(lambda line: console.print(Text(line), soft_wrap=True), live)

    def started(self, *, step: int, total_steps: int) -> None:
        """Begin to measure."""
        self._view.progress.started(step=step, total_steps=total_steps)

    def logged(self, row: Mapping[str, float]) -> None:
        """Show the row from the next refresh on."""
        self._view.progress.logged(row)

    def found(self, ailments: Sequence[str]) -> None:
        """Show what is wrong from the next refresh on."""
        self._view.progress.ailments = ailments

    def previewed(self, images: Tensor) -> None:
        """Show the samples, uint8 `(N, C, H, W)` on the CPU, from the next refresh on."""
        self._view.picture = SamplesPicture(images)

    def evaluated(self, step: int, scores: Mapping[str, float | None], floor: Mapping[str, float | None]) -> None:
        """Leave a line with the scores, each with its floor, above what moves."""
        self._show(evaluation_in_words(step, scores, floor, " | " if self._ascii_only else " · "))

    def finished(self, status: str) -> None:
        """Stop the clock, and name the end that the run came to."""
        self._view.progress.ended()
        self._view.status = status


class View:
    """Lay out what is known at the moment in the space that there is; rich asks for it at every refresh."""

    def __init__(self, run_name: str, progress: Progress) -> None:
        self.progress = progress
        self.picture: SamplesPicture | None = None
        self.status: str | None = None
        self._run_name = run_name

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        options = options.update(width=min(options.max_width, MOST_WIDTH))
        lines = self._lines(options)
        yield lines[0]
        if self.progress.total_steps is not None:
            yield self._bar()
        yield from lines[1:]
        # One line for the bar, one above the picture, and one where the cursor ends up.
        space = min(options.max_height - len(lines) - 3, max(MOST_LINES, options.max_height // 2))
        if self.picture is not None and self.picture.lines <= space:
            yield ""
            yield from console.render(self.picture, options.update(height=space))

    def _lines(self, options: ConsoleOptions) -> list[Text]:
        status = self.status or ("" if self.progress.total_steps is not None else "getting ready")
        title = Text(no_wrap=True, overflow="crop" if options.ascii_only else "ellipsis")
        title.append(self._run_name, "bold").append(f"  {status}", STATUS_STYLES.get(status, "dim"))
        for ailment in self.progress.ailments:
            title.append(f"  {ailment}", "bold yellow")
        if self.progress.total_steps is None:
            return [title]
        progress = self.progress
        remaining = progress.remaining() if self.status is None else []
        pace = [*progress.where(), *progress.speed(), *remaining]
        separator = " | " if options.ascii_only else " · "
        return [
            title,
            *_flow(pace, separator, options.max_width),
            *_flow(progress.measures(), separator, options.max_width),
        ]

    def _bar(self) -> Table:
        step, total = self.progress.step, max(1, self.progress.total_steps or 0)
        bar = Table.grid(padding=(0, 1), expand=True)
        bar.add_column(ratio=1)
        bar.add_column(no_wrap=True)
        bar.add_column(no_wrap=True, style="dim")
        bar.add_row(
            ProgressBar(total, step, style="bright_black", complete_style="cyan", finished_style="green"),
            f"{100 * step // total:3}%",
            clock_time(self.progress.elapsed_seconds),
        )
        return bar


def _flow(words: Sequence[str], separator: str, width: int) -> Iterator[Text]:
    """Set words in lines, and break lines only between words."""
    lines: list[str] = []
    for word in words:
        if lines and cell_len(lines[-1] + separator + word) <= width:
            lines[-1] += separator + word
        else:
            lines.append(word)
    for line in lines:
        text = Text(line, "dim", no_wrap=True, overflow="crop")
        text.highlight_regex(NUMBER, "not dim")
        yield text


def make_display(*, run_name: str, epochs: int | None, quiet: bool) -> Display:
    """Return the display that suits stderr: live on a terminal, plain lines elsewhere, only notices if `quiet`."""
    if quiet:
        return QuietDisplay(sys.stderr)
    console = Console(stderr=True)
    # isatty as well, because FORCE_COLOR makes rich take a file for a terminal; and a dumb one cannot move its cursor.
    if console.is_terminal and not console.is_dumb_terminal and sys.stderr.isatty():
        return LiveDisplay(console, run_name=run_name, epochs=epochs)
    return PlainDisplay(sys.stderr, epochs=epochs)

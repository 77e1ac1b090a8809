"""Printed report of pictures, for `ganforge data`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ganforge.cli._output import out
from ganforge.cli._printer import escape
from ganforge.utils.format import format_bytes, format_count

if TYPE_CHECKING:
    from ganforge.image_files.inspection import Findings, Overview
    from ganforge.image_files.source import Broken

#: Names, sizes and classes that a line shows.
MAX_SHOWN = 5


def print_overview(path: Path, facts: Overview) -> None:
    """Print number, sizes, colors and classes."""
    from ganforge.image_files.layout import describe_ignored

    splits = ", ".join(f"{split} {count:,}" for split, count in facts.images.items())
    sizes = [f"{width}×{height} ({count:,})" for (width, height), count in facts.sizes.most_common()]
    kinds = [f"{kind} ({count:,})" for kind, count in facts.kinds.most_common()]
    print_line(
        str(path),
        f"{format_count(sum(facts.images.values()), 'picture')} ({splits}), {format_bytes(facts.bytes)}",
        bold=True,
    )
    print_line("sizes", _shown(sizes))
    print_line("colors", _shown(kinds))
    if facts.classes is None:
        print_line("classes", "none")
    else:
        classes = [f"{name} ({count:,})" for name, count in facts.classes.items()]
        print_line("1 class" if len(classes) == 1 else f"{len(classes):,} classes", _shown(classes))
    if facts.ignored:
        print_line("not pictures, and ignored", describe_ignored(facts.ignored))


def print_findings(facts: Overview, findings: Findings, size: int | None) -> None:
    """Print broken and doubtful pictures."""
    from ganforge.image_files.inspection import MAX_CLASS_RATIO

    print_broken(findings.broken)
    groups = [" = ".join(group[:2]) for group in findings.duplicates]
    _print_names(f"{format_count(len(groups), 'group')} of equal pictures", groups)
    if findings.shared:
        print_line("equal pictures in train and test", f"{findings.shared:,}")
    _print_names(f"{format_count(len(findings.constant), 'picture')} of one color", findings.constant)
    _print_names(f"{format_count(len(findings.enlarged), 'picture')} smaller than {size} pixels", findings.enlarged)
    counts = [] if facts.classes is None else list(facts.classes.values())
    if counts and max(counts) > MAX_CLASS_RATIO * min(counts):
        print_line("classes are unequal", f"the smallest has {min(counts):,} pictures, the largest {max(counts):,}")
    if size is None and len(facts.sizes) > 1:
        print_line("sizes differ", "a training needs --data.size")
    if not findings.broken:
        out().print("no picture is broken")


def print_broken(broken: Sequence[Broken]) -> None:
    """Print the pictures that cannot be read, if any."""
    _print_names(format_count(len(broken), "broken picture"), [f"{each.name} ({each.reason})" for each in broken])


def _print_names(title: str, names: Sequence[str]) -> None:
    """Print a title and the first names, if there are any."""
    if names:
        print_line(title, _shown(names))


def _shown(items: Sequence[str]) -> str:
    return ", ".join(items[:MAX_SHOWN]) + (", …" if len(items) > MAX_SHOWN else "")


def print_line(title: str, text: str, *, bold: bool = False) -> None:
    """Print a title and a text."""
    head = f"[bold]{escape(title)}[/]" if bold else escape(title)
    out().print(f"{head}: {escape(text)}")

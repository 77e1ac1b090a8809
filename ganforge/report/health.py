"""What watching a run's health has found, as run.json keeps it."""

from __future__ import annotations

from typing import NamedTuple

from ganforge.report.record import number_of, rows, text


class Finding(NamedTuple):
    """Hold a finding: its name, when, what is wrong in words, and what usually helps."""

    name: str
    when: str
    words: str
    helps: str

    def line(self) -> str:
        """Return what is wrong and when, in one line."""
        return f"{self.name} {self.when}: {self.words}"


def findings(content: object) -> list[Finding]:
    """Return the findings of run.json's key `health`, in the order in which they were made."""
    return [
        Finding(
            name=text(item.get("finding")) or "a finding",
            when=_when(number_of(item.get("since_step")), number_of(item.get("until_step"))),
            words=text(item.get("words")) or "",
            helps=text(item.get("helps")) or "",
        )
        for item in rows(content)
    ]


def _when(since: float | None, until: float | None) -> str:
    if since is None:
        return ""
    return f"from step {since:,.0f}" + (", to the end" if until is None else f" to {until:,.0f}")

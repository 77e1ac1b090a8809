"""Suggestions for mistyped names."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that is most similar to a word, or None if none is similar."""
    by_folded = {candidate.casefold().replace("_", "-"): candidate for candidate in candidates}
    matches = get_close_matches(word.casefold().replace("_", "-"), by_folded, n=1, cutoff=0.6)
    return by_folded[matches[0]] if matches else None


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """Return "; did you mean 'X'?" if a candidate is similar, else " (available: X, Y)", or "" without candidates."""
    candidates = sorted(candidates)
    match = nearest(word, candidates)
    if match is not None:
        return f"; did you mean {match!r}?"
    return f" (available: {', '.join(candidates)})" if candidates else ""

"""The words behind "did you mean"."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that `word` was most likely meant to be, or None where none is near."""
    by_folded = {candidate.casefold().replace("_", "-"): candidate for candidate in candidates}
    matches = get_close_matches(word.casefold().replace("_", "-"), by_folded, n=1, cutoff=0.6)
    return by_folded[matches[0]] if matches else None


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """Return "; did you mean 'X'?" where a candidate is near, else the candidates themselves, else nothing."""
    candidates = sorted(candidates)
    match = nearest(word, candidates)
    if match is not None:
        return f"; did you mean {match!r}?"
    return f"; there is {', '.join(candidates)}" if candidates else ""

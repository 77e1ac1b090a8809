"""What watches a run from inside its process: the terminal, a notebook, a test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor


class Observer:
    """Hear what happens in a run; the base class ignores everything.

    Unlike a plugin's listener it runs within the training process, so only ganforge's own displays and the caller of
    `ganforge.train` are observers. wants_previews: whether fixed samples should be drawn every now and then for it.
    """

    wants_previews: bool = False

    def started(self, *, step: int, total_steps: int) -> None:
        """Hear that training starts after `step` steps and ends at `total_steps`."""

    def logged(self, row: Mapping[str, float]) -> None:
        """Hear of a row of metrics.jsonl."""

    def found(self, ailments: Sequence[str]) -> None:
        """Hear what is wrong with the training from now on, a word each; none where it is well."""

    def evaluated(self, step: int, scores: Mapping[str, float | None], floor: Mapping[str, float | None]) -> None:
        """Hear of an evaluation: scores by name, and what real images score in the place of fakes."""

    def previewed(self, images: Tensor) -> None:
        """See the fixed samples as they are now, uint8 `(N, C, H, W)` on the CPU."""

    def noticed(self, message: str) -> None:
        """Hear one line that a person should read."""

    def finished(self, status: str) -> None:
        """Hear that the run ended: finished, interrupted, diverged or failed."""

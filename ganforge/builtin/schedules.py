"""Schedules that are constant or decay towards the end of the training."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Annotated

from pydantic import ConfigDict, Field, NonNegativeFloat

from ganforge.components import Schedule


class Constant(Schedule):
    """No change: the factor is always 1."""

    def factor(self, step: int, total_steps: int) -> float:
        """Return 1."""
        return 1.0


class _Decay(Schedule):
    """Factor that moves from 1 to `final` in the last part of the training."""

    class Options(Schedule.Options):
        """Options of a decay."""

        model_config = ConfigDict(allow_inf_nan=False)

        start: Annotated[float, Field(ge=0, lt=1)] = 0.0
        """Share of the training after which the decay begins."""
        final: NonNegativeFloat = 0.0
        """Factor at the end of the training; above 1 the option grows."""

    options: Options

    def factor(self, step: int, total_steps: int) -> float:
        """Return the factor of the update of `step`."""
        elapsed = (step / total_steps - self.options.start) / (1 - self.options.start)
        remaining = self.remaining(min(max(elapsed, 0.0), 1.0))
        return self.options.final + (1 - self.options.final) * remaining

    @abstractmethod
    def remaining(self, elapsed: float) -> float:
        """Return the share of the way to `final` that remains, from 1 to 0, as a function of the elapsed share."""


class Linear(_Decay):
    """Linear decay to `final`."""

    def remaining(self, elapsed: float) -> float:
        """Return the remaining share."""
        return 1 - elapsed


class Cosine(_Decay):
    """Decay along half a cosine to `final`.

    References:
        Loshchilov & Hutter 2016, SGDR, arXiv:1608.03983, eq. 5, without restarts.
    """

    def remaining(self, elapsed: float) -> float:
        """Return the remaining share."""
        return (1 + math.cos(math.pi * elapsed)) / 2

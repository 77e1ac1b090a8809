"""A schedule that halves a number at regular steps, with larger batches for the generator."""

from __future__ import annotations

from ganforge import Component, Schedule, hookimpl

SETTINGS = (
    *("gen=mlp", "gen.hidden=[32]", "disc=mlp", "disc.hidden=[32]", "disc.dropout=0.0"),
    *("batch_size=8", "generator_batch_size=16"),
    *("optimizer.gen.schedule=staircase", "optimizer.gen.schedule.interval=5", "optimizer.disc.schedule=staircase"),
)


class Staircase(Schedule):
    """Factor that is multiplied at regular intervals."""

    class Options(Schedule.Options):
        """Options of the schedule."""

        interval: int = 10
        """Steps with the same factor."""
        ratio: float = 0.5
        """Factor of one interval over that of the interval before."""

    options: Options

    def factor(self, step: int, total_steps: int) -> float:
        """Return ratio^⌊step / interval⌋."""
        return float(self.options.ratio ** (step // self.options.interval))


@hookimpl
def ganforge_components() -> list[Component]:
    """Provide the schedule."""
    return [Component(kind="schedule", name="staircase", target=Staircase, summary="Halved at regular steps.")]

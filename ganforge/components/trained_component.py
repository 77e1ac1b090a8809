"""Base of all components that take part in a training step."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, ClassVar

from torch import nn

from ganforge.components.base import Configurable


class TrainedComponent(Configurable, nn.Module):
    """Component with weights or state.

    The parameters, buffers and submodules that it registers are moved to the device, copied for preflight, saved in
    checkpoints and restored. Plain Python attributes are not.

    Attributes:
        optimized_in: Phase whose optimizer trains a submodule or parameter, by attribute name. `"gen"` and `"disc"` are
            the updates of the generator and the discriminator; any other name adds a phase with an optimizer and a
            checkpoint file of its own, updated after them unless `phase_order` is set.
        frozen: Names of submodules that never change, such as a pretrained encoder. They stay in evaluation mode,
            their weights get no gradient, and checkpoints hold their fingerprint instead of their weights.
    """

    optimized_in: ClassVar[Mapping[str, str]] = {}
    frozen: ClassVar[tuple[str, ...]] = ()

    def setup(self, modules: Mapping[str, Any]) -> None:
        """Create networks whose sizes depend on other components.

        Called once on the CPU, in new and in resumed runs, before optimizers are created.

        Args:
            modules: All trained components: `generator`, `discriminator`, `loss`, `latent`, and terms and augmentations
                by name.
        """

    def initialize(self) -> None:
        """Load initial weights, such as pretrained ones, after `setup`.

        Called once in a new run. A resumed run and `ganforge sample` take the weights from the checkpoint instead, so
        they do not need the initial files. Components with `frozen` submodules are initialized every time.
        """

    def stage(self, step: int) -> Hashable:
        """Return a key of the Python code path at a step, such as the resolution of progressive growing.

        Called before every update, also to switch the component to the stage. Compiled and recorded updates are rebuilt
        when the key changes.
        """
        return None

"""Loss of an auxiliary classifier (AC-GAN)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ganforge import DiscriminatorOutput, Generator, LossTerm, TrainStep
from ganforge.errors import IncompatibleError


class AcGan(LossTerm):
    """Cross-entropy of the classes that the discriminator predicts: -L_C of Odena et al. 2017, eq. 3.

    The discriminator lowers it on real images and on fakes, whose classes the generator was given; the generator lowers
    it on its fakes. Both networks lower it on fakes together, so they may agree on a code in which a fake 8 is called a
    1. Without `classify_fakes` the discriminator learns classes from real images alone.
    """

    phases: ClassVar[tuple[str, ...]] = ("disc", "gen")
    conditional: ClassVar[bool] = True
    partners: ClassVar[Mapping[str, str]] = {"gen": "conditional-dcgan", "disc": "ac-dcgan"}

    class Options(LossTerm.Options):
        """Options of the auxiliary classifier's loss."""

        classify_fakes: bool = True
        """Train the discriminator's classifier on fakes too, as in the paper."""

    options: Options

    def setup(self, modules: Mapping[str, nn.Module]) -> None:
        """Raise IncompatibleError unless the generator makes images of given classes."""
        generator = modules["generator"]
        assert isinstance(generator, Generator)  # noqa: S101 - the engine's promise
        if generator.image.num_classes is None:
            raise IncompatibleError(
                "term 'ac-gan' needs class labels, but the data has none",
                fix="use data with class labels (subfolders of a folder are classes)",
            )
        if not generator.conditional:
            raise IncompatibleError(
                "term 'ac-gan' needs a generator of given classes, but this one is not conditional: its fakes have no "
                "classes that a classifier could learn",
                fix="use a conditional generator, such as --gen conditional-dcgan",
            )

    def forward(self, step: TrainStep) -> Tensor:
        """Return the cross-entropy of each image's class, `(N,)`; in the discriminator's phase of real and fake."""
        if step.phase == "gen":
            return class_loss(step.fake_output, step.condition)
        real = class_loss(step.real_output, step.condition)
        return real + class_loss(step.fake_output, step.condition) if self.options.classify_fakes else real


def class_loss(output: DiscriminatorOutput, classes: Tensor | None) -> Tensor:
    """Return the cross-entropy of each image's class, `(N,)`.

    Args:
        output: Output of the discriminator.
        classes: `(N,)` int64; not None for data with class labels.

    Raises:
        IncompatibleError: The discriminator has no auxiliary classifier.
    """
    if output.class_logits is None:
        raise IncompatibleError(
            "term 'ac-gan' compares class logits with classes, but the discriminator gives no class logits",
            fix="use a discriminator with an auxiliary classifier, such as --disc ac-dcgan",
        )
    assert classes is not None  # noqa: S101 - see `setup`
    return cross_entropy(output.class_logits, classes, reduction="none")

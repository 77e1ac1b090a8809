"""A component that is examined: made afresh as often as a check likes."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ganforge.components import DiscriminatorOutput, ImageSpec, Options
from ganforge.components.spec import Kind
from ganforge.errors import GanforgeError, UsageError
from ganforge.plugins.registry import Entry, Registry
from ganforge.utils.rng import layers_seeded, stream_rng

#: Networks and extractors are examined at the first of these sizes that they accept, unless the author names one.
SIZES = tuple(
    ImageSpec(channels, side, side, num_classes=10)
    for channels, side in ((1, 28), (3, 32), (1, 32), (3, 64), (1, 64), (3, 128), (3, 256))
)
#: Kinds that are built for the data's image shape.
SHAPED: frozenset[Kind] = frozenset({"generator", "discriminator", "features"})


@dataclass
class Subject:
    """Hold a component's class and options, and the image shape that it is examined at.

    image: what networks, extractors, losses, penalties and augmentations are given; classes are ten, so that there are
    labels.
    """

    registry: Registry
    entry: Entry
    cls: type[Any]
    options: Options
    image: ImageSpec
    kept: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        """The component's kind."""
        return self.entry.component.kind

    def make(self, seed: int = 0, image: ImageSpec | None = None) -> Any:  # noqa: ANN401 - of whichever interface
        """Build the component as the engine does, on the CPU, with weights that the seed decides."""
        with layers_seeded(seed, "weights/generator"):
            if self.kind in SHAPED:
                shape = self.image if image is None else image
                self.cls.check_image(self.options, shape)
                return self.cls(self.options, shape)
            return self.cls(self.options)

    def network(self) -> Any:  # noqa: ANN401
        """Return a copy of the network, built once for all checks, in training mode."""
        if "network" not in self.kept:
            self.kept["network"] = self.make()
        return copy.deepcopy(self.kept["network"]).train()

    def rng(self, number: int = 0) -> torch.Generator:
        """Return a fresh random generator on the CPU."""
        return stream_rng(number, "conformance")

    def labels(self, count: int) -> Tensor:
        """Return labels that go through the classes in turn, `(N,)` int64."""
        return torch.arange(count) % (self.image.num_classes or 1)

    def pictures(self, count: int, number: int = 0) -> Tensor:
        """Return smooth images in [-1, 1], `(N, C, H, W)`: bright blobs at places that `number` decides."""
        channels, height, width = self.image.channels, self.image.height, self.image.width
        rng = self.rng(number)
        centres = torch.rand(count, channels, 2, 1, 1, generator=rng)
        spread = 0.1 + 0.2 * torch.rand(count, channels, 1, 1, generator=rng)
        rows, columns = torch.linspace(0, 1, height).view(-1, 1), torch.linspace(0, 1, width)
        squared = (rows - centres[:, :, 0]).square() + (columns - centres[:, :, 1]).square()
        return torch.exp(-squared / (2 * spread.square())) * 2 - 1

    @property
    def label(self) -> str:
        """The component's kind and qualified name, for people."""
        return f"{self.kind} {self.entry.qualified_name}"


def open_subject(
    registry: Registry,
    entry: Entry,
    options: Mapping[str, Any] | None = None,
    image: ImageSpec | None = None,
) -> Subject:
    """Import a component's class and validate its options.

    Raises PluginError, UsageError, and IncompatibleError where a network or extractor refuses the image asked for.
    """
    cls = registry.load(entry)
    try:
        validated = cls.Options.model_validate(dict(options or {}))
    except ValueError as error:
        needed = [name for name, item in cls.Options.model_fields.items() if item.is_required()]
        fix = f"give {', '.join(needed)}: --set {needed[0]}=VALUE, or options= in a test" if needed else None
        raise UsageError(f"{entry}: its options do not validate: {' '.join(str(error).split())}", fix=fix) from None
    shaped = entry.component.kind in SHAPED
    if image is not None and shaped:
        cls.check_image(validated, image)
    shape = image if image is not None else _fitting(cls, validated) if shaped else SIZES[0]
    return Subject(registry, entry, cls, validated, shape)


def _fitting(cls: type[Any], options: Options) -> ImageSpec:
    """Return the first of the usual sizes that a class accepts; the first of all where it accepts none."""
    for image in SIZES:
        try:
            cls.check_image(options, image)
        except GanforgeError:
            continue
        return image
    return SIZES[0]


def judgement(logits: Tensor, image: ImageSpec, *, number: int = 0) -> DiscriminatorOutput:
    """Return a judgement with everything that a loss may look at: labels, class logits and two layers of features."""
    count, classes = len(logits), image.num_classes or 1
    rng = stream_rng(number, "conformance")
    class_logits = torch.randn(count, classes, generator=rng)
    features = (torch.randn(count, 8, generator=rng), torch.randn(count, 4, 3, 3, generator=rng))
    given = (class_logits, *features)
    for values in given:
        values.requires_grad_(logits.requires_grad)
    return DiscriminatorOutput(logits, torch.arange(count) % classes, class_logits, features)

"""Component under examination: built as often as a check needs it, among stubs or the partners that it names."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from ganforge.components import ComponentOptions, ConditionSpec, ImageSpec, ImageTensors, TrainedComponent
from ganforge.components.spec import SECTIONS, Kind, Section
from ganforge.data.loader import Batch
from ganforge.errors import GanforgeError, UsageError
from ganforge.plugins.registry import Entry, Registry
from ganforge.testing.stubs import StubDiscriminator, StubGenerator, StubLatent, StubLoss, condition_specs
from ganforge.utils.images import normalize
from ganforge.utils.rng import derive_generator, fork_torch_rng
from ganforge.utils.suggest import did_you_mean

#: Networks and extractors are examined at the first of these sizes that they accept, unless the author names one.
SIZES = tuple(
    ImageSpec(channels, side, side)
    for channels, side in ((1, 28), (3, 32), (1, 32), (3, 64), (1, 64), (3, 128), (3, 256))
)
#: Kinds that are built for the data's images.
SHAPED: frozenset[Kind] = frozenset({"generator", "discriminator", "features"})
#: Kinds that take part in a training step.
TRAINED: tuple[Kind, ...] = ("generator", "discriminator", "loss", "term", "augmentation", "latent")
#: Key of a component among the modules of a training step; terms and augmentations have their own names.
SLOTS: dict[Section, str] = {"gen": "generator", "disc": "discriminator", "loss": "loss", "latent": "latent"}
STUBS: dict[Section, type[Any]] = {
    "gen": StubGenerator,
    "disc": StubDiscriminator,
    "loss": StubLoss,
    "latent": StubLatent,
}


@dataclass
class Fixture:
    """Class and options of the component under examination, and the data that it is examined with.

    Attributes:
        registry: Source of partners.
        entry: The component.
        cls: Its class.
        options: Its options.
        image: Images that it is examined with.
        partners: Components that it is combined with instead of the kit's stubs, by flag.
        data: Training images of a dataset partner, or None for the kit's own images.
        expected_on_linear: Value of a discriminator's term for D(x) = ⟨w, x⟩ as a function of |w|, or None.
        kept: Objects that checks share.
    """

    registry: Registry
    entry: Entry
    cls: type[Any]
    options: ComponentOptions
    image: ImageSpec
    partners: Mapping[Section, Entry] = field(default_factory=dict)
    data: Any = None
    expected_on_linear: Callable[[float], float] | None = None
    kept: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        """Kind of the component."""
        return self.entry.component.kind

    @property
    def section(self) -> Section | None:
        """Flag of the component's kind; None for optimizers and schedules."""
        return next((section for section, kind in SECTIONS.items() if kind == self.kind), None)

    @property
    def slot(self) -> str:
        """Key of the component among the modules of a training step."""
        return SLOTS.get(self.section, self.entry.component.name)  # type: ignore[arg-type]  # None has no slot

    @property
    def shaped(self) -> bool:
        """Whether the component is built for the data's images."""
        return self.kind in SHAPED

    @property
    def label(self) -> str:
        """Kind and qualified name of the component, for users."""
        return f"{self.kind} {self.entry.qualified_name}"

    def at(self, image: ImageSpec) -> Fixture:
        """Return a fixture for other images."""
        return replace(self, image=image, data=None, kept={})

    # Building

    def make(self, seed: int = 0, image: ImageSpec | None = None) -> Any:  # noqa: ANN401 - of any interface
        """Build the component as the engine does, on the CPU, with weights that the seed decides."""
        fixture = self if image is None else self.at(image)
        if self.kind in TRAINED:
            return fixture.assemble(seed)[self.slot]
        return fixture.construct(seed)

    def construct(self, seed: int = 0) -> Any:  # noqa: ANN401 - as above
        """Call the component's constructor."""
        with fork_torch_rng(seed, "weights/component"):
            return _construct(self.cls, self.options, self.image, shaped=self.shaped)

    def assemble(self, seed: int = 0) -> dict[str, nn.Module]:
        """Build everything that takes part in a training step: the component among partners or stubs, in training mode.

        Raises:
            GanforgeError: The component refuses the images.
        """
        component = self.construct(seed)
        modules: dict[str, nn.Module] = {}
        for section, slot in SLOTS.items():
            if slot != self.slot:
                modules[slot] = self.partner(section) if section in self.partners else self._stub(section)
        modules |= {
            entry.component.name: self.partner(section)
            for section, entry in self.partners.items()
            if section in {"term", "augment"}
        }
        modules[self.slot] = component
        with fork_torch_rng(seed, "weights/setup"):
            for module in modules.values():
                if isinstance(module, TrainedComponent):
                    module.setup(modules)
            for module in modules.values():
                if isinstance(module, TrainedComponent):
                    module.initialize()
        for module in modules.values():
            training_mode(module)
        return modules

    def _stub(self, section: Section) -> nn.Module:
        cls = STUBS[section]
        with fork_torch_rng(0, f"weights/{section}"):
            module: nn.Module = _construct(cls, cls.Options(), self.image, shaped=SECTIONS[section] in SHAPED)
            return module

    def partner(self, section: Section) -> Any:  # noqa: ANN401 - of any interface
        """Build a partner with its default options."""
        cls = self.registry.load(self.partners[section])
        with fork_torch_rng(0, f"weights/{section}"):
            return _construct(cls, cls.Options(), self.image, shaped=SECTIONS[section] in SHAPED)

    def network(self) -> Any:  # noqa: ANN401 - a Generator or a Discriminator
        """Return a copy of the network, built once for all checks, in training mode."""
        if "network" not in self.kept:
            self.kept["network"] = self.make()
        return training_mode(copy.deepcopy(self.kept["network"]))

    # Data

    def rng(self, number: int = 0) -> torch.Generator:
        """Return a new random generator on the CPU."""
        return derive_generator(number, "conformance")

    def pictures(self, count: int, number: int = 0) -> Tensor:
        """Return images as networks see them, `(N, C, H, W)` in [-1, 1]: blobs, or those of the dataset partner."""
        return (
            blobs(count, self.image.shape, self.rng(number)) if self.data is None else self.batch(count, number).images
        )

    def conditions(self, count: int, number: int = 0) -> Tensor | None:
        """Return conditions as networks see them: `(N,)` int64 classes, `(N, D)` vectors, `(N, …)` tensors, or None."""
        spec = self.image.condition
        if spec is None or self.data is not None:
            return None if spec is None else self.batch(count, number).condition
        return condition_of(spec, count, self.rng(number), offset=number)

    def latents(self, count: int, dim: int, number: int = 0) -> Tensor:
        """Return latents, `(N, Z)`, of the latent partner or standard normal."""
        latent = self.partner("latent") if "latent" in self.partners else StubLatent(StubLatent.Options())
        values: Tensor = latent.sample(count, dim, self.rng(number))
        return values

    def batch(self, count: int, number: int = 0) -> Batch:
        """Return a batch of real images with conditions and extras."""
        if self.data is None:
            return Batch(self.pictures(count, number), self.conditions(count, number), {})
        tensors = _items(self.data, (torch.arange(count) + number * count) % len(self.data))
        condition = None if tensors.condition is None else normalize(tensors.condition)
        return Batch(normalize(tensors.images), condition, tensors.extras)


def training_mode(module: nn.Module) -> Any:  # noqa: ANN401 - the module itself
    """Return a module in training mode, its frozen submodules in evaluation mode and without gradients."""
    module.train()
    for name in getattr(module, "frozen", ()):
        module.get_submodule(name).eval().requires_grad_(False)
    return module


def condition_of(spec: ConditionSpec, count: int, rng: torch.Generator, *, offset: int = 0) -> Tensor:
    """Return conditions of a spec, as networks see them; classes in turn, from `offset`."""
    if spec.num_classes is not None:
        return (torch.arange(count) + offset) % spec.num_classes
    if spec.is_image:
        return blobs(count, spec.shape, rng)
    return torch.rand(count, *spec.shape, generator=rng) * 2 - 1


def blobs(count: int, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
    """Return smooth images in [-1, 1], `(N, C, H, W)`: bright blobs at random places."""
    channels, height, width = shape
    centers = torch.rand(count, channels, 2, 1, 1, generator=rng)
    spread = 0.1 + 0.2 * torch.rand(count, channels, 1, 1, generator=rng)
    rows, columns = torch.linspace(0, 1, height).view(-1, 1), torch.linspace(0, 1, width)
    squared = (rows - centers[:, :, 0]).square() + (columns - centers[:, :, 1]).square()
    return torch.exp(-squared / (2 * spread.square())) * 2 - 1


def open_fixture(
    registry: Registry,
    entry: Entry,
    options: Mapping[str, Any] | None = None,
    image: ImageSpec | None = None,
    expected_on_linear: Callable[[float], float] | None = None,
    sizes: Sequence[ImageSpec] = SIZES,
) -> Fixture:
    """Import a component's class, validate its options, and find its partners.

    Args:
        registry: Source of partners.
        entry: The component.
        options: Its options.
        image: Images with their condition; by default the first size and condition that it accepts.
        expected_on_linear: Value of a discriminator's term for D(x) = ⟨w, x⟩ as a function of |w|.
        sizes: Sizes to choose from.

    Raises:
        PluginError: The class cannot be imported.
        UsageError: The options do not validate, or a partner does not exist.
        IncompatibleError: A network or extractor refuses the requested image.
    """
    cls = registry.load(entry)
    try:
        validated = cls.Options.model_validate(dict(options or {}))
    except ValueError as error:
        needed = [name for name, item in cls.Options.model_fields.items() if item.is_required()]
        fix = f"give {', '.join(needed)}: --set {needed[0]}=VALUE, or options= in a test" if needed else None
        raise UsageError(f"{entry}: its options do not validate: {' '.join(str(error).split())}", fix=fix) from None
    partners = _find_partners(registry, entry, cls)
    shaped = entry.component.kind in SHAPED
    if image is not None and shaped:
        cls.check_image(validated, image)
    data = None
    if image is None and "data" in partners:
        dataset_class = registry.load(partners["data"])
        dataset = dataset_class(dataset_class.Options())
        image, data = dataset.info.image, dataset.open("train")
    if image is None:
        image = _first_accepted(cls, validated, sizes) if shaped else _usual(sizes[0])
    return Fixture(registry, entry, cls, validated, image, partners, data, expected_on_linear)


def _find_partners(registry: Registry, entry: Entry, cls: type[Any]) -> dict[Section, Entry]:
    """Return the partners that a class names; those of its own distribution come first."""
    partners: dict[Section, Entry] = {}
    for section, name in cls.partners.items():
        if section not in SECTIONS:
            raise UsageError(f"{entry}: `partners` has no key {section!r}{did_you_mean(section, SECTIONS)}")
        kind = SECTIONS[section]
        own = registry.get(kind, f"{entry.source.distribution}/{name}") if "/" not in name else None
        partners[section] = own or registry.find(kind, name)
    return partners


def _usual(size: ImageSpec) -> ImageSpec:
    return replace(size, condition=ConditionSpec.classes(10))


def _first_accepted(cls: type[Any], options: ComponentOptions, sizes: Sequence[ImageSpec]) -> ImageSpec:
    """Return the first size and condition that a class accepts. Raises its error for the first if it accepts none."""
    for condition in (*condition_specs(sizes[0]), None):
        for size in sizes:
            fitted = condition if condition is None or not condition.is_image else ConditionSpec.tensor(size.shape)
            try:
                cls.check_image(options, image := replace(size, condition=fitted))
            except GanforgeError:
                continue
            return image
    cls.check_image(options, _usual(sizes[0]))
    return _usual(sizes[0])


def _construct(cls: type[Any], options: ComponentOptions, image: ImageSpec, *, shaped: bool) -> Any:  # noqa: ANN401 - of any interface
    if not shaped:
        return cls(options)
    cls.check_image(options, image)
    return cls(options, image)


def _items(data: Any, indices: Tensor) -> ImageTensors:  # noqa: ANN401 - tensors in memory, or a map-style dataset
    """Return some items of an open split."""
    if isinstance(data, ImageTensors):
        return data.select(indices)
    items = [(*data[int(index)], {})[:3] for index in indices]
    images, conditions, extras = zip(*items, strict=True)
    named = {name: torch.stack([extra[name] for extra in extras]) for name in extras[0]}
    condition = None if conditions[0] is None else torch.stack([torch.as_tensor(value) for value in conditions])
    return ImageTensors(torch.stack(images), condition, named)

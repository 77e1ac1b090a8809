"""Component under examination, in the configuration of a small run: among the partners that it names, or stubs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import torch

from ganforge.components import ComponentOptions, ConditionSpec, ImageSpec
from ganforge.components.spec import SECTIONS, Component, Kind, Section
from ganforge.config import Layer
from ganforge.config.dotted import NOTHING
from ganforge.config.references import SEVERAL
from ganforge.config.resolve import resolve
from ganforge.config.resolved import ResolvedConfig, with_values
from ganforge.data.loader import Batch
from ganforge.data.scoring import Scoring, build_scoring
from ganforge.errors import GanforgeError, UsageError
from ganforge.plugins import Plugins, Source
from ganforge.plugins.registry import Entry, Registry
from ganforge.testing.stubs import StubDataset, condition_specs
from ganforge.training.build import GANComponents, build, set_training_mode
from ganforge.utils.rng import derive_generator, fork_torch_rng
from ganforge.utils.suggest import did_you_mean

T = TypeVar("T")

#: Networks and extractors are examined at the first of these sizes that they accept, unless the author names one.
SIZES = tuple(
    ImageSpec(channels, side, side)
    for channels, side in ((1, 28), (3, 32), (1, 32), (3, 64), (1, 64), (3, 128), (3, 256))
)
#: Kinds that are built for the data's images.
SHAPED: frozenset[Kind] = frozenset({"generator", "discriminator", "features"})
#: Kinds that take part in a training step.
TRAINED: tuple[Kind, ...] = ("generator", "discriminator", "loss", "term", "augmentation", "latent")
#: Kinds whose runs are evaluated, in the middle and at the end.
EVALUATED: frozenset[Kind] = frozenset({"features", "metric"})
#: Option that an examined schedule applies to.
SCHEDULED = "optimizer.gen.lr"

STEPS, HALF, BATCH_SIZE, MIN_IMAGES = 20, 10, 8, 64
KIT = "ganforge-kit"
STUB = f"{KIT}/stub"
STUBS: dict[Kind, str] = {
    "generator": "StubGenerator",
    "discriminator": "StubDiscriminator",
    "loss": "StubLoss",
    "dataset": "StubDataset",
    "latent": "StubLatent",
    "optimizer": "StubOptimizer",
    "features": "StubExtractor",
    "metric": "StubMetric",
}
SETTINGS = {
    "steps": STEPS,
    "batch_size": BATCH_SIZE,
    "seed": 3,
    "device": "cpu",
    "precision": "fp32",
    "compile": "off",
    "checkpoint_every": HALF,
    "keep_checkpoints": 9,
    "log_every": 1,
    "sample_every": STEPS,
    "workers": 0,
}


@dataclass(eq=False)
class Fixture:
    """Class and options of the component under examination, and the run that it is examined in.

    Attributes:
        registry: Source of partners, with the kit's stubs.
        entry: The component.
        cls: Its class.
        options: Its options.
        image: Images that it is examined with.
        partners: Components that it is combined with instead of the kit's stubs, by flag.
        expected_on_linear: Value of a discriminator's term for D(x) = ⟨w, x⟩ as a function of |w|, or None.
        num_samples: Images in an evaluation.
        kept: Objects that checks share, by the function that makes them.
    """

    registry: Registry
    entry: Entry
    cls: type[Any]
    options: ComponentOptions
    image: ImageSpec
    partners: Mapping[Section, Entry] = field(default_factory=dict)
    expected_on_linear: Callable[[float], float] | None = None
    num_samples: int = BATCH_SIZE
    kept: dict[Callable[..., Any], Any] = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        """Kind of the component."""
        return self.entry.component.kind

    @property
    def slot(self) -> str:
        """Key of the component among the modules of a training step."""
        named = self.kind in {"term", "augmentation"}
        return self.registry.name_of(self.entry) if named else self.kind

    @property
    def plain_options(self) -> dict[str, Any]:
        """Options as a configuration holds them."""
        return {key: NOTHING if value is None else value for key, value in self.options.model_dump(mode="json").items()}

    def at(self, image: ImageSpec) -> Fixture:
        """Return a fixture for other images, which are the kit's own."""
        partners: dict[Section, Entry] = {key: entry for key, entry in self.partners.items() if key != "data"}
        return replace(self, image=image, partners=partners, kept={})

    def once(self, make: Callable[[Fixture], T]) -> T:
        """Return the result of a function of this fixture, computed once for all checks."""
        if make not in self.kept:
            self.kept[make] = make(self)
        result: T = self.kept[make]
        return result

    # The run

    @cached_property
    def resolved(self) -> ResolvedConfig:
        """Configuration of a short run of the component among its partners and the kit's stubs."""
        own = {self.entry.qualified_name: self.plain_options}
        settings: dict[str, Any] = {section: self._table(section, own) for section in SECTIONS} | SETTINGS
        settings["optimizer"] = _named(own if self.kind == "optimizer" else {STUB: {}})
        if self.kind == "schedule":
            settings["schedules"] = {SCHEDULED: _named(own)}
        if self.kind in EVALUATED:
            settings |= {"evaluate_every": HALF, "num_samples": self.num_samples}
        return resolve([Layer("conformance kit", settings, loose=True)], self.registry)

    def _table(self, section: Section, own: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """Return the settings of one section: the component, its partner, or the kit's stub."""
        several = section in SEVERAL
        chosen: dict[str, dict[str, Any]] = {}
        if section in self.partners:
            chosen[self.partners[section].qualified_name] = {}
        if self.kind == SECTIONS[section]:
            chosen = chosen | own if several else own
        if not chosen and (not several or (section == "metric" and self.kind == "features")):
            images = {"images": max(MIN_IMAGES, 4 * self.num_samples)}
            chosen = {STUB: StubDataset.Options.of(self.image) | images if section == "data" else {}}
        return {"names": list(chosen), **chosen} if several else _named(chosen)

    @cached_property
    def scoring(self) -> Scoring:
        """Data, metrics and feature extractor of the run."""
        return build_scoring(self.resolved)

    def build(self, seed: int = 0) -> GANComponents:
        """Build all components of the run as the engine does, on the CPU, in training mode.

        Raises:
            GanforgeError: A component fails, or refuses the images.
        """
        gan = build(with_values(self.resolved, "the check", seed=seed), self.scoring.dataset)
        set_training_mode(gan.modules())
        return gan

    def make(self, seed: int = 0) -> Any:  # noqa: ANN401 - of any interface
        """Build the component."""
        if self.kind in TRAINED:
            return self.build(seed).modules()[self.slot]
        with fork_torch_rng(seed, "weights/component"):
            return self.construct()

    def construct(self) -> Any:  # noqa: ANN401 - as above
        """Call the component's constructor."""
        if self.kind not in SHAPED:
            return self.cls(self.options)
        self.cls.check_image(self.options, self.image)
        return self.cls(self.options, self.image)

    @cached_property
    def gan(self) -> GANComponents:
        """All components of the run, which checks leave unchanged."""
        return self.build()

    def network(self) -> Any:  # noqa: ANN401 - a Generator or a Discriminator
        """Return a copy of the network, in training mode."""
        return copy.deepcopy(self.gan.modules()[self.slot])

    # Data

    def rng(self, number: int = 0) -> torch.Generator:
        """Return a new random generator on the CPU."""
        return derive_generator(number, "conformance")

    def batch(self, count: int, number: int = 0) -> Batch:
        """Return a batch of real images with conditions and extras, from the image of a number on."""
        size = self.scoring.info.sizes["train"]
        tensors = self.scoring.take("train", [(number + index) % size for index in range(count)], "check")
        return Batch.of(tensors)


def _named(chosen: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    ((name, options),) = chosen.items()
    return {"name": name, **options}


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
    elif image is None and "data" in partners:
        dataset = registry.load(partners["data"])
        image = dataset(dataset.Options()).info.image
    elif image is None:
        image = _first_accepted(cls, validated, sizes) if shaped else _usual(sizes[0])
    return Fixture(_with_stubs(registry), entry, cls, validated, image, partners, expected_on_linear)


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


def _with_stubs(registry: Registry) -> Registry:
    """Return a registry that has the kit's stubs, in addition to everything that it had."""
    stubs = [Component(kind=kind, name="stub", target=f"ganforge.testing.stubs:{name}") for kind, name in STUBS.items()]
    plugins: Plugins = copy.copy(registry.plugins)
    plugins.components = [*plugins.components, *((stub, Source(KIT, "1")) for stub in stubs)]
    return Registry(plugins, no_plugins=registry.no_plugins)


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

"""Build the components of an experiment on the CPU, with weights that the seed determines."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn

from ganforge.components import (
    Augmentation,
    Dataset,
    DatasetInfo,
    Discriminator,
    Generator,
    LatentDistribution,
    LossTerm,
    Network,
    TrainedComponent,
)
from ganforge.config import ComponentRef
from ganforge.config.resolved import ResolvedComponent, ResolvedConfig
from ganforge.data.scoring import Scoring, blame, build_scoring
from ganforge.errors import GanforgeError, IncompatibleError, PluginError
from ganforge.utils.rng import Stream, fork_torch_rng


@dataclass(kw_only=True)
class TrainedModules:
    """Components of a training step; terms and augmentations by name, in the order of the configuration."""

    resolved: ResolvedConfig
    generator: Generator
    discriminator: Discriminator
    loss: LossTerm
    latent: LatentDistribution
    terms: dict[str, LossTerm]
    augmentations: dict[str, Augmentation]

    @property
    def all_terms(self) -> dict[str, LossTerm]:
        """The adversarial loss, as `loss`, and the further terms."""
        return {"loss": self.loss, **self.terms}

    @property
    def adaptive_augmentations(self) -> dict[str, Augmentation]:
        """The augmentations that adapt to the real images' logits."""
        return {
            name: augmentation
            for name, augmentation in self.augmentations.items()
            if type(augmentation).observe is not Augmentation.observe
        }

    def reweighting_terms(self, name: str, phase: str) -> dict[str, LossTerm]:
        """Return the terms that reweight a term in a phase."""
        return {
            other_name: other
            for other_name, other in self.all_terms.items()
            if other_name != name
            and name in other.reweights
            and type(other).reweight is not LossTerm.reweight
            and (not other.phases or phase in other.phases)
        }

    def modules(self) -> dict[str, TrainedComponent]:
        """Return all trained components, as `TrainStep.modules` has them."""
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "loss": self.loss,
            "latent": self.latent,
            **{self.augmentation_key(name): module for name, module in self.augmentations.items()},
            **self.terms,
        }

    def augmentation_key(self, name: str) -> str:
        """Return the name of an augmentation among the modules; a term may have the same name."""
        return f"augmentation-{name}" if name in self.terms else name

    def owners(self) -> dict[str, ResolvedComponent]:
        """Return the configuration of each trained component."""
        one, chosen = self.resolved.one, self.resolved.chosen
        return {
            "generator": one("gen"),
            "discriminator": one("disc"),
            "loss": one("loss"),
            "latent": one("latent"),
            **dict(zip(map(self.augmentation_key, self.augmentations), chosen["augment"], strict=True)),
            **dict(zip(self.terms, chosen["term"], strict=True)),
        }

    def optimized_modules(self) -> dict[str, tuple[str, nn.Module | nn.Parameter]]:
        """Return the submodules in `optimized_in` of all components, by `COMPONENT.ATTRIBUTE`, with their phases.

        Raises PluginError if an attribute is not a module or parameter.
        """
        optimized: dict[str, tuple[str, nn.Module | nn.Parameter]] = {}
        for name, component in self.modules().items():
            for attribute, phase in component.optimized_in.items():
                value = getattr(component, attribute, None)
                if not isinstance(value, nn.Module | nn.Parameter):
                    raise PluginError(
                        f"{self.owners()[name].entry}: optimized_in names {attribute!r}, a "
                        f"{type(value).__name__}; a submodule or parameter is required",
                        fix="create it in the constructor or in setup()",
                    )
                optimized[f"{name}.{attribute}"] = (phase, value)
        return optimized

    def frozen_modules(self) -> dict[str, nn.Module]:
        """Return the submodules in `frozen` of all components, by `COMPONENT.ATTRIBUTE`. Raises PluginError."""
        modules = {}
        for name, component in self.modules().items():
            for attribute in component.frozen:
                try:
                    modules[f"{name}.{attribute}"] = component.get_submodule(attribute)
                except AttributeError:
                    entry = self.owners()[name].entry
                    raise PluginError(f"{entry}: frozen names {attribute!r}, which is not a submodule") from None
        return modules


@dataclass(kw_only=True)
class GANComponents(TrainedModules, Scoring):
    """Components of an experiment: data, metrics and the trained components."""

    def copy(self) -> GANComponents:
        """Return the components with copies of the trained ones."""
        names = [field.name for field in dataclasses.fields(TrainedModules) if field.name != "resolved"]
        copies = copy.deepcopy(
            {name: getattr(self, name) for name in names}
        )  # in one call, since they may refer to each other
        other = copy.copy(self)
        for name, value in copies.items():
            setattr(other, name, value)
        return other


def build(resolved: ResolvedConfig, dataset: Dataset | None = None, *, initialize: bool = True) -> GANComponents:
    """Build every component; the dataset may be open already. Without `initialize`, a checkpoint has the weights.

    Raises DataError if the data cannot be read, PluginError if a component fails, and IncompatibleError if a network
    does not support the images.
    """
    scoring = build_scoring(resolved, dataset)
    trained = build_modules(resolved, scoring.info, initialize=initialize)
    names = [field.name for field in dataclasses.fields(TrainedModules)]
    return GANComponents(
        dataset=scoring.dataset,
        info=scoring.info,
        metrics=scoring.metrics,
        **{name: getattr(trained, name) for name in names},
    )


def build_modules(resolved: ResolvedConfig, info: DatasetInfo, *, initialize: bool = True) -> TrainedModules:
    """Build the trained components for a dataset of known shape, without opening it. Raises as `build` does."""
    seed = resolved.experiment.seed
    trained = TrainedModules(
        resolved=resolved,
        generator=build_network(resolved.one("gen"), info, seed, "weights/generator"),
        discriminator=build_network(resolved.one("disc"), info, seed, "weights/discriminator"),
        loss=_build_seeded(resolved.one("loss"), seed, "loss"),
        latent=_build_seeded(resolved.one("latent"), seed, "latent"),
        terms=_build_by_name(resolved.experiment.term, resolved.chosen["term"], seed),
        augmentations=_build_by_name(resolved.experiment.augment, resolved.chosen["augment"], seed),
    )
    set_up(trained, seed, initialize=initialize)
    return trained


def build_network(resolved: ResolvedComponent, info: DatasetInfo, seed: int, stream: Stream) -> Any:  # noqa: ANN401
    """Build a network for the images of the data, if it supports them. Raises as `build` does."""
    with blame(resolved):
        resolved.cls.check_image(resolved.options, info.image)
        with fork_torch_rng(seed, stream):
            network: Network = resolved.cls(resolved.options, info.image)
    if network.conditional and info.image.condition is None:
        raise IncompatibleError(
            f"{resolved.entry} is conditional, but data {info.name!r} has no condition",
            fix="use data with conditions (a folder's subfolders are classes), or a network that is not conditional",
        )
    return network


def _build_seeded(resolved: ResolvedComponent, seed: int, name: str) -> Any:  # noqa: ANN401 - the registry checks it
    with blame(resolved), fork_torch_rng(seed, f"weights/{name}"):
        return resolved.cls(resolved.options)


def _build_by_name(refs: tuple[ComponentRef, ...], chosen: tuple[ResolvedComponent, ...], seed: int) -> dict[str, Any]:
    return {ref.name: _build_seeded(item, seed, ref.name) for ref, item in zip(refs, chosen, strict=True)}


def set_up(gan: TrainedModules, seed: int, *, initialize: bool) -> None:
    """Call `setup` and `initialize` of all components, and freeze their frozen submodules."""
    modules, owners = gan.modules(), gan.owners()

    for name, component in modules.items():
        with _naming(owners[name]):
            with blame(owners[name], "be set up"), fork_torch_rng(seed, f"setup/{name}"):
                component.setup(modules)
            if initialize or component.frozen:
                with blame(owners[name], "be initialized"), fork_torch_rng(seed, f"initialize/{name}"):
                    component.initialize()
    for module in gan.frozen_modules().values():
        module.eval().requires_grad_(requires_grad=False)
    gan.optimized_modules()  # raises PluginError for invalid names


@contextmanager
def _naming(owner: ResolvedComponent) -> Iterator[None]:
    """Add the component to a message of its own that does not name it."""
    try:
        yield
    except GanforgeError as error:
        if owner.entry.component.name in error.message:
            raise
        raise type(error)(f"{owner.entry}: {error.message}", fix=error.fix) from error


def set_training_mode(modules: Mapping[str, TrainedComponent]) -> None:
    """Set components to training mode, except frozen submodules."""
    for component in modules.values():
        component.train()
        for attribute in component.frozen:
            component.get_submodule(attribute).eval()

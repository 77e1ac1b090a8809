"""Registry of good components and mutants, which test_conformance.py examines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ganforge.components import ConditionSpec, ImageSpec
from ganforge.components.spec import Component, Kind
from ganforge.plugins import Plugins, Source
from ganforge.plugins.registry import Registry
from ganforge.testing.fixture import Fixture, open_fixture

IMAGE = ImageSpec(1, 8, 8, ConditionSpec.classes(3))
ANY_TRAINING = ("trains", "resumes-exactly")


@dataclass(frozen=True)
class Good:
    """Component that passes every check."""

    name: str
    kind: Kind
    cls: type[Any]
    image: ImageSpec | None = IMAGE
    expected_on_linear: Callable[[float], float] | None = None


@dataclass(frozen=True)
class Mutant:
    """Class that is broken in one way: `check` must catch it, and no other check but its neighbors may."""

    kind: Kind
    check: str
    cls: type[Any]
    neighbors: tuple[str, ...] = ()
    image: ImageSpec | None = IMAGE
    expected_on_linear: Callable[[float], float] | None = None


GOOD: list[Good] = []
MUTANTS: list[Mutant] = []
#: Components that others name in `partners`, by kind and name.
PARTNERS: list[tuple[Kind, str, type[Any]]] = []


def good(kind: Kind, name: str, **more: Any) -> Callable[[type[Any]], type[Any]]:
    """Register the decorated class as a good component, which others can name as partner."""

    def add(cls: type[Any]) -> type[Any]:
        GOOD.append(Good(name, kind, cls, **more))
        PARTNERS.append((kind, name, cls))
        return cls

    return add


def mutant(kind: Kind, check: str, *neighbors: str, **more: Any) -> Callable[[type[Any]], type[Any]]:
    """Register the decorated class as a mutant."""

    def add(cls: type[Any]) -> type[Any]:
        MUTANTS.append(Mutant(kind, check, cls, neighbors, **more))
        return cls

    return add


def variant(base: type[Any], **members: Any) -> type[Any]:
    """Return a subclass with some members replaced."""
    return type(f"{base.__name__}{len(MUTANTS)}", (base,), {"__module__": base.__module__, **members})


def registry_of(kind: Kind, cls: type[Any]) -> Registry:
    """Return a registry with one component and all partners, as if they were installed."""
    plugins = Plugins()
    source = Source("mutants", "1.0")
    plugins.components = [(Component(kind=kind, name="mutant", target=cls), source)]
    plugins.components += [(Component(kind=of, name=name, target=target), source) for of, name, target in PARTNERS]
    return Registry(plugins)


def fixture_of(case: Good | Mutant) -> Fixture:
    """Return the fixture of a case."""
    registry = registry_of(case.kind, case.cls)
    image = None if "data" in case.cls.partners else case.image
    return open_fixture(registry, registry.find(case.kind, "mutant"), None, image, case.expected_on_linear)

"""Checks of every kind of component."""

from __future__ import annotations

import json
import tomllib

import tomli_w
import torch
from torch import nn

from ganforge.testing.checks import Checks, require, skip
from ganforge.testing.fixture import TRAINED, Fixture
from ganforge.testing.global_state import kept_settings, set_defaults, settings
from ganforge.testing.sandbox import heavy_imports

checks = Checks(needs="builds")


@checks.add("give every option a default, and let the constructor take the same arguments as its base class", needs="")
def builds(fixture: Fixture) -> None:
    """It can be built with its options, and keeps them."""
    component = fixture.construct()
    if fixture.kind in TRAINED:
        fixture.gan  # noqa: B018 - built for all checks, with setup()
    require(component.options == fixture.options, "it loses its options: call super().__init__ with all arguments")


@checks.add("name classes by text, target='package.module:Class', and import torch only in that module", needs="")
def light_import(fixture: Fixture) -> None:
    """Importing the plugin's module does not import torch, so that `ganforge list` answers at once."""
    source = fixture.entry.source
    if source.path is not None:
        skip("a local plugin is imported only where it is named; it may contain its classes")
    modules = [
        getattr(plugin, "__name__", "") for plugin, owner in fixture.registry.plugins.admitted if owner == source
    ]
    if not modules:
        skip("the component does not come from an installed plugin")
    for module in modules:
        heavy = heavy_imports(module)
        require(not heavy, f"importing {module} imports {', '.join(heavy)}")


@checks.add("use types that pydantic writes as plain TOML: numbers, text, lists, paths")
def options_round_trip(fixture: Fixture) -> None:
    """Options survive being written to run.toml and to JSON, and being read again."""
    toml, plain = tomli_w.dumps(fixture.plain_options), json.dumps(fixture.options.model_dump(mode="json"))
    documents = {"TOML": tomllib.loads(toml), "JSON": json.loads(plain)}
    for form, values in documents.items():
        again = fixture.cls.Options.model_validate(values)
        require(again == fixture.options, f"through {form} they become {again!r}, not {fixture.options!r}")


@checks.add("fill what torch.empty returns: torch.randn, torch.zeros, nn.init", kinds=(*TRAINED, "features"))
def initialized_weights(fixture: Fixture) -> None:
    """Its weights are initialized: they do not hold what was in memory before."""
    with kept_settings():
        torch.use_deterministic_algorithms(mode=True)  # torch.empty returns NaN
        component = fixture.make()
    for name, weight in component.named_parameters():
        require(not bool(weight.isnan().any()), f"its weight {name} is not initialized")


@checks.add("draw weights from torch's generator only, as torch's layers do", needs="builds initialized-weights")
def same_seed_same_weights(fixture: Fixture) -> None:
    """Built twice with one seed it has the same weights."""
    components = [fixture.make(1) for _ in range(2)]
    tensors, others = (part.state_dict() if isinstance(part, nn.Module) else {} for part in components)
    if not tensors and not others:
        skip("it has no weights")
    require(tensors.keys() == others.keys(), "it has other weights each time that it is built")
    for name, value in tensors.items():
        require(torch.equal(value, others[name]), f"{name} differs between two of the same seed")


@checks.add("change no global setting and seed nothing: the engine seeds, and resumes exactly")
def leaves_global_state(fixture: Fixture) -> None:
    """Building it changes no global setting of torch, numpy or Python, and seeds no generator."""
    states = []
    for seed in (1, 2):
        with kept_settings():
            set_defaults(seed)
            before = settings()
            fixture.construct()
            after = settings()
            states.append(torch.get_rng_state())
        changed = [name for name, value in before.items() if value != after[name]]
        require(not changed, f"building it changes {', '.join(changed)}")
    require(not torch.equal(*states), "building it seeds torch's global generator")

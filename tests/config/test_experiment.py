"""Experiments made in Python: forms of components, messages, representation."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, get_type_hints

import pytest
import torch

from ganforge.config import Experiment
from ganforge.config.keywords import ExperimentSettings
from ganforge.config.references import SEVERAL, SINGLE
from ganforge.errors import ConfigError
from ganforge.plugins.registry import Registry


class NoiseToImage:
    """Class in place of a name."""


def test_settings_of_editors_are_those_of_an_experiment() -> None:
    """`ExperimentSettings` has each field of `Experiment`, in its order, with the type of plain values."""
    keywords = get_type_hints(ExperimentSettings)
    fields = get_type_hints(Experiment)
    assert list(keywords) == list(Experiment.model_fields)
    written_otherwise = {*SINGLE, *SEVERAL, "init", "optimizer", "schedules", "phase_order"}
    assert {key: keywords[key] for key in keywords if key not in written_otherwise} == {
        key: fields[key] for key in Experiment.model_fields if key not in written_otherwise
    }


def test_options_stand_next_to_the_name() -> None:
    """A table of a name and options equals the one with `options`; both may be mixed."""
    flat = Experiment(gen={"name": "dcgan", "base_channels": 64}, term={"name": "r1", "weight": 2.0})
    nested = Experiment(
        gen={"name": "dcgan", "options": {"base_channels": 64}}, term=[{"name": "r1", "options": {"weight": 2.0}}]
    )
    assert flat == nested
    mixed = Experiment(gen={"name": "x", "options": {"a": 1, "b": 1}, "b": 2})
    assert mixed.gen.options == {"a": 1, "b": 2}


def test_a_class_stands_in_place_of_a_name() -> None:
    """The reference keeps the class, with a name in the form of components, and neither a dump nor options have it."""
    experiment = Experiment(gen=NoiseToImage, disc={"name": NoiseToImage, "width": 8}, term=[NoiseToImage, "r1"])
    assert experiment.gen.cls is experiment.disc.cls is experiment.term[0].cls is NoiseToImage
    assert experiment.gen.name == "noise-to-image"
    assert experiment.disc.options == {"width": 8}
    assert experiment.model_dump()["gen"] == {"name": "noise-to-image", "options": {}}
    assert Experiment(optimizer={"gen": NoiseToImage}).optimizer["gen"].cls is NoiseToImage
    assert Experiment(gen=type("HTMLNet2D", (), {})).gen.name == "html-net2-d"
    with pytest.raises(ConfigError, match="the name of class Né must be ASCII letters"):
        Experiment(gen=type("Né", (), {}))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epoch": 2}, "invalid setting 'epoch'; did you mean 'epochs'?"),
        ({"lr": 1e-4}, "invalid setting 'lr'; did you mean 'optimizer.lr'?"),
        ({"penalty": "r1"}, "invalid setting 'penalty'; did you mean 'term'?"),
        ({"gen": 3}, "gen = 3: a name, a class, or a table such as {'name': 'dcgan', 'base_channels': 64} is required"),
        ({"gen": {"width": 3}}, "gen = {'width': 3}: the table has no name, as in {'name': 'dcgan', 'base_channels': "),
        ({"init": {"source": "a", "freze": "b"}}, "no option 'freze'; did you mean 'freeze'?"),
        ({"precision": "fp61"}, "precision = 'fp61': input should be 'auto', 'fp32', 'tf32', 'bf16' or 'fp16'"),
        ({"steps": 1, "epochs": 1}, "give epochs or steps, not both"),
    ],
)
@pytest.mark.parametrize("make", [lambda values: Experiment(**values), Experiment.model_validate])
def test_an_invalid_setting_is_one_message(
    make: Callable[[dict[str, Any]], Experiment], settings: dict[str, Any], message: str
) -> None:
    """The error is ganforge's, when the experiment is made, with the nearest name and without an address."""
    with pytest.raises(ConfigError, match="^" + re.escape(message)) as caught:
        make(settings)
    assert "pydantic" not in str(caught.value)


def test_an_object_in_place_of_a_class_is_one_short_message() -> None:
    """The error names the class, and a long representation is cut."""
    cells = torch.nn.Sequential(*[torch.nn.Linear(1, 1) for _ in range(100)])
    with pytest.raises(ConfigError) as caught:
        Experiment(gen=cells)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 300
    loss = Registry.discover(no_plugins=True)
    cls = loss.load(loss.find("loss", "bce"))
    with pytest.raises(ConfigError, match=f"pass the class, {cls.__name__}; ganforge creates the object"):
        Experiment(loss=cls(cls.Options()))


def test_the_representation_has_what_differs_from_the_defaults() -> None:
    """It is short, and can be evaluated."""
    assert repr(Experiment()) == "Experiment()"
    experiment = Experiment(gen="mlp", disc={"name": "dcgan", "base_channels": 8}, steps=3, term="r1")
    assert repr(experiment) == (
        "Experiment(gen='mlp', disc={'name': 'dcgan', 'base_channels': 8}, term=['r1'], steps=3)"
    )
    assert eval(repr(experiment)) == experiment  # noqa: S307 - the text above

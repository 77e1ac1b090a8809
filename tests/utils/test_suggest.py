"""Laws of suggestions for mistyped names."""

from __future__ import annotations

import pytest

from ganforge.errors import UnknownComponentError
from ganforge.plugins.registry import Registry
from ganforge.utils.suggest import did_you_mean, nearest
from tests.helpers.plugins import command


@pytest.mark.parametrize(
    ("word", "candidates", "expected"),
    [
        ("batchsize", ("batch_size", "steps"), "batch_size"),
        ("num_workers", ("workers", "num_samples"), "workers"),
        ("LSGAN", ("least-squares", "lsgan-like"), "least-squares"),
        ("wgan", ("ac-gan", "wasserstein"), "wasserstein"),
        ("wgan-gp", ("ac-gan", "wasserstein-gp"), "wasserstein-gp"),
        ("wgan-gp", ("ac-gan", "gradient-penalty"), "gradient-penalty"),
        ("wasserstein-gp", ("ac-gan", "gradient-penalty"), "gradient-penalty"),
        ("zzz", ("workers",), None),
    ],
)
def test_nearest_knows_names_of_other_libraries(word: str, candidates: tuple[str, ...], expected: str | None) -> None:
    """A name that papers and other libraries use wins over a similar one, if its own name is a candidate."""
    assert nearest(word, candidates) == expected


def test_options_of_optimizers_are_suggested() -> None:
    """`lr` is a setting of optimizers, which no list of a run has."""
    assert did_you_mean("lr", ["seed", "loss"]) == "; did you mean 'optimizer.lr'?"


@pytest.mark.parametrize(
    ("flag", "own"),
    [
        ("--lr", "--optimizer.lr"),
        ("--gpu", "--device"),
        ("--num-workers", "--workers"),
        ("--n_critic", "--critic-steps"),
    ],
)
def test_flags_of_other_trainers_are_answered(flag: str, own: str) -> None:
    """The usual flag of another trainer is one message with ganforge's own."""
    refused = command("run", flag, "1")
    assert refused.returncode == 2
    assert f"did you mean '{own}'?" in " ".join(refused.stderr.split())


def test_command_of_other_trainers_is_answered() -> None:
    """`ganforge train` is `ganforge run`."""
    refused = command("train")
    assert refused.returncode == 2
    assert "did you mean 'run'" in refused.stderr


def test_losses_of_papers_are_answered_with_their_distribution(registry: Registry) -> None:
    """The name in a paper leads to ganforge's own, and to the plugin that provides it."""
    with pytest.raises(UnknownComponentError, match="'wasserstein-gp' is its name in ganforge-losses") as error:
        registry.find("loss", "WGAN_GP")
    assert "plugins/ganforge-losses" in str(error.value.fix)
    with pytest.raises(UnknownComponentError, match="'gradient-penalty' is its name in ganforge-losses"):
        registry.find("term", "wgan-gp")


@pytest.mark.parametrize("name", ["check", "describe"])
def test_commands_without_a_kind_know_names_of_papers(name: str) -> None:
    """`check wgan` and `describe wgan` name the plugin as `--loss wgan` does, not the nearest network."""
    refused = command(name, "wgan", "--no-plugins")
    assert refused.returncode == 2
    assert "no component 'wgan' is installed; 'wasserstein' is its name in ganforge-losses" in refused.stderr
    assert "plugins/ganforge-losses" in refused.stderr

"""`ganforge bench`: the reference loop and the engine are measured, and no setting can make their models differ."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest
import torch

from ganforge.bench.measure import BenchConfig, run_benchmark
from ganforge.errors import ConfigError
from ganforge.plugins.registry import Registry
from ganforge.runs.setup import prepare
from tests.helpers.runs import tiny

Ganforge = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.slow
def test_bench_measures_all_three_loops(ganforge: Ganforge) -> None:
    """It prints times of the reference loop, the bare steps and the engine, their ratios, and the roofline's share."""
    done = ganforge("bench", "mlp", "-n", "10", "--warm-up", "1", "--turns", "1", "--data.source", "sample", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    times = found["milliseconds_per_step"]
    assert times.keys() == {"reference", "bare", "engine"}
    assert all(0 < spread["low"] <= spread["median"] <= spread["high"] for spread in times.values())
    assert found["ratio"]["median"] == pytest.approx(times["reference"]["median"] / times["engine"]["median"])
    assert 0 < found["roofline"]["share"] < 1
    assert 0 < found["data_share"] < 1


@pytest.mark.parametrize("setting", ["batch_size=32", "critic_steps=5", "gen.hidden=[8]", "term=r1", "steps=3"])
def test_bench_refuses_what_would_falsify_its_ratio(setting: str, registry: Registry) -> None:
    """A setting that would change one loop and not the other is refused by name."""
    config = BenchConfig("mlp", [setting], steps=10, warm_up=1, turns=1)
    with pytest.raises(ConfigError, match=f"bench cannot set {setting.partition('=')[0]}"):
        run_benchmark(config, registry, lambda _: None)


def test_the_work_of_a_step_is_counted(registry: Registry) -> None:
    """For the MLP GAN it is that of its matrix products: 2·N·inputs·outputs each, forward and twice backward.

    G runs forward twice and backward once; D runs forward three times, backward for its weights twice and for its input
    once. The first layer's gradient with respect to latents or real images is not needed.
    """
    assembly_settings = ("gen=mlp", "disc=mlp", "gen.hidden=[16]", "disc.hidden=[16]", "gen.latent_dim=8")
    state = torch.random.get_rng_state()
    prepared = prepare(tiny(registry, *assembly_settings, "steps=1"), registry)
    generator = (8 * 16, 16 * 784)
    discriminator = (784 * 16, 16 * 1)
    forward = 2 * sum(generator) + 3 * sum(discriminator)
    weights = sum(generator) + 2 * sum(discriminator)
    inputs = generator[1] + 2 * discriminator[1] + sum(discriminator)
    assert prepared.flops.total == 2 * 60 * (forward + weights + inputs)
    assert torch.equal(torch.random.get_rng_state(), state)

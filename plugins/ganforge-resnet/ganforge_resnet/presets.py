"""Presets of trainings with the residual networks."""

from __future__ import annotations

from ganforge import Preset

#: Found by measuring, on the sample that ships with ganforge: docs/performance.md has the numbers.
BEST = Preset(
    name="best",
    summary="Digits or clothes by class with an FID near that of real images, in minutes of two CPU cores.",
    settings={
        "gen": {"name": "resnet", "resnet": {"base_channels": 32, "conditional": True}},
        "disc": {"name": "resnet", "resnet": {"base_channels": 32, "conditional": True}},
        "loss": "hinge",
        "steps": 3000,
        "batch_size": 64,
        "critic_steps": 1,
        "ema_halflife_images": 10_000,
        "optimizer": {"name": "adam", "lr": 1e-3, "betas": [0.0, 0.9]},
        "schedules": {"optimizer.lr": {"name": "cosine"}},
    },
)

"""Built-in presets."""

from __future__ import annotations

from ganforge.plugins.presets import Preset

#: Every setting of the textbook's training has a value, so that recommended ones change nothing.
TEXTBOOK = Preset(
    name="textbook",
    summary="The exact training of the textbook, in float32.",
    paper="dreamgonfly, GAN explained, after Goodfellow et al. 2014 and Radford et al. 2015",
    settings={
        "epochs": 100,
        "batch_size": 60,
        "critic_steps": 1,
        "generator_steps": 1,
        "reuse_fakes": False,
        "gradient_accumulation": 1,
        "compile": "off",
        "sync_batch_norm": False,
        "on_nan": "stop",
        "ema_halflife_images": "none",
        "generator_batch_size": "none",
        "phase_order": "none",
        "precision": "fp32",
        "latent": "normal",
        "term": [],
        "augment": [],
        "optimizer": {
            "name": "adam",
            "lr": 2e-4,
            "betas": [0.5, 0.999],
            "eps": 1e-8,
            "weight_decay": 0.0,
            "warmup_steps": 0,
            "clip_norm": "none",
        },
        "schedules": {"names": []},
    },
)

#: Found by measuring, on the sample that ships: docs/performance.md has the numbers.
QUICK = Preset(
    name="quick",
    summary="Readable digits within half a minute on two CPU cores, and the default run's FID in a tenth of its time.",
    settings={
        "gen": {"name": "dcgan", "dcgan": {"base_channels": 32}},
        "disc": {"name": "dcgan", "dcgan": {"base_channels": 32}},
        "steps": 1200,
        "batch_size": 60,
        "ema_halflife_images": 5000,
        "optimizer": {"name": "adam", "lr": 2e-3, "betas": [0.5, 0.99]},
    },
)

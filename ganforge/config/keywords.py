"""Settings as keyword arguments: types for editors and type checkers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypedDict

from ganforge.config.experiment import Switch
from ganforge.config.references import ComponentRef, InitialWeights

#: Component: its name, its class, or a table of either with options.
ComponentChoice: TypeAlias = str | type | Mapping[str, Any] | ComponentRef
ComponentChoices: TypeAlias = ComponentChoice | Sequence[ComponentChoice]


class ExperimentSettings(TypedDict, total=False):
    """Keyword arguments of `Experiment` and `train`; `Experiment` describes and validates them."""

    gen: ComponentChoice
    disc: ComponentChoice
    loss: ComponentChoice
    data: ComponentChoice
    latent: ComponentChoice
    term: ComponentChoices
    augment: ComponentChoices
    features: ComponentChoice
    metric: ComponentChoices
    init: str | Mapping[str, Any] | InitialWeights | None
    epochs: int | None
    steps: int | None
    batch_size: int
    generator_batch_size: int | None
    critic_steps: int
    generator_steps: int
    phase_order: str | Sequence[str] | None
    reuse_fakes: bool
    gradient_accumulation: int
    workers: int
    seed: int
    device: str
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"]
    compile: Switch
    cuda_graphs: Switch
    sync_batch_norm: bool
    on_nan: Literal["stop", "rollback"]
    on_collapse: Literal["warn", "stop", "rollback"]
    ema_halflife_images: int | None
    optimizer: ComponentChoice
    schedules: Mapping[str, ComponentChoice]
    log_every: int
    sample_every: int | None
    checkpoint_every: int | None
    evaluate_every: int | None
    evaluate: Literal["auto"] | None
    num_samples: int
    max_eval_time_fraction: float
    best_metric: str | None
    keep_checkpoints: int

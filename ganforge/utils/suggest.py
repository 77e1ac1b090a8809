"""Suggestions for mistyped names."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

#: Names of other libraries, papers and tutorials, and ganforge's own; with hyphens, in lower case.
OTHER_NAMES = {
    "wgan": "wasserstein",
    "wgan-gp": "wasserstein-gp",
    "lsgan": "least-squares",
    "mse": "least-squares",
    "ns": "bce",
    "vanilla": "bce",
    "rgan": "relativistic",
    "sngan": "resnet",
    "lr": "optimizer.lr",
    "learning-rate": "optimizer.lr",
    "lr-g": "optimizer.gen.lr",
    "lr-d": "optimizer.disc.lr",
    "betas": "optimizer.betas",
    "beta1": "optimizer.betas",
    "weight-decay": "optimizer.weight_decay",
    "gpu": "device",
    "gpus": "device",
    "cuda": "device",
    "num-workers": "workers",
    "batch": "batch_size",
    "bs": "batch_size",
    "epoch": "epochs",
    "num-epochs": "epochs",
    "max-epochs": "epochs",
    "iterations": "steps",
    "max-steps": "steps",
    "n-critic": "critic_steps",
    "nz": "gen.latent_dim",
    "z-dim": "gen.latent_dim",
    "latent-dim": "gen.latent_dim",
    "amp": "precision",
    "ema": "ema_halflife_images",
    "ema-decay": "ema_halflife_images",
    "count": "num_samples",
    "num-images": "num_samples",
    "image-size": "data.size",
    "dataset": "data",
    "generator": "gen",
    "discriminator": "disc",
    "metrics": "metric",
    "penalty": "term",
    "gp": "gradient-penalty",
}
#: Terms with the names of losses that have them.
OTHER_TERMS = {"wgan-gp": "gradient-penalty", "wasserstein-gp": "gradient-penalty"}


def own_names(name: str) -> list[str]:
    """Return ganforge's names for one of another library."""
    key = name.casefold().replace("_", "-")
    return [names[key] for names in (OTHER_NAMES, OTHER_TERMS) if key in names]


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that is most similar to a word, or None if none is similar."""
    by_folded = {candidate.casefold().replace("_", "-"): candidate for candidate in candidates}
    for own in own_names(word):
        if own.replace("_", "-") in by_folded:
            return by_folded[own.replace("_", "-")]
    matches = get_close_matches(word.casefold().replace("_", "-"), by_folded, n=1, cutoff=0.6)
    return by_folded[matches[0]] if matches else None


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """Return "; did you mean 'X'?" if a candidate is similar, else " (available: X, Y)", or "" without candidates."""
    candidates = sorted(candidates)
    options = (own for own in own_names(word) if "." in own)  # those of optimizers and networks are in no list
    match = next(options, None) or nearest(word, candidates)
    if match is not None:
        return f"; did you mean {match!r}?"
    return f" (available: {', '.join(candidates)})" if candidates else ""

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


def own_name(name: str) -> str | None:
    """Return ganforge's name for one of another library, or None."""
    return OTHER_NAMES.get(name.casefold().replace("_", "-"))


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that is most similar to a word, or None if none is similar."""
    by_folded = {candidate.casefold().replace("_", "-"): candidate for candidate in candidates}
    own = (own_name(word) or "").replace("_", "-")
    if own in by_folded:
        return by_folded[own]
    matches = get_close_matches(word.casefold().replace("_", "-"), by_folded, n=1, cutoff=0.6)
    return by_folded[matches[0]] if matches else None


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """Return "; did you mean 'X'?" if a candidate is similar, else " (available: X, Y)", or "" without candidates."""
    candidates = sorted(candidates)
    match = nearest(word, candidates)
    own = own_name(word)
    if match is None or "." in (own or ""):  # options of optimizers and networks are in no list
        match = own if own is not None and "." in own else match
    if match is not None:
        return f"; did you mean {match!r}?"
    return f" (available: {', '.join(candidates)})" if candidates else ""

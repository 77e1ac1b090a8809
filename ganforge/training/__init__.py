"""Training: the networks' updates, the loop around them, checkpoints and resume."""

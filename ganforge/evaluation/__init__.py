"""Evaluation: scores with a protocol of everything they depend on."""

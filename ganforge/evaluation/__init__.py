"""Evaluation: scores, with a protocol that states what was measured."""

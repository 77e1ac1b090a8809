"""Scores, with a passport that says what they measured."""

from ganforge.evaluation.evaluate import Evaluation, evaluate, score_directions

__all__ = ["Evaluation", "evaluate", "score_directions"]

"""Scores, with a passport that says what they measured."""

from ganforge.evaluation.evaluate import Evaluation, check_count, evaluate, score_directions

__all__ = ["Evaluation", "check_count", "evaluate", "score_directions"]

"""Scores, with a passport that says what they measured."""

from ganforge.evaluation.checks import check, check_metric, score_directions, scored_split
from ganforge.evaluation.evaluate import Evaluation, Evaluator

__all__ = ["Evaluation", "Evaluator", "check", "check_metric", "score_directions", "scored_split"]

"""Conformance kit: checks that a component meets the requirements of its interface.

`check_component("generator", "my-gan")` examines one, `@parametrize_components("ganforge-mine")` makes a pytest test of
every check of every component of a distribution, and `ganforge check` does the same on the command line.
"""

from ganforge.testing.checks import Check, CheckFailed, CheckSkipped
from ganforge.testing.conformance import CHECKS, Failure, Report, check_component, checks_of
from ganforge.testing.parametrize import parametrize_components

__all__ = [
    "CHECKS",
    "Check",
    "CheckFailed",
    "CheckSkipped",
    "Failure",
    "Report",
    "check_component",
    "checks_of",
    "parametrize_components",
]

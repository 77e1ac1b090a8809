"""The conformance kit: it tells whether a component keeps what its interface promises.

`check_component("generator", "my-gan")` answers for one, `@parametrize_components("ganforge-mine")` makes a pytest test
of every check of every component of a distribution, and `ganforge check` prints the same on the command line.
"""

from ganforge.testing.checks import Check, Failed, NotApplicable
from ganforge.testing.conformance import CHECKS, check_component, checks_of
from ganforge.testing.parametrize import parametrize_components
from ganforge.testing.report import Failure, Report

__all__ = [
    "CHECKS",
    "Check",
    "Failed",
    "Failure",
    "NotApplicable",
    "Report",
    "check_component",
    "checks_of",
    "parametrize_components",
]

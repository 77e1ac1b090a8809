"""Laws of the environment variables that torchrun sets: valid ones are read, and all others are one clear error."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganforge.errors import UsageError
from ganforge.utils.torchrun import VARIABLES, RankEnvironment

VALID = {
    "WORLD_SIZE": "4",
    "RANK": "3",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "localhost",
    "MASTER_PORT": "29500",
}


def test_complete_variables_are_read() -> None:
    """The variables of torchrun give the position; none, empty ones, or a world of one are a single process."""
    assert RankEnvironment.read(VALID) == RankEnvironment(3, 4, 1, 2, "localhost", 29500)
    for single in ({}, dict.fromkeys(VARIABLES, ""), {"WORLD_SIZE": "1", "RANK": "0"}, {"LOCAL_RANK": "0"}):
        assert RankEnvironment.read(single) == RankEnvironment()
    assert RankEnvironment.read({**VALID, "LOCAL_RANK": "", "LOCAL_WORLD_SIZE": ""}).local_rank == 0


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"WORLD_SIZE": ""}, "WORLD_SIZE is not set"),
        ({"RANK": ""}, "RANK is not set"),
        ({"MASTER_ADDR": ""}, "MASTER_ADDR is not set"),
        ({"MASTER_PORT": ""}, "MASTER_PORT is not set"),
        ({"WORLD_SIZE": "four"}, "WORLD_SIZE is 'four'"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE is '0'"),
        ({"WORLD_SIZE": "-1"}, "WORLD_SIZE is '-1'"),
        ({"WORLD_SIZE": "9" * 5000}, "WORLD_SIZE is '999"),
        ({"WORLD_SIZE": "1"}, "RANK is '3'"),
        ({"RANK": "4"}, "RANK is '4'"),
        ({"LOCAL_RANK": "2"}, "LOCAL_RANK is '2'"),
        ({"LOCAL_WORLD_SIZE": "5"}, "LOCAL_WORLD_SIZE is '5'"),
        ({"MASTER_PORT": "65536"}, "MASTER_PORT is '65536'"),
        ({"MASTER_PORT": "١"}, "MASTER_PORT is '١'"),
    ],
)
def test_incomplete_or_absurd_variables_are_errors(changes: dict[str, str], problem: str) -> None:
    """Each names the variable, what it must be, and the variables to unset for a single process."""
    environment = {**VALID, **changes}
    with pytest.raises(UsageError) as caught:
        RankEnvironment.read(environment)
    assert problem in caught.value.message
    assert caught.value.fix is not None
    present = " ".join(name for name in VARIABLES if environment[name])
    assert caught.value.fix.endswith(f"unset {present}")


@settings(derandomize=True, deadline=None)
@given(st.dictionaries(st.sampled_from(VARIABLES), st.text("0149-+ ex١", max_size=6) | st.integers(-2, 5).map(str)))
def test_no_environment_has_another_error(environment: dict[str, str]) -> None:
    """Any variables are a valid position or a UsageError."""
    try:
        position = RankEnvironment.read(environment)
    except UsageError:
        return
    assert 0 <= position.rank < position.world_size
    assert 0 <= position.local_rank < max(position.local_world_size, position.world_size)

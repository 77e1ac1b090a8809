"""Environment variables by which torchrun, or another launcher, describes the processes of one training."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from ganforge.errors import UsageError

VARIABLES = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
MAX_PROCESSES = 1_000_000
MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class RankEnvironment:
    """Position of this process among all of one training and those on its machine, and the address of the main rank."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_world_size: int = 1
    address: str = ""
    port: int = 0

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Return the position that the environment describes; empty variables count as absent.

        Raises:
            UsageError: The variables are incomplete or contradict each other, such as leftovers of another job.
        """
        texts = {name: environment.get(name, "").strip() for name in VARIABLES}
        present = " ".join(name for name in VARIABLES if texts[name])

        def error(problem: str) -> UsageError:
            return UsageError(
                f"the environment does not describe processes of one training: {problem}",
                fix="start them with torchrun --nproc-per-node N -m ganforge …; for a single process, first enter: "
                f"unset {present}",
            )

        def number(name: str, default: int | None, limit: int, lowest: int = 0) -> int:
            text = texts[name]
            if not text and default is not None:
                return default
            if not (text.isascii() and text.isdecimal() and lowest <= int(text[:9]) < limit):
                value = f"is {text!r}" if text else "is not set"
                raise error(f"{name} {value}; it must be a number from {lowest} to {limit - 1}")
            return int(text)

        if not texts["WORLD_SIZE"] and not texts["RANK"]:
            return cls()
        world_size = number("WORLD_SIZE", None, MAX_PROCESSES, lowest=1)
        if world_size == 1:
            number("RANK", 0, 1)
            return cls()
        local_world_size = number("LOCAL_WORLD_SIZE", 1, world_size + 1, lowest=1)
        limit = local_world_size if texts["LOCAL_WORLD_SIZE"] else world_size
        if not texts["MASTER_ADDR"]:
            raise error(f"WORLD_SIZE is {world_size}, but MASTER_ADDR is not set")
        return cls(
            rank=number("RANK", None, world_size),
            world_size=world_size,
            local_rank=number("LOCAL_RANK", 0, limit),
            local_world_size=local_world_size,
            address=texts["MASTER_ADDR"],
            port=number("MASTER_PORT", None, MAX_PORT + 1, lowest=1),
        )

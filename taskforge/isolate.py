"""Isolate: what a task asks for that is to run in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from taskforge.sizes import size, told

#: Less than this (bytes) no Python with a task in it can live on.
LEAST_MEMORY = 32 << 20
#: How many jobs a child runs before a fresh one takes its place, and the most that may be asked for.
REUSE, MOST_REUSE = 100, 1_000_000


@dataclass(frozen=True, slots=True)
class Isolate:
    """Run a plain function in a child process of the worker.

    `memory` is the most that the child may hold, in bytes or as text ("512MB"); None: no limit. `reuse` is how many
    jobs a child runs before a fresh one takes its place; 1 gives every job a process of its own.
    """

    memory: int | str | None = None
    reuse: int = REUSE

    def plain(self) -> dict[str, object]:
        """As plain data, to travel in a job's body."""
        return {"memory": self.memory, "reuse": self.reuse}


def checked_isolate(value: object) -> Isolate | None:
    """The value of an `isolate` option in its one form: None for False. Raises ValueError for what does not fit."""
    match value:
        case True:
            return Isolate()
        case False | None:
            return None
        case Isolate(memory=memory, reuse=reuse):
            if isinstance(reuse, bool) or not isinstance(reuse, int) or not 1 <= reuse <= MOST_REUSE:
                raise ValueError(f"reuse must be a whole number from 1 to {MOST_REUSE}, not {reuse!r}")
            return Isolate(None if memory is None else _memory(memory), reuse)
        case _:
            raise ValueError(f"must be True, False or Isolate(memory=…, reuse=…), not {value!r}")


def isolate_from_plain(plain: object) -> Isolate | None:
    """The opposite of `plain`. Raises ValueError for anything else."""
    match plain:
        case None:
            return None
        case Mapping():
            memory, reuse = plain.get("memory"), plain.get("reuse", REUSE)
            return checked_isolate(Isolate(memory, reuse))
        case _:
            raise ValueError(f"not an isolate option of a job: {plain!r}")


def _memory(memory: object) -> int:
    try:
        given = size(memory)
    except ValueError as error:
        raise ValueError(f"memory {error}") from None
    if given < LEAST_MEMORY:
        raise ValueError(f"memory must be at least {told(LEAST_MEMORY)}: Python alone takes that; not {memory!r}")
    return given
